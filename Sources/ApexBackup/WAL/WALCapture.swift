import BackupModel
import BackupStorage
import PostgresAccess
import Synchronization

/// Cuts a stream of WAL into segments and stores each when it is complete.
final class WALSegmenter: Sendable {
    private struct State {
        var writer: WALSegmentWriter?
        var position: LogSequenceNumber
        var latestTime: Timestamp?
    }

    private let state: Mutex<State>
    private let archive: WALArchive
    private let timeline: UInt32
    private let size: WALSegmentSize

    /// A stream of `timeline` that begins with the first byte of the segment of `start`.
    init(_ archive: WALArchive, timeline: UInt32, size: WALSegmentSize, from start: LogSequenceNumber) {
        self.archive = archive
        self.timeline = timeline
        self.size = size
        state = Mutex(State(position: start))
    }

    /// Takes what follows what was taken before; returns up to where everything is stored durably.
    func add(_ bytes: Span<UInt8>) throws(BackupError) -> LogSequenceNumber {
        try state.withLock { state throws(BackupError) in
            var taken = 0
            while taken < bytes.count {
                let room = size.bytes - size.offset(of: state.position)
                let length = Int(min(UInt64(bytes.count - taken), room))
                if state.writer == nil { state.writer = try makeWriter(at: state.position) }
                try state.writer?.write(bytes.extracting(taken..<taken + length))
                taken += length
                state.position.position += UInt64(length)
                if UInt64(length) == room {
                    let published = try state.writer?.publish()
                    state.writer = nil
                    state.latestTime = [state.latestTime, published?.summary?.latestKnownTime].compactMap(\.self).max()
                }
            }
            return LogSequenceNumber(position: state.position.position - size.offset(of: state.position))
        }
    }

    /// Drops the unfinished segment.
    func discard() {
        state.withLock {
            $0.writer?.discard()
            $0.writer = nil
        }
    }

    /// The latest time that a record of the stored segments carries.
    var latestTime: Timestamp? { state.withLock { $0.latestTime } }

    private func makeWriter(at position: LogSequenceNumber) throws(BackupError) -> WALSegmentWriter {
        try archive.makeWriter(WALSegmentName(streamedOf: timeline, at: position, size), isStreamed: true)
    }
}

extension WALSegmentName {
    /// The segment that a stream of WAL has come to.
    init(streamedOf timeline: UInt32, at position: LogSequenceNumber, _ size: WALSegmentSize) throws(BackupError) {
        guard let segment = WALSegmentName(timeline: timeline, containing: position, segmentSize: size) else {
            throw BackupError(
                .serverUnsupported, "The server streams WAL of timeline \(timeline), which cannot be.",
                remedy: "Check that the connection leads to PostgreSQL itself.")
        }
        self = segment
    }
}

/// Streams the WAL that a base backup needs, beside it.
struct WALCapture: Sendable {
    let session: ReplicationSession
    let slot: String
    let archive: WALArchive
    let size: WALSegmentSize
    let clocks: Clocks

    /// Streams from the segment of `start` on until `control` stops it; returns the latest time that a record carries.
    ///
    /// Where it is stopped in the middle of a segment, that one is stored as a piece that ends there: a standby's last
    /// segment is finished when its primary writes on.
    func run(
        from start: LogSequenceNumber, timeline: UInt32, control: WALStreamControl
    ) async throws -> Timestamp? {
        let first = LogSequenceNumber(position: start.position - size.offset(of: start))
        if timeline > 1 { try archive.store(try await session.timelineHistory(timeline), of: timeline) }
        let segmenter = WALSegmenter(archive, timeline: timeline, size: size, from: first)
        defer { segmenter.discard() }
        try await stream(timeline, from: first, control) { _, bytes in control.flushed = try segmenter.add(bytes) }
        segmenter.discard()
        guard let stop = control.stop, size.offset(of: stop) > 0 else { return segmenter.latestTime }
        let ofPiece = try await storePiece(to: stop, timeline: timeline)
        return [segmenter.latestTime, ofPiece].compactMap(\.self).max()
    }

    /// Stores the segment of `stop` up to there.
    private func storePiece(to stop: LogSequenceNumber, timeline: UInt32) async throws -> Timestamp? {
        guard let segment = WALSegmentName(timeline: timeline, containing: stop, segmentSize: size),
            let piece = WALPiece(segment, from: 0, to: size.offset(of: stop))
        else { return nil }
        let writer = PieceWriter(try archive.makeWriter(piece), from: segment.start)
        defer { writer.discard() }
        let control = WALStreamControl(from: segment.start)
        control.stop(at: stop)
        try await stream(timeline, from: segment.start, control) { position, bytes in
            let missing = stop.position - min(position.position, stop.position)
            try writer.write(bytes.extracting(0..<Int(min(UInt64(bytes.count), missing))))
        }
        return try writer.publish()
    }

    private func stream(
        _ timeline: UInt32, from start: LogSequenceNumber, _ control: WALStreamControl,
        _ onData: @Sendable (LogSequenceNumber, Span<UInt8>) throws -> Void
    ) async throws {
        let end = try await session.streamWAL(
            slot: slot, timeline: timeline, from: start, control: control, clock: clocks.wall, onData: onData)
        if case .timelineEnded(let next, let position) = end {
            throw BackupError(
                .serverRefused, "The server went on to timeline \(next) at \(position) while it was backed up.",
                reason: "it is a standby that was promoted, or follows one that was",
                remedy: "Take the backup again.")
        }
    }
}

/// Stores a piece that begins with its segment.
private final class PieceWriter: Sendable {
    private struct State {
        let object: WALObjectWriter
        var reader: WALSegmentReader
    }

    private let state: Mutex<State>

    init(_ object: sending WALObjectWriter, from start: LogSequenceNumber) {
        state = Mutex(State(object: object, reader: WALSegmentReader(from: start)))
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        guard !bytes.isEmpty else { return }
        try state.withLock { state throws(BackupError) in
            state.reader.consume(bytes)
            try state.object.write(bytes)
        }
    }

    /// Publishes the piece; returns the latest time that a record of it carries.
    func publish() throws(BackupError) -> Timestamp? {
        try state.withLock { state throws(BackupError) in
            let summary = state.reader.finish()
            _ = try state.object.publish(summary: summary)
            return summary?.latestKnownTime
        }
    }

    func discard() { state.withLock { $0.object.discard() } }
}
