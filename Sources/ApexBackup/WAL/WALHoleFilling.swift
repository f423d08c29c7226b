import BackupModel
import PostgresAccess

/// Fills holes in what is stored, beside the stream that goes on: over sessions of its own and without a slot, so that
/// neither that stream nor its slot knows of it.
///
/// The server keeps nothing for it. What it has removed by then is recorded as lost.
struct WALHoleFilling: Sendable {
    let reception: WALReception
    let source: WALReceptionSource
    let archive: WALArchive
    /// That of the timeline on which the stream goes on, and where.
    let history: TimelineHistory
    let end: LogSequenceNumber
    let log: WALReceptionLog

    private static let shortestPause = Duration.seconds(5)
    private static let longestPause = Duration.seconds(600)

    private var environment: BackupEnvironment { archive.repository.environment }

    /// Fills hole after hole, the newest first; returns when there is none any more that the server could fill.
    ///
    /// What fails is tried again, less and less often: nothing of it is worth breaking the stream off.
    ///
    /// - Throws: ``ErrorCode/walConflict`` where two servers write, and when the task is cancelled.
    func run() async throws {
        var pause = Self.shortestPause
        var filled: WALReceptionHole?
        while !log.hasLookedForHoles {
            do {
                let hole = try archive.receptionHole(before: end, history: history, size: source.segmentSize)
                guard let hole else {
                    log.hasLookedForHoles = true
                    return
                }
                guard hole != filled else { throw Self.isThereAgain(hole) }
                try await fill(hole)
                filled = hole
                pause = Self.shortestPause
            } catch let error as BackupError where error.code == .walConflict {
                throw error
            } catch {
                try Task.checkCancellation()
                let known = RunLog.describe(error)
                environment.warn(
                    "A hole in the stored WAL is not filled: \(known.message)\(known.reason.map { " (\($0))" } ?? "") "
                        + "Trying again in \(DurationText.format(pause)).")
                try await environment.clocks.sleep(pause)
                pause = min(pause * 2, Self.longestPause)
                filled = nil
            }
        }
    }

    private static func isThereAgain(_ hole: WALReceptionHole) -> BackupError {
        BackupError(
            .repositoryUnavailable, "The WAL from \(hole.start.position) to \(hole.end) was stored, and is missing.",
            remedy: "Check that whatever holds the repository shows the same to everybody.")
    }

    private func fill(_ hole: WALReceptionHole) async throws {
        environment.note("filling the hole in the stored WAL from \(hole.start.position) to \(hole.end)")
        try await ReplicationSession.with(
            reception.connection, applicationName: "apex-backup wal receive", timeout: DumpSource.connectTimeout,
            longestSilence: reception.request.longestSilence
        ) { session in
            try source.requireSame(try await session.identify(), as: reception.connection)
            var next: WALReceptionStart? = hole.start
            while let start = next, start.position < hole.end {
                try await archive.storeHistory(of: start.timeline, over: session)
                next = try await receive(from: start, of: hole, over: session)
            }
        }
    }

    /// Receives what one timeline has of a hole; returns where the next timeline goes on, or `nil` at the end.
    ///
    /// However it ends, what has come is stored.
    private func receive(
        from start: WALReceptionStart, of hole: WALReceptionHole, over session: ReplicationSession
    ) async throws -> WALReceptionStart? {
        let received = ReceivedWAL(
            archive, timeline: start.timeline, size: source.segmentSize, from: start.position,
            onLogEnd: { log.isIndexDue = true })
        let streamed: Result<ReplicationSession.WALStreamEnd, any Error>
        do {
            streamed = .success(try await stream(from: start, to: hole.end, into: received, over: session))
        } catch let error as BackupError where error.tellsOfRemovedFile && received.position == hole.start.position {
            try archive.record(
                WALGapRecord(
                    timeline: start.timeline, from: start.position, to: hole.end,
                    foundAt: environment.clocks.wall(), slot: reception.request.slot.description,
                    reason: error.reason ?? error.message), in: log)
            return nil
        } catch { streamed = .failure(error) }
        try received.publish()
        log.add(filling: received.counts)
        guard case .timelineEnded(let timeline, let position) = try streamed.get() else { return nil }
        // Its first segment repeats what the old timeline had of it.
        let segment = try WALSegmentName(streamedOf: timeline, at: position, source.segmentSize)
        return WALReceptionStart(
            timeline: timeline, position: try archive.provedPiecesEnd(of: segment) ?? segment.start)
    }

    /// What the server sends behind the hole before it knows that nobody wants that is stored already.
    private func stream(
        from start: WALReceptionStart, to end: LogSequenceNumber, into received: ReceivedWAL,
        over session: ReplicationSession
    ) async throws -> ReplicationSession.WALStreamEnd {
        // To be told where this one stands is of no use to the server, and might pass for a synchronous standby's word.
        let control = WALStreamControl(from: start.position, firstReport: LogSequenceNumber(position: .max))
        control.stop(at: end)
        let clocks = environment.clocks
        return try await session.streamWAL(
            slot: nil, timeline: start.timeline, from: start.position, control: control, clock: clocks.wall,
            onData: { position, bytes in
                let missing = end.position - min(position.position, end.position)
                let wanted = bytes.extracting(first: Int(min(UInt64(bytes.count), missing)))
                _ = try received.take(wanted, at: clocks.monotonic())
            })
    }
}
