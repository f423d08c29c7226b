import BackupModel
import BackupStorage
import PostgresAccess

/// A drill of a physical backup and the WAL behind it.
extension DrillRun {
    /// What was chosen before anything was made.
    private struct Choice: Sendable {
        var target: DrillTarget
        var restore: PhysicalRestore
        var prepared: PhysicalRestore.Prepared
        var tools: ClientTools
        var remarks: [String]
    }

    func performPhysical(
        in directory: String, journal: inout DrillJournal, observation: inout DrillObservation
    ) async throws {
        async let asked = askSource()
        let choice = try await journal.measure(.select) { try await choose(in: directory) }
        let prepared = choice.prepared
        note(choice, in: &journal)
        let recovery = try await journal.measure(.provision) {
            try await ScratchRecovery.make(directory, choice.restore.request, repository: repository)
        }
        journal.server = DrillServer(recovery, nil)
        let began = journal.elapsed
        let witnesses = try await journal.measure(.restore) {
            // Nobody who recovers looks for them: beside the files they add nothing to the recovery time.
            async let witnesses = RecoveryWitnesses(of: prepared)
            _ = try await recovery.restore.run(prepared)
            return await witnesses
        }
        journal.spans[journal.spans.count - 1].bytes = prepared.plan.contentBytes
        let start = recovery.start(prepared, tools: choice.tools, settings: policy.target.overrides)
        do {
            let server = try await recover(start, recovery, prepared, witnesses, journal: &journal)
            start.record(seconds: (journal.elapsed - began).seconds, by: journal.id)
            var failure: (any Error)?
            do {
                try await check(server, journal: &journal, observation: &observation)
            } catch { failure = error }
            // Behind the checks: no recovery waits for the answer of a source that is lost.
            try note(await asked, prepared, in: &journal)
            observation.recoveryPoint = try recoveryPoint(choice.target, prepared, witnesses, of: journal)
            if let failure { throw failure }
            try await compareCollations(of: server, with: prepared.record.collations, journal: &journal)
        } catch {
            throw start.explained(error)
        }
    }

    /// Starts the server, and returns it once it has recovered to the target and was promoted.
    private func recover(
        _ start: RestoredStart, _ recovery: ScratchRecovery, _ prepared: PhysicalRestore.Prepared,
        _ witnesses: RecoveryWitnesses, journal: inout DrillJournal
    ) async throws -> RestoredServer {
        journal.phase = .replay
        var running: CloneServer?
        defer { journal.server = DrillServer(recovery, running) }
        let (watch, replay) = try await journal.measure(.replay) {
            let (server, overlay) = try await start.launch()
            running = server
            let watch = RecoveryWatch(
                server: server, overlay: overlay, plan: prepared.recovery, environment: repository.environment)
            return (watch, try await watch.replay())
        }
        note(replay, of: prepared, in: &journal)
        let isPromoted = !replay.state.isInRecovery
        if isPromoted {
            _ = try await journal.measure(.promote) { try await watch.promote() }
            journal.join()
        }
        let boundary = try await journal.measure(.verify) { try await askBoundary(of: watch, witnesses.commits.get()) }
        journal.recovery?.before = boundary.before.map(DrillReport.TransactionRecord.init)
        journal.recovery?.behind = boundary.behind.map(DrillReport.TransactionRecord.init)
        if !isPromoted { _ = try await journal.measure(.promote) { try await watch.promote() } }
        journal.recovery?.timeline = try await watch.timeline(isPromoted: true)
        let connection = try await watch.server.reachable()
        let (facts, databases) = try await PostgresSession.with(
            connection, applicationName: "apex-backup drill", timeout: DumpSource.connectTimeout
        ) { session in
            let names = try await session.query(
                "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1")
            return (try await session.serverFacts(), names.rows.compactMap { $0[0] })
        }
        journal.serverFacts = facts
        return RestoredServer(
            repository: repository, connection: connection, manifest: prepared.manifest,
            artefacts: prepared.manifest.artefacts, databases: databases,
            recovery: DrillRecovery(
                plan: prepared.recovery, replay: replay.state, boundary: boundary,
                isAskedInTime: replay.state.isInRecovery), environment: repository.environment)
    }

