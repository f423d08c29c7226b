import BackupModel
import PostgresAccess

/// One connection of a receiver: from where what is stored ends, until it breaks.
struct WALReceptionStream: Sendable {
    private let reception: WALReception
    private let log: WALReceptionLog
    private let environment: BackupEnvironment

    init(_ reception: WALReception, _ log: WALReceptionLog) {
        self.reception = reception
        self.log = log
        environment = reception.repository.environment
    }

    private var request: WALReception.Request { reception.request }

    /// Receives until something fails, or the task is cancelled; what has come by then is stored.
    func run() async throws {
        let source = try await WALReceptionSource.open(
            reception.connection, slot: request.slot, into: reception.repository)
        log.isSynchronous = request.isSynchronous || source.synchronousStandbys.include(request.slot.description)
        let archive = try WALArchive(reception.repository, systemIdentifier: source.facts.systemIdentifier)
        try archive.removePiecesOfWholeSegments(size: source.segmentSize)
        try await ReplicationSession.with(
            reception.connection, applicationName: request.slot.description, timeout: DumpSource.connectTimeout
        ) { session in
            let kept = try await keptFrom(source.slot, in: session)
            let (start, first) = try await start(kept: kept, of: source, archive, in: session)
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await receive(start, of: source, into: archive, over: session) }
                    group.addTask { try await attend() }
                    var failure: (any Error)?
                    while let result = await group.nextResult() {
                        if case .failure(let error) = result, failure == nil || failure is CancellationError {
                            failure = error
                        }
                        group.cancelAll()
                    }
                    if let failure { throw failure }
                }
            } catch let error as BackupError
                where error.sqlstate == "58P01" && start.position < first
                && log.result.storedEnd == start.position
            {
                try record(
                    WALGapRecord(
                        timeline: start.timeline, from: start.position, to: first, foundAt: environment.clocks.wall(),
                        slot: request.slot.description, reason: error.reason ?? error.message), in: archive)
                throw error
            }
        }
    }

    /// From where the server keeps WAL for the slot, which is made if there is none, and anew if it has lost WAL.
    private func keptFrom(
        _ slot: WALReceptionSource.Slot?, in session: ReplicationSession
    ) async throws -> LogSequenceNumber {
        if let slot {
            if !slot.hasLostWAL, let kept = slot.keptFrom { return kept }
            if slot.hasLostWAL {
                environment.warn(
                    "The replication slot '\(request.slot)' has lost WAL: the server kept no more than "
                        + "max_slot_wal_keep_size. It is made anew.")
            }
            try await session.dropSlot(request.slot)
        }
        try await session.makeSlot(request.slot)
        environment.note("made the replication slot '\(request.slot)'")
        return try await session.restartPosition(of: request.slot)
    }

    /// Where to begin, and where the WAL that the slot keeps begins.
    private func start(
        kept: LogSequenceNumber, of source: WALReceptionSource, _ archive: WALArchive, in session: ReplicationSession
    ) async throws -> (start: WALReceptionStart, first: LogSequenceNumber) {
        let first = LogSequenceNumber(position: kept.position - source.segmentSize.offset(of: kept))
        var isWaiting = false
        while true {
            let identity = try await session.identify()
            guard identity.systemIdentifier == source.facts.systemIdentifier else {
                throw BackupError(
                    .wrongCluster, "Two sessions of \(reception.connection.redacted) led to different servers.",
                    remedy: "Name only hosts of one cluster in the connection's URL.")
            }
            let history = try await history(of: identity.timeline, in: session)
            let start = try archive.receptionStart(kept: kept, history: history, size: source.segmentSize)
            if start.position <= identity.flushed { return (start, first) }
            guard source.facts.inRecovery else { throw Self.serverIsBehind(start, identity) }
            if !isWaiting {
                environment.note("the standby is at \(identity.flushed), behind \(start.position): waiting for it")
            }
            isWaiting = true
            try await environment.clocks.sleep(.seconds(1))
        }
    }

    private static func serverIsBehind(
        _ start: WALReceptionStart, _ identity: ReplicationSession.Identity
    ) -> BackupError {
        BackupError(
            .walConflict, "The server is at \(identity.flushed), and WAL up to \(start.position) is stored.",
            reason: "on timeline \(identity.timeline), which it writes itself: it was set back, or another server has "
                + "written what is stored",
            remedy:
                "Find out which server is the right one. A server that was set back needs a new timeline: restore it "
                + "with apex-backup, or give it a cluster name of its own.")
    }

    private func history(of timeline: UInt32, in session: ReplicationSession) async throws -> TimelineHistory {
        guard timeline > 1 else { return TimelineHistory(first: timeline) }
        let content = try await session.timelineHistory(timeline)
        return try TimelineHistory(timeline: timeline, parsing: String(decoding: content, as: UTF8.self))
    }

    private func record(_ gap: WALGapRecord, in archive: WALArchive) throws(BackupError) {
        try archive.store(gap)
        log.add(gap)
        environment.warn("\(gap.description) Take a new base backup: apex-backup backup --kind physical")
    }
}

