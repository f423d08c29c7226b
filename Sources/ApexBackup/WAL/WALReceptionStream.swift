import BackupModel
import PostgresAccess

/// One connection of a receiver: from where what is stored ends, until it breaks.
struct WALReceptionStream: Sendable {
    private let reception: WALReception
    private let repository: Repository
    private let log: WALReceptionLog
    private let environment: BackupEnvironment

    init(_ reception: WALReception, _ repository: Repository, _ log: WALReceptionLog) {
        self.reception = reception
        self.repository = repository
        self.log = log
        environment = repository.environment
    }

    private var request: WALReception.Request { reception.request }

    /// Receives until something fails, or the task is cancelled; what has come by then is stored.
    func run() async throws -> Never {
        let source = try await WALReceptionSource.open(reception.connection, request, into: repository)
        log.isSynchronous = request.isSynchronous || source.synchronousStandbys.include(request.slot.description)
        log.senderTimeout = source.senderTimeout
        log.slotHolder = source.slot?.holder
        let archive = try WALArchive(repository, systemIdentifier: source.facts.systemIdentifier)
        try archive.removePiecesOfWholeSegments(size: source.segmentSize)
        throw try await ReplicationSession.with(
            reception.connection, applicationName: request.slot.description, timeout: DumpSource.connectTimeout,
            longestSilence: request.longestSilence
        ) { session in
            let kept = try await keptFrom(source.slot, in: session)
            let (place, history) = try await place(kept: kept, of: source, archive, in: session)
            // Whoever had the slot until now may have moved it meanwhile.
            let reported = max(kept, try await session.restartPosition(of: request.slot))
            let holes = WALHoleFilling(
                reception: reception, source: source, archive: archive, history: history, end: place.start.position,
                log: log)
            return await firstFailure(
                of: { try await receive(place, keptFrom: reported, of: source, into: archive, over: session) },
                { try await holes.run() }, { try await attend(source) }, rollUp)
        }
    }

    /// Runs all of these until one fails, and ends the others then; returns why.
    private func firstFailure(of parts: (@Sendable () async throws -> Void)...) async -> any Error {
        await withThrowingTaskGroup(of: Void.self) { group in
            for part in parts { group.addTask { try await part() } }
            var failure: any Error = CancellationError()
            while let result = await group.nextResult() {
                guard case .failure(let error) = result else { continue }
                if failure is CancellationError { failure = error }
                group.cancelAll()
            }
            return failure
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
        log.hasLookedForHoles = false
        return try await session.restartPosition(of: request.slot)
    }

    /// Where to begin, and the history of the server's timeline.
    ///
    /// A standby is waited for without another look at what is stored: that may move on as fast as the standby does.
    private func place(
        kept: LogSequenceNumber, of source: WALReceptionSource, _ archive: WALArchive, in session: ReplicationSession
    ) async throws -> (WALReceptionPlace, TimelineHistory) {
        var identity = try await session.identify()
        while true {
            try source.requireSame(identity, as: reception.connection)
            let timeline = identity.timeline
            let history = try await history(of: timeline, in: session)
            let place = try archive.receptionPlace(kept: kept, history: history, size: source.segmentSize)
            if place.start.position <= identity.flushed { return (place, history) }
            guard source.facts.inRecovery else { throw Self.serverIsBehind(place, identity) }
            environment.note("the standby is at \(identity.flushed), behind \(place.start.position): waiting for it")
            repeat {
                try await environment.clocks.sleep(.seconds(1))
                identity = try await session.identify()
            } while identity.timeline == timeline && identity.flushed < place.start.position
            if identity.timeline == timeline { return (place, history) }
        }
    }

    private static func serverIsBehind(
        _ place: WALReceptionPlace, _ identity: ReplicationSession.Identity
    ) -> BackupError {
        BackupError(
            .walConflict, "The server is at \(identity.flushed), and WAL up to \(place.start.position) is stored.",
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
}

extension WALReceptionStream {
    /// Receives along the timelines, as the server goes on from one to the next.
    ///
    /// The server is told of nothing before what the slot keeps, nor twice of a segment that two timelines share.
    private func receive(
        _ first: WALReceptionPlace, keptFrom kept: LogSequenceNumber, of source: WALReceptionSource,
        into archive: WALArchive, over session: ReplicationSession
    ) async throws {
        var firstReport = kept
        var place = first.start
        log.begin(place, of: source.facts.systemIdentifier)
        while true {
            try await archive.storeHistory(of: place.timeline, over: session)
            let received = ReceivedWAL(
                archive, timeline: place.timeline, size: source.segmentSize, from: place.position,
                onLogEnd: { log.isIndexDue = true })
            environment.note(
                "receiving WAL from \(place.position) on timeline \(place.timeline) over the slot '\(request.slot)'"
                    + (log.isSynchronous ? ", as a synchronous standby" : ""))
            let streamed: ReplicationSession.WALStreamEnd
            do {
                streamed = try await stream(place, firstReport: firstReport, into: received, over: session)
            } catch let error as BackupError where error.tellsOfRemovedFile {
                if place == first.start, received.position == place.position, let lostTo = first.lostTo {
                    try archive.record(
                        WALGapRecord(
                            timeline: place.timeline, from: place.position, to: lostTo,
                            foundAt: environment.clocks.wall(), slot: request.slot.description,
                            reason: error.reason ?? error.message), in: log)
                }
                throw error
            }
            guard case .timelineEnded(let next, let position) = streamed else {
                preconditionFailure("nobody stops a stream that goes on")
            }
            let segment = try WALSegmentName(streamedOf: next, at: position, source.segmentSize)
            environment.note("timeline \(place.timeline) ended at \(position); going on with timeline \(next)")
            firstReport = max(firstReport, received.position)
            // Its first segment repeats what the old timeline had of it.
            place = WALReceptionStart(
                timeline: next, position: try archive.provedPiecesEnd(of: segment) ?? segment.start)
        }
    }

    /// Streams one timeline; however that ends, what has come is stored.
    private func stream(
        _ start: WALReceptionStart, firstReport: LogSequenceNumber, into received: ReceivedWAL,
        over session: ReplicationSession
    ) async throws -> ReplicationSession.WALStreamEnd {
        let control = WALStreamControl(from: start.position, firstReport: firstReport)
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
    private func attend(_ source: WALReceptionSource) async throws {
        var isStandby = source.facts.inRecovery
        while true {
            do {
                try await PostgresSession.with(
                    reception.connection, applicationName: WALHeartbeat.applicationName,
                    timeout: DumpSource.connectTimeout, longestSilence: request.longestSilence
                ) { session in
                    isStandby = try await session.query("SELECT pg_catalog.pg_is_in_recovery()").firstValue == "t"
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
                environment.note("\(request.omission(ofStandby: isStandby)): \(known.reason ?? known.message)")
            }
            try await environment.clocks.sleep(request.heartbeat > .zero ? request.heartbeat : .seconds(30))
        }
    }

    /// Rolls up what segments say, at the beginning and after each log folder: an archive that is only received would have
    /// no roll-ups but those that its backups make.
    ///
    /// On a thread of its own: nothing waits for it, and what fails in it is a warning.
    private func rollUp() async throws {
        while true {
            if log.isIndexDue {
                log.isIndexDue = false
                WALIndexing(repository: repository).runAfterwards()
                // What was cut short with the stream is done beside the next one.
                if Task.isCancelled { log.isIndexDue = true }
            }
            try await environment.clocks.sleep(.seconds(1))
        }
    }
}
