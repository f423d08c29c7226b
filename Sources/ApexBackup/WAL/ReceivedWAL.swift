import BackupModel
import BackupStorage
import Synchronization

/// Takes a stream of WAL of one timeline and stores it: segments when they are finished, and pieces of the one that is
/// not.
///
/// What is in no piece yet is kept in memory, and no file is open in between: whoever asks for the segment meanwhile
/// need not take it for one that is being stored.
final class ReceivedWAL: Sendable {
    /// What was stored.
    struct Counts: Sendable {
        var bytes: Int64 = 0
        var segments = 0
        var pieces = 0
    }

    private struct State {
        /// Up to where everything is stored.
        var stored: LogSequenceNumber
        /// What follows there.
        var pending: [UInt8] = []
        /// When its first byte came.
        var pendingSince = Duration.zero
        /// The pieces since those that were joined last.
        var loose: [WALPiece] = []
        var counts = Counts()

        var position: LogSequenceNumber { LogSequenceNumber(position: stored.position + UInt64(pending.count)) }
    }

    /// How much is kept in memory at most: a segment of the usual size needs no piece if it is finished soon.
    private static let mostPending = 16 << 20
    /// How many pieces are joined to one, so that an idle server does not leave thousands of them.
    private static let mostLoose = 64

    private let state: Mutex<State>
    private let archive: WALArchive
    private let timeline: UInt32
    private let size: WALSegmentSize
    private let onLogEnd: @Sendable () -> Void

    /// A stream that begins at `start`: at the beginning of a segment, or where its stored pieces end; `onLogEnd` is told
    /// when the last segment of a log folder is stored.
    init(
        _ archive: WALArchive, timeline: UInt32, size: WALSegmentSize, from start: LogSequenceNumber,
        onLogEnd: @escaping @Sendable () -> Void = {}
    ) {
        self.archive = archive
        self.timeline = timeline
        self.size = size
        self.onLogEnd = onLogEnd
        state = Mutex(State(stored: start))
    }

    var counts: Counts { state.withLock(\.counts) }
    /// Up to where WAL was taken.
    var position: LogSequenceNumber { state.withLock(\.position) }

    /// Takes what follows what was taken before; returns up to where everything is stored durably.
    func take(_ bytes: Span<UInt8>, at now: Duration) throws(BackupError) -> LogSequenceNumber {
        try state.withLock { state throws(BackupError) in
            var taken = 0
            while taken < bytes.count {
                let room = size.bytes - size.offset(of: state.position)
                let length = Int(min(UInt64(bytes.count - taken), room))
                if state.pending.isEmpty { state.pendingSince = now }
                state.pending.append(copying: bytes.extracting(taken..<taken + length))
                taken += length
                state.counts.bytes += Int64(length)
                if UInt64(length) == room {
                    try storeSegment(&state)
                } else if state.pending.count >= Self.mostPending {
                    try storePiece(&state)
                }
            }
            return state.stored
        }
    }

    /// Whether something waits to be stored for `interval` or longer.
    func isDue(after interval: Duration, at now: Duration) -> Bool {
        state.withLock { !$0.pending.isEmpty && now - $0.pendingSince >= interval }
    }

    /// Stores what was taken and is not stored yet, if there is any; returns up to where everything is stored durably.
    @discardableResult
    func publish() throws(BackupError) -> LogSequenceNumber {
        try state.withLock { state throws(BackupError) in
            guard !state.pending.isEmpty else { return state.stored }
            // One that is full could not be stored when it became full.
            if size.offset(of: state.position) == 0 { try storeSegment(&state) } else { try storePiece(&state) }
            return state.stored
        }
    }

    private func storePiece(_ state: inout State) throws(BackupError) {
        let segment = try segment(at: state.stored)
        let offset = size.offset(of: state.stored)
        guard let piece = WALPiece(segment, from: offset, to: offset + UInt64(state.pending.count)) else {
            preconditionFailure("a piece lies in its segment, which is stored when it is full")
        }
        let writer = try archive.makeWriter(piece)
        defer { writer.discard() }
        try writer.write(state.pending.span)
        try writer.finish()
        state.stored = state.position
        state.pending.removeAll(keepingCapacity: true)
        state.counts.pieces += 1
        state.loose.append(piece)
        if state.loose.count == Self.mostLoose {
            try join(state.loose)
            state.loose = []
        }
    }

    /// Stores pieces that follow each other once more as one, and removes them.
    private func join(_ pieces: [WALPiece]) throws(BackupError) {
        guard let first = pieces.first, let last = pieces.last,
            let whole = WALPiece(first.segment, from: UInt64(first.from), to: UInt64(last.to))
        else { return }
        let writer = try archive.makeWriter(whole)
        defer { writer.discard() }
        // Another receiver, which has a slot of its own, may have joined them or stored the segment.
        for piece in pieces { guard try archive.read(piece, into: UnfinishedSink(writer)) else { return } }
        try writer.finish()
        try archive.repository.storage.remove(pieces.map(archive.layout.piece))
    }

    private func storeSegment(_ state: inout State) throws(BackupError) {
        let segment = try segment(at: state.stored)
        if try !write(segment, state) {
            // Its pieces were removed because it is stored.
            guard try archive.isStoredDurably(segment) else { throw WALArchive.missing(segment) }
        }
        state.stored = segment.end
        state.pending.removeAll(keepingCapacity: true)
        state.loose = []
        state.counts.segments += 1
        if segment.next?.log != segment.log { onLogEnd() }
        try archive.removePieces(of: segment)
    }

    /// Stores a segment from its pieces and what is in memory; returns `false` if the pieces are not there any more.
    private func write(_ segment: WALSegmentName, _ state: State) throws(BackupError) -> Bool {
        let writer = try archive.makeWriter(segment)
        defer { writer.discard() }
        let beginning = UInt32(size.offset(of: state.stored))
        var end: UInt32 = 0
        for piece in try archive.pieces(of: segment) where end < beginning {
            let kept = RangeSink(Int(end - piece.from)..<Int(min(piece.to, beginning) - piece.from), into: writer)
            guard try archive.read(piece, into: kept) else { return false }
            end = min(piece.to, beginning)
        }
        guard end == beginning else { return false }
        try writer.write(state.pending.span)
        try writer.finish()
        return true
    }

    private func segment(at position: LogSequenceNumber) throws(BackupError) -> WALSegmentName {
        try WALSegmentName(streamedOf: timeline, at: position, size)
    }
}

/// Passes on the bytes of a range, and does not finish what it passes them to.
private final class RangeSink: ByteSink {
    private let range: Range<Int>
    private let next: any ByteSink
    private var position = 0

    init(_ range: Range<Int>, into next: any ByteSink) {
        self.range = range
        self.next = next
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        let part = range.clamped(to: position..<position + bytes.count)
        if !part.isEmpty { try next.write(bytes.extracting(part.lowerBound - position..<part.upperBound - position)) }
        position += bytes.count
    }

    func finish() throws(BackupError) {}
}
