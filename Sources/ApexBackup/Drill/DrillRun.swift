package import BackupModel
import BackupStorage
import PostgresAccess

/// One drill: a server made from nothing, a backup restored into it, and proof of what came back, on a clock.
package struct DrillRun: Sendable {
    /// How a drill ended.
    package struct Outcome: Sendable {
        package var report: DrillReport
        /// Where the report is kept; `nil` if it could not be.
        package var location: String?
        package var verdict: Verdict { report.verdict }
        /// Whether everything the drill made is gone again.
        package var isCleanedUp: Bool
        /// Whether it was asked to stop before its end.
        package var wasInterrupted: Bool

        /// 0 PASS, 1 FAIL, 2 NOT VERIFIED, 3 when clean-up failed.
        package var exitStatus: Int32 { isCleanedUp ? verdict.exitStatus : ErrorCode.cleanupFailed.exitStatus }
    }

    let repository: Repository
    let policy: DrillPolicy
    /// SHA-256 of the policy's file.
    let policyDigest: SHA256Digest
    let settings: EffectivePolicy

    package init(
        repository: Repository, policy: DrillPolicy, policyDigest: SHA256Digest, settings: EffectivePolicy
    ) {
        self.repository = repository
        self.policy = policy
        self.policyDigest = policyDigest
        self.settings = settings
    }

    var environment: BackupEnvironment { repository.environment }

    /// Runs the drill as a recorded run; its reports and ledger entry are in the repository when this returns.
    package func run() async throws -> Outcome {
        return try await RunLog(repository: repository).recorded(
            .drill, settings: "\(policyDigest)", judge: Self.end
        ) { id in
            await DrillLeftovers(parent: scratchParent, environment: environment).remove()
            // The failure is declared before anything is looked at.
            var journal = DrillJournal(id: id, clocks: environment.clocks, events: environment.events)
            var observation = DrillObservation()
            let directory = "\(scratchParent)/\(DrillLeftovers.name(of: id))"
            do {
                switch policy.source.kind {
                case .logical: try await perform(in: directory, journal: &journal, observation: &observation)
                case .physical:
                    try await performPhysical(in: directory, journal: &journal, observation: &observation)
                }
            } catch {
                // What fails after the drill was asked to stop fails because of that.
                let cause = Task.isCancelled ? CancellationError() : error
                observation.faults.append(DrillJournal.fault(cause, during: journal.phase))
                // A restore of a physical backup has told itself; what is wrong with the WAL behind it is not the backup's.
                if let manifest = journal.manifest, manifest.kind == .logical {
                    repository.recordDamage(RunLog.describe(cause), of: manifest.id, foundBy: id)
                }
            }
            journal.gaveUp()
            let cleanup = await cleanUp(journal.server, directory: directory, journal: &journal)
            let wasInterrupted = observation.faults.contains { if case .aborted = $0 { true } else { false } }
            var record = DrillRecord(
                repository: repository, policy: policy, policyDigest: policyDigest, journal: journal,
                observation: observation, cleanup: cleanup)
            do {
                let (report, location) = try record.store()
                return Outcome(
                    report: report, location: location, isCleanedUp: cleanup.isDone, wasInterrupted: wasInterrupted)
            } catch {
                record.observation.faults.append(.notRecorded(RunLog.describe(error).messageWithReason))
                return Outcome(
                    report: record.makeReport(), location: nil, isCleanedUp: cleanup.isDone,
                    wasInterrupted: wasInterrupted)
            }
        }
    }

    /// The directory for everything that the drill makes.
    private var scratchParent: String {
        policy.target.directory.map(DrillLeftovers.normalized) ?? DrillLeftovers.usualParent(environment)
    }

    /// A drill whose verdict is not PASS did not succeed, though it ran to its end.
    private static func end(of outcome: Outcome) -> (RunEnd.Result, BackupError?) {
        guard outcome.exitStatus != 0 else { return (.succeeded, nil) }
        let code: ErrorCode =
            !outcome.isCleanedUp ? .cleanupFailed : outcome.verdict == .fail ? .restoreFailed : .notVerified
        return (
            outcome.wasInterrupted ? .interrupted : .failed,
            BackupError(
                code, "The drill ended with \(outcome.verdict.headline).",
                reason: outcome.report.reasons.joined(separator: "; "), remedy: "Read the report.")
        )
    }

    private func perform(
        in directory: String, journal: inout DrillJournal, observation: inout DrillObservation
    ) async throws {
        let (entry, manifest, tools, remarks) = try await journal.measure(.select) { try await select() }
        journal.remarks = remarks
        journal.manifest = manifest
        journal.state = entry.state
        journal.backupHost = try? repository.get(RunStart.self, at: repository.layout.runStart(manifest.id))?.host
        journal.artefacts = manifest.artefacts
        let overlay = CloneOverlay(
            of: .init(
                major: tools.major, origin: .initialised, dataDirectory: "\(directory)/data",
                socketDirectory: directory,
                clusterName: "apex-backup drill", sharedBuffers: RestoredStart.sharedBuffers)
        ).leaving(Set(policy.target.overrides.keys))
        var started: ScratchServer?
        defer { journal.server = started.map(DrillServer.init) }
        let (server, answers) = try await journal.measure(.provision) {
            let server = try await ScratchServer.start(
                binDirectory: tools.directory, directory: directory, options: scratchOptions(overlay))
            started = server
            let answers = try await PostgresSession.with(
                server.settings, applicationName: "apex-backup drill", timeout: DumpSource.connectTimeout
            ) { session in
                try await session.requirePatterns(of: policy.checks)
                return try overlay.proof(from: try await session.answers(to: overlay))
            }
            return (server, answers)
        }
        journal.isolation = answers
        let restored = try await restore(entry, into: server, journal: &journal)
        observation.recoveryPoint = recoveryPoint(of: restored, at: journal.declaredAt)
        try await check(restored, journal: &journal, observation: &observation)
    }

    private func select() async throws -> (CatalogueEntry, BackupManifest, ClientTools, remarks: [String]) {
        let catalogue = Catalogue(repository)
        let entry =
            switch policy.source.selection {
            case .latest: try catalogue.backup(named: "latest", kind: .logical)
            case .oldest: try oldest(in: catalogue)
            case .id(let id): try catalogue.backup(named: id.text, kind: .logical)
            }
        guard let manifest = entry.manifest else { preconditionFailure("a chosen backup has a manifest") }
        var remarks: [String] = []
        if case .latest = policy.source.selection, let wider = try catalogue.wider(than: manifest) {
            remarks.append(
                "Backup \(wider.id), which is older, was taken of more than the latest one: what only the older one "
                    + "holds is not drilled.")
        }
        remarks.forEach(environment.warn)
        let version = manifest.server.versionNumber
        let bin = settings.policy.cluster.bin
        let path = environment.variables["PATH"] ?? ""
        let server = try await ClientTools.find(
            ClientTools.server, forServer: version, directory: bin, searchPath: path)
        guard server.major == manifest.server.major else {
            throw BackupError(
                .toolMissing, "There is no PostgreSQL \(manifest.server.major) server to drill with.",
                reason: "the nearest is \(server.major) in \(server.directory)",
                remedy: "Install the server package of PostgreSQL \(manifest.server.major).")
        }
        return (entry, manifest, server, remarks)
    }

    private func oldest(in catalogue: Catalogue) throws(BackupError) -> CatalogueEntry {
        let all = try catalogue.backups().filter { $0.manifest?.kind == .logical }
        guard let first = all.first else { return try catalogue.backup(named: "latest", kind: .logical) }
        return first
    }

    private func recoveryPoint(of server: RestoredServer, at declared: Timestamp) -> RecoveryPoint? {
        RecoveryPoint(
            dumps: server.records.map {
                .init(
                    database: $0.name, at: $0.snapshot.clock, lsn: $0.snapshot.lsn, timeline: $0.snapshot.timeline)
            },
            declaredFailure: declared, clockUncertainty: server.manifest.clockDifference.bound)
    }

    /// Settings of the drill's own for a server that only takes a restore, and takes it to disk as a real one does.
    static let serverSettings = ["max_wal_size": "4GB", "autovacuum": "off", "fsync": "on"]

    /// What isolates the server wins over the policy.
    private func scratchOptions(_ overlay: CloneOverlay) -> ScratchServer.Options {
        var options = ScratchServer.Options()
        options.configuration = Self.serverSettings
        options.configuration.merge(policy.target.overrides) { _, given in given }
        options.configuration.merge(overlay.configuration) { _, isolating in isolating }
        return options
    }

    private func restore(
        _ entry: CatalogueEntry, into server: ScratchServer, journal: inout DrillJournal
    ) async throws -> RestoredServer {
        var request = RestoreRequest()
        request.backup = entry.id.text
        request.databases = policy.source.databases
        request.bin = settings.policy.cluster.bin
        // The scratch server has no other, and where data lies is nothing that a drill proves.
        request.tablespace = "pg_default"
        request.jobs = settings.policy.jobs
        request.spoolDirectory = scratchParent
        let restore = LogicalRestore(
            repository: repository, request: request, connection: server.settings.withoutDatabase)
        let prepared = try await journal.measure(.select) { try await restore.prepare() }
        journal.serverFacts = prepared.target.facts
        journal.artefacts = prepared.artefacts
        journal.isPartial = prepared.plan.isPartial
        journal.remarks += prepared.plan.warnings
        let start = journal.elapsed
        do {
            let result = try await restore.run(prepared)
            journal.remarks += result.warnings.filter { !prepared.plan.warnings.contains($0) }
            journal.add(result.phases, from: start, bytes: prepared.plan.databases.reduce(0) { $0 + $1.contentBytes })
            await prepared.close()
        } catch {
            journal.phase = .restore
            await prepared.close()
            throw error
        }
        return RestoredServer(
            repository: repository, connection: server.settings, manifest: prepared.manifest,
            artefacts: prepared.artefacts, databases: prepared.databases.map(\.name), records: prepared.databases,
            environment: environment)
    }

    /// Gating checks first: recovery ends with the last of them.
    ///
    /// Advisory ones follow.
    func check(
        _ server: RestoredServer, journal: inout DrillJournal, observation: inout DrillObservation
    ) async throws {
        let secrets = settings.secrets
        let checks = DrillChecks(server: server, secrets: secrets)
        for (phase, isGating) in [(DrillSpan.Phase.verify, true), (.deepVerify, false)] {
            let asked = policy.checks.filter { $0.isGating == isGating }
            guard !asked.isEmpty else { continue }
            try await journal.measure(phase) {
                for check in asked {
                    environment.events(.phase("check \(check.id)"))
                    observation.results.append(try await checks.ask(check))
                }
            }
            if isGating, observation.results.allSatisfy({ $0.outcome == .passed }) { journal.recovered() }
        }
    }

    private func cleanUp(
        _ server: DrillServer?, directory: String, journal: inout DrillJournal
    ) async -> DrillCleanup {
        let start = journal.elapsed
        var problems: [String] = []
        do {
            try await server?.destroy()
        } catch {
            problems.append(RunLog.describe(error).message)
        }
        if HostFacts.exists(directory) { problems.append("the directory \(directory) is still there") }
        if let process = server?.processIdentifier, HostFacts.exists("/proc/\(process)/stat") {
            problems.append("the server process \(process) is still there")
        }
        journal.cleanedUp(since: start)
        return DrillCleanup(
            isDone: problems.isEmpty,
            proof: problems.isEmpty
                ? [
                    server?.processIdentifier.map { "process \($0) is gone" } ?? "no server was started",
                    "\(directory) is absent",
                ]
                : problems)
    }
}

/// What is left of a drill's server.
struct DrillCleanup: Sendable {
    var isDone: Bool
    /// What was looked at to be sure, or what is left.
    var proof: [String]
}
