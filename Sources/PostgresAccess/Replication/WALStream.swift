package import BackupModel
import Synchronization

/// What the two ends of a stream of WAL tell each other while it runs.
package final class WALStreamControl: Sendable {
    private struct State {
        var flushed: LogSequenceNumber
        var stop: LogSequenceNumber?
    }

    private let state: Mutex<State>
    /// The first position that may be reported.
    private let firstReport: LogSequenceNumber

    /// A stream of which nothing before `start` needs to be kept.
    ///
    /// Nothing before `firstReport` is ever told to the server, for which a slot goes back to what it is told: where that
    /// WAL is gone by then, the slot counts as lost.
    package init(from start: LogSequenceNumber, firstReport: LogSequenceNumber = LogSequenceNumber(position: 1)) {
        self.firstReport = firstReport
        state = Mutex(State(flushed: start))
    }

    /// Up to where the WAL is durable here: the server may remove what is before it.
    ///
    /// It never goes back.
    package var flushed: LogSequenceNumber {
        get { state.withLock { $0.flushed } }
        set { state.withLock { $0.flushed = max($0.flushed, newValue) } }
    }

    /// What the server is told of the WAL that was `received`: up to where it is durable; `nil` if it is told nothing yet.
    func report(received: LogSequenceNumber) -> LogSequenceNumber? {
        let durable = min(flushed, received)
        return durable < firstReport ? nil : durable
    }

    /// Ends the stream when everything before `position` was received.
    package func stop(at position: LogSequenceNumber) { state.withLock { $0.stop = position } }

    /// Where the stream ends, if that is known.
    package var stop: LogSequenceNumber? { state.withLock { $0.stop } }
}

extension ReplicationSession {
    /// How a stream of WAL ended.
    package enum WALStreamEnd: Sendable, Hashable {
        /// Where it was told to.
        case stopped
        /// The server has left the timeline; the next one begins at the position.
        case timelineEnded(next: UInt32, at: LogSequenceNumber)
    }

    /// Streams WAL of `timeline` from `start` over `slot`, and hands over each piece with the position of its first byte.
    ///
    /// Without a slot the server keeps nothing for it.
    ///
    /// Returns when `control` says so, or at the end of the timeline. Its flushed position is reported when it has moved,
    /// every ten seconds, and whenever the server asks; `clock` is the time that a report carries. A server that answers
    /// no report for a minute, or for as long as the session says, is taken for lost.
    ///
    /// `onPause` is called when nothing more has come yet, ten times a second and more, and before a report that the
    /// server asks for: what it makes durable is told at once.
    package func streamWAL(
        slot: String?, timeline: UInt32, from start: LogSequenceNumber, control: WALStreamControl,
        clock: @escaping @Sendable () -> Timestamp,
        onPause: @Sendable (_ serverAsks: Bool) throws -> Void = { _ in },
        onData: @Sendable (LogSequenceNumber, Span<UInt8>) throws -> Void
    ) async throws -> WALStreamEnd {
        let place = slot.map { " SLOT \(quoteIdentifier($0))" } ?? ""
        let command = "START_REPLICATION\(place) PHYSICAL \(start) TIMELINE \(timeline)"
        let settings = settings
        return try await session.withConnection { connection in
            _ = try connection.beginCopy(command)
            // One that is left in the middle of its stream is of no more use.
            var isOver = false
            defer { if !isOver { connection.giveUp() } }
            var stream = WALStreamReader(received: start)
            var reports = WALStreamReports()
            var isEnding = false
            var broken: (any Error)?
            var silence = ServerSilence(longest: connection.longestSilence ?? PostgresSession.longestSilence)
            while true {
                let progress = try connection.nextMessage(waits: false) { message in
                    // Thrown from here it would be cancelled on the server first, which may not answer any more.
                    do { try stream.read(message, settings: settings, onData) } catch { broken = error }
                }
                if let broken { throw broken }
                if Task.isCancelled { throw CancellationError() }
                if progress == .ended {
                    // At the end of a timeline the server waits for its client to end the copy too; after an error, which
                    // is read next, there is no copy any more.
                    if !isEnding { try? connection.endCopy() }
                    break
                }
                if !isEnding {
                    if progress == .nothingYet || stream.serverAsks { try onPause(stream.serverAsks) }
                    let flushed = control.report(received: stream.received)
                    if let report = reports.next(of: stream, flushed: flushed, clock: clock) {
                        try connection.sendCopy(report)
                        stream.serverAsks = false
                    }
                    if let stop = control.stop, stream.received >= stop {
                        try connection.endCopy()
                        isEnding = true
                    }
                }
                guard progress == .nothingYet else { continue }
                let hasCome = try connection.awaitInput(milliseconds: ServerSilence.pause)
                if silence.isTooLong(hasCome: hasCome) { throw connection.giveUp(after: silence) }
            }
            let (after, failure) = try connection.finishCopy()
            isOver = true
            if let failure { throw StatementFailure.server(failure) }
            guard !isEnding else { return .stopped }
            guard let row = after.first?.first, row.count == 2, let next = row[0].flatMap({ UInt32($0) }),
                let position = row[1].flatMap({ LogSequenceNumber(parsing: $0) })
            else { throw Self.unexpected("START_REPLICATION", settings) }
            return .timelineEnded(next: next, at: position)
        }
    }
}

