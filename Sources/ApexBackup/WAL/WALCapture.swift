import BackupModel
import BackupStorage
import PostgresAccess
import Synchronization

/// Cuts a stream of WAL into segments and stores each when it is complete.
final class WALSegmenter: Sendable {
    private struct State {
        var writer: WALSegmentWriter?
        var position: LogSequenceNumber
        var stored = 0
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
                    try state.writer?.finish()
                    state.writer = nil
                    state.stored += 1
                }
            }
            return LogSequenceNumber(position: state.position.position - size.offset(of: state.position))
        }
    }

    /// How many segments were stored.
    var storedCount: Int { state.withLock { $0.stored } }

    /// Drops the unfinished segment.
    func discard() { state.withLock { $0.writer?.discard() } }

    private func makeWriter(at position: LogSequenceNumber) throws(BackupError) -> WALSegmentWriter {
        guard let segment = WALSegmentName(timeline: timeline, containing: position, segmentSize: size) else {
            throw BackupError(
                .serverUnsupported, "The server streams WAL of timeline \(timeline), which cannot be.",
                remedy: "Check that the connection leads to PostgreSQL itself.")
        }
        return try archive.makeWriter(segment)
    }
}

/// Streams the WAL that a base backup needs, beside it.
struct WALCapture: Sendable {
    let session: ReplicationSession
    let slot: String
    let archive: WALArchive
    let size: WALSegmentSize
    let clocks: Clocks

    /// Streams from the segment of `start` on until `control` stops it; returns how many segments were stored.
    func run(from start: LogSequenceNumber, timeline: UInt32, control: WALStreamControl) async throws -> Int {
        let first = LogSequenceNumber(position: start.position - size.offset(of: start))
        let segmenter = WALSegmenter(archive, timeline: timeline, size: size, from: first)
        do {
            let end = try await session.streamWAL(
                slot: slot, timeline: timeline, from: first, control: control, clock: clocks.wall
            ) { _, bytes in
                control.flushed = try segmenter.add(bytes)
            }
            if case .timelineEnded(let next, let position) = end {
                throw BackupError(
                    .serverRefused, "The server went on to timeline \(next) at \(position) while it was backed up.",
                    reason: "it is a standby that was promoted, or follows one that was",
                    remedy: "Take the backup again.")
            }
            return segmenter.storedCount
        } catch {
            segmenter.discard()
            throw error
        }
    }
}