    /// What differs is this host's and no fault of the backup; a recovery here would have to rebuild indexes.
    private func compareCollations(
        of server: RestoredServer, with source: CollationRecord?, journal: inout DrillJournal
    ) async throws {
        let report = try await journal.measure(.deepVerify) {
            try await CollationInquiry(server: server.connection).report(comparedWith: source)
        }
        journal.recovery?.collations = report
        guard let summary = report.summary else { return }
        let isRebuilt = report.databases.isEmpty ? "" : " Rebuilding them is not part of the recovery time."
        journal.remarks.append(summary + isRebuilt)
    }

    /// Asks the server of the transactions on both sides of the target, while it waits there.
    private func askBoundary(
        of watch: RecoveryWatch, _ commits: RecoveryWitnesses.Commits
    ) async throws -> BoundaryProof {
        try await PostgresSession.with(
            try await watch.server.reachable(), applicationName: "apex-backup drill",
            timeout: DumpSource.connectTimeout
        ) { session in
            BoundaryProof(
                before: try await session.witness(commits.before), behind: try await session.witness(commits.behind))
        }
    }

    /// The moment to the microsecond, as `restore --to` takes it again.
    private func text(of moment: RestoreMoment) -> String {
        if case .time(let time) = moment { return "\(time)" }
        return RecoveryText.moment(moment)
    }

    /// The replay ends where the server stops to replay, and not where it has promoted itself.
    private func note(
        _ replay: RecoveryWatch.Replay, of prepared: PhysicalRestore.Prepared, in journal: inout DrillJournal
    ) {
        journal.isolation = replay.isolation
        journal.recovery?.replayedLSN = replay.state.replayed
        journal.recovery?.lastTransactionAt = replay.state.lastTransaction
        let start = prepared.recovery.backup.start.position
        journal.spans[journal.spans.count - 1].bytes = replay.state.replayed.map {
            Int64(clamping: max($0.position, start) - start)
        }
        journal.cut(replay.promotion, as: .promote)
    }

    private func note(_ choice: Choice, in journal: inout DrillJournal) {
        let (plan, manifest) = (choice.prepared.plan, choice.prepared.manifest)
        journal.remarks = choice.remarks + plan.warnings
        journal.manifest = manifest
        journal.state = (try? Catalogue(repository).entry(manifest.id))??.state
        journal.backupHost = try? repository.get(RunStart.self, at: repository.layout.runStart(manifest.id))?.host
        journal.artefacts = manifest.artefacts
        var record = DrillReport.RecoveryRecord(
            target: text(of: choice.target.moment), plannedEnd: plan.end, segments: plan.segments,
            firstSegment: plan.firstSegment, lastSegment: plan.lastSegment)
        if let chosen = choice.target.choice {
            record.seed = chosen.seed
            record.windowStart = chosen.start
            record.windowEnd = chosen.end
        }
        journal.recovery = record
    }
}

// MARK: What is recovered to

extension DrillRun {
    private func choose(in directory: String) async throws -> Choice {
        var request = PhysicalRestore.Request(
            backup: try backupName(), moment: nil, directory: directory, jobs: settings.policy.jobs,
            archive: try WALCommands(settings)
        ).moved(into: directory)
        var view = try PhysicalRestore(repository: repository, request: request).look()
        let (target, first) = try prepare(&request, in: &view)
        let (restore, prepared, remark) = try await PhysicalRestore(repository: repository, request: request)
            .readable(first, in: &view)
        let tools = try await restore.tools(for: prepared, settings)
        return Choice(
            target: target, restore: restore, prepared: prepared, tools: tools, remarks: [remark].compactMap(\.self))
    }