/// Decides when a report is due.
private struct WALStreamReports {
    private var last: ContinuousClock.Instant?
    private var flushed: LogSequenceNumber?

    /// The report to send now, if one is due; it asks for an answer, by which a dead connection is known.
    mutating func next(
        of stream: WALStreamReader, flushed: LogSequenceNumber?, clock: () -> Timestamp
    ) -> [UInt8]? {
        let now = ContinuousClock.now
        if last == nil { last = now }
        let isDue = last.map { now - $0 > .seconds(10) } ?? false
        guard stream.serverAsks || isDue || flushed != self.flushed else { return nil }
        last = now
        self.flushed = flushed
        return StandbyStatus(received: stream.received, flushed: flushed, clock: clock()).message
    }
}

/// Reads the server's messages of a physical stream (PostgreSQL documentation, "Streaming Replication Protocol").
private struct WALStreamReader {
    var received: LogSequenceNumber
    /// Whether the server has asked for a report.
    var serverAsks = false

    mutating func read(
        _ message: Span<UInt8>, settings: ConnectionSettings,
        _ onData: (LogSequenceNumber, Span<UInt8>) throws -> Void
    ) throws {
        guard let kind = message.isEmpty ? nil : message[0] else { return }
        switch kind {
        case UInt8(ascii: "w") where message.count >= 25:
            let start = LogSequenceNumber(position: message.bigEndian(at: 1))
            guard start == received else {
                throw BackupError(
                    .serverUnsupported,
                    "The server \(settings.redacted) sent WAL of \(start) where \(received) was due.",
                    remedy: "Check that the connection leads to PostgreSQL itself and not to a proxy.")
            }
            let data = message.extracting(25..<message.count)
            try onData(start, data)
            received.position += UInt64(data.count)
        case UInt8(ascii: "k") where message.count >= 18:
            if message[17] != 0 { serverAsks = true }
        default: throw ReplicationSession.unexpected("START_REPLICATION", settings)
        }
    }
}

/// The report of a receiver: up to where it has the WAL.
struct StandbyStatus {
    /// Up to where it has come.
    var received: LogSequenceNumber
    /// Up to where it is durable; `nil` to say nothing of that: the slot stays where it is, and no commit is let go.
    var flushed: LogSequenceNumber?
    var clock: Timestamp

    /// Microseconds from 1970 to 2000, where PostgreSQL's clock begins.
    static let postgresEpoch: Int64 = 946_684_800_000_000

    /// The message `r`, which asks for an answer; what was applied is not reported, because nothing is.
    ///
    /// Nothing counts as written that is not durable: a commit with `synchronous_commit = remote_write` would be let go
    /// that is in the memory of this process only.
    var message: [UInt8] {
        var bytes = [UInt8(ascii: "r")]
        let time = UInt64(bitPattern: clock.microseconds - Self.postgresEpoch)
        for value in [(flushed ?? received).position, flushed?.position ?? 0, 0, time] {
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        return bytes + [1]
    }
}

extension Span<UInt8> {
    /// The eight bytes at `offset` as a number, the most significant first.
    fileprivate func bigEndian(at offset: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in offset..<offset + 8 { value = value << 8 | UInt64(self[index]) }
        return value
    }
}