extension WALReceptionStream {
    /// Receives along the timelines, as the server goes on from one to the next.
    private func receive(
        _ start: WALReceptionStart, of source: WALReceptionSource, into archive: WALArchive,
        over session: ReplicationSession
    ) async throws {
        var place = start
        log.begin(start, of: source.facts.systemIdentifier)
        while true {
            if place.timeline > 1 {
                try archive.store(try await session.timelineHistory(place.timeline), of: place.timeline)
            }
            let received = ReceivedWAL(
                archive, timeline: place.timeline, size: source.segmentSize, from: place.position)
            environment.note(
                "receiving WAL from \(place.position) on timeline \(place.timeline) over the slot '\(request.slot)'"
                    + (log.isSynchronous ? ", as a synchronous standby" : ""))
            guard case .timelineEnded(let next, let position) = try await stream(place, into: received, over: session),
                let segment = WALSegmentName(timeline: next, containing: position, segmentSize: source.segmentSize)
            else { return }
            environment.note("timeline \(place.timeline) ended at \(position); going on with timeline \(next)")
            // Its first segment repeats what the old timeline had of it.
            place = WALReceptionStart(
                timeline: next, position: try archive.piecesEnd(of: segment) ?? segment.start)
        }
    }

    /// Streams one timeline; however that ends, what has come is stored.
    private func stream(
        _ start: WALReceptionStart, into received: ReceivedWAL, over session: ReplicationSession
    ) async throws -> ReplicationSession.WALStreamEnd {
        let control = WALStreamControl(from: start.position)
        let clocks = environment.clocks
        let interval = request.interval
        let streamed: Swift.Result<ReplicationSession.WALStreamEnd, any Error>
        do {
            streamed = .success(
                try await session.streamWAL(
                    slot: request.slot.description, timeline: start.timeline, from: start.position, control: control,
                    clock: clocks.wall,
                    onPause: { serverAsks in
                        log.hasStreamed = true
                        let patience = serverAsks || log.isSynchronous ? .zero : interval
                        if received.isDue(after: patience, at: clocks.monotonic()) {
                            control.flushed = try received.publish()
                        }
                        environment.events(
                            .progress(
                                subject: "WAL up to \(received.position)", bytes: received.counts.bytes, of: nil))
                    },
                    onData: { _, bytes in
                        control.flushed = try received.take(bytes, at: clocks.monotonic())
                        if received.isDue(after: interval, at: clocks.monotonic()) {
                            control.flushed = try received.publish()
                        }
                    }))
        } catch { streamed = .failure(error) }
        let stored = Swift.Result { () throws(BackupError) in try received.publish() }
        switch stored {
        case .success(let end): log.add(received.counts, timeline: start.timeline, storedEnd: end, isAll: true)
        case .failure(let error):
            log.add(received.counts, timeline: start.timeline, storedEnd: control.flushed, isAll: false)
            throw error
        }
        return try streamed.get()
    }

    /// Writes heartbeats, and looks whether the server waits for this receiver.
    private func attend() async throws {
        while true {
            do {
                try await PostgresSession.with(
                    reception.connection, applicationName: WALHeartbeat.applicationName,
                    timeout: DumpSource.connectTimeout
                ) { session in
                    let isStandby = try await session.query("SELECT pg_catalog.pg_is_in_recovery()").firstValue == "t"
                    let names = try await session.synchronousStandbys(
                        requiring: request.slot.description, inRecovery: isStandby)
                    log.isSynchronous = request.isSynchronous || names.include(request.slot.description)
                    if !isStandby, request.heartbeat > .zero { _ = try await session.writeHeartbeat() }
                }
            } catch let error as BackupError where error.code == .serverUnsupported {
                throw error
            } catch {
                try Task.checkCancellation()
                let known = RunLog.describe(error)
                environment.note("no heartbeat was written: \(known.reason ?? known.message)")
            }
            try await environment.clocks.sleep(request.heartbeat > .zero ? request.heartbeat : .seconds(30))
        }
    }
}