    private func backupName() throws(BackupError) -> String {
        switch policy.source.selection {
        case .latest: return "latest"
        case .id(let id): return id.text
        case .oldest:
            let oldest = try Catalogue(repository).backups().first { $0.manifest?.kind == .physical }
            return oldest?.id.text ?? "latest"
        }
    }

    private func prepare(
        _ request: inout PhysicalRestore.Request, in view: inout RestorableArchive
    ) throws(BackupError) -> (DrillTarget, PhysicalRestore.Prepared) {
        let window: Duration?
        switch policy.source.target {
        case .moment(let moment):
            request.moment = moment
            return (
                DrillTarget(moment: moment),
                try PhysicalRestore(repository: repository, request: request).prepare(in: &view)
            )
        case .random(let within): window = within
        }
        request.moment = .latest
        var (start, end) = try PhysicalRestorePlanning(repository: repository, request: request).window(in: &view)
        if let window { start = max(start, end.advanced(by: .zero - window)) }
        let seed = policy.source.seed ?? UInt32(environment.chance()) << 16 | UInt32(environment.chance())
        var generator = MomentDraw(seed: seed)
        var tries = 0
        while true {
            let moment = RestoreMoment.time(generator.moment(from: start, to: end))
            request.moment = moment
            do throws(BackupError) {
                let prepared = try PhysicalRestore(repository: repository, request: request).prepare(in: &view)
                return (DrillTarget(moment: moment, choice: (seed, start, end)), prepared)
            } catch  where error.code == .momentUnreachable && tries < 64 {
                // The first moments behind a backup may not be: a transaction ended while it was taken.
                tries += 1
            }
        }
    }

    /// Up to when everything is there; `nil` if nothing tells.
    private func recoveryPoint(
        _ target: DrillTarget, _ prepared: PhysicalRestore.Prepared, _ witnesses: RecoveryWitnesses,
        of journal: DrillJournal
    ) throws(BackupError) -> RecoveryPoint? {
        let (recovery, manifest) = (prepared.recovery, prepared.manifest)
        let mark = recovery.end.mark
        let lsn = journal.recovery?.replayedLSN ?? mark.lsn
        let last = journal.recovery?.lastTransactionAt
        let known = mark.time ?? last ?? manifest.recoveryPoint
        switch target.moment {
        case .latest:
            let heartbeat = try witnesses.lastHeartbeat.get()
            let source = journal.source?.position
            return RecoveryPoint(
                endOfWAL: max(known, heartbeat ?? known), hasHeartbeat: Self.isRecent(heartbeat, to: known), lsn: lsn,
                stored: mark.lsn, timeline: recovery.timeline, declaredFailure: journal.declaredAt,
                clockUncertainty: (source?.clock ?? manifest.clockDifference).bound, source: source)
        case .immediate:
            // That the backup ended then is no word of the WAL: only what was replayed is.
            let heartbeat = try witnesses.lastHeartbeat.get()
            guard let covered = [last, heartbeat].compactMap(\.self).max() else { return nil }
            return RecoveryPoint(
                consistentAt: manifest.recoveryPoint, covered: covered,
                hasHeartbeat: Self.isRecent(heartbeat, to: manifest.recoveryPoint), lsn: lsn,
                timeline: recovery.timeline, clockUncertainty: manifest.clockDifference.bound)
        case .time(let time): return RecoveryPoint(target: time, lsn: lsn, timeline: recovery.timeline)
        case .position, .restorePoint, .transaction:
            return RecoveryPoint(target: known, lsn: lsn, timeline: recovery.timeline)
        }
    }

    private static func isRecent(_ heartbeat: Timestamp?, to moment: Timestamp) -> Bool {
        heartbeat.map { moment.since($0) <= .seconds(60) } ?? false
    }
}

extension DrillReport.TransactionRecord {
    init(_ witness: BoundaryProof.Witness) {
        self.init(
            xid: witness.commit.transactionID, lsn: witness.commit.lsn, committedAt: witness.commit.time,
            status: witness.status)
    }
}
