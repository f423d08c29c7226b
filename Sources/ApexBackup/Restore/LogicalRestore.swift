package import BackupModel
import BackupStorage
import PostgresAccess

/// Restores dumps into a running server: a plan first, then globals, databases, ANALYZE and a comparison of row counts.
package struct LogicalRestore: Sendable {
    let repository: Repository
    let request: RestoreRequest
    let connection: ConnectionSettings

    /// A restore to the server at `url`.
    package init(repository: Repository, request: RestoreRequest, url: String) throws(BackupError) {
        self.init(repository: repository, request: request, connection: try ConnectionSettings(parsing: url))
    }

    init(repository: Repository, request: RestoreRequest, connection: ConnectionSettings) {
        self.repository = repository
        self.request = request
        self.connection = connection
    }

    /// Everything a plan was made from, kept for carrying it out.
    package struct Prepared: Sendable {
        package let plan: RestorePlan
        let manifest: BackupManifest
        let databases: [DatabaseRecord]
        let artefacts: [Artefact]
        let globals: GlobalsPlan?
        let target: TargetServer
        let tools: ClientTools
        /// The chosen tables and schemas, when not all of a database is restored.
        let selection: ArchiveSelection?
        /// Whether everything goes into one tablespace.
        let omitsTablespaces: Bool

        func dump(of record: DatabaseRecord, in repository: Repository) throws(BackupError) -> StoredArtefact {
            try StoredArtefact.dump(of: record, among: artefacts, backup: manifest.id, in: repository)
        }

        /// Ends the session in which the plan was made.
        package func close() async { await target.close() }
    }

    /// Makes the plan; nothing of the target is changed.
    ///
    /// Throws what makes the restore impossible.
    package func prepare() async throws -> Prepared { try await prepare(recordingAs: nil) }

    /// Makes the plan; damage that is found is recorded as found by `run`.
    private func prepare(recordingAs run: RunID?) async throws -> Prepared {
        do {
            try repository.requireRegistration()
            let entry = try chooseBackup()
            do { return try await planned(entry) } catch {
                if let run { repository.recordDamage(RunLog.describe(error), of: entry.id, foundBy: run) }
                throw error
            }
        } catch {
            throw RunLog.describe(error).leaving("Nothing was changed.")
        }
    }

    private func planned(_ entry: CatalogueEntry) async throws -> Prepared {
        Spool.sweep(request.spoolDirectory, environment: repository.environment)
        guard let manifest = entry.manifest, manifest.kind == .logical else {
            throw BackupError(
                .usage, "Backup \(entry.id) holds a data directory; a connection URL takes dumps.",
                remedy: "Name a directory with --to, or tables with --table, or a logical backup.",
                unchanged: "Nothing was changed.")
        }
        let catalogue = Catalogue(repository)
        let (databases, artefacts) = try catalogue.databases(of: manifest)
        let chosen = try RestorePlanning.choose(
            among: databases, request: request, into: connection.database, newestHolding: catalogue.newest(holding:))
        let target = try await TargetServer.open(
            connection, replacing: Set(chosen.map(\.target)), clocks: repository.environment.clocks)
        do {
            return try await RestorePlanning(
                restore: self, manifest: manifest, chosen: chosen, artefacts: artefacts, target: target,
                failedVerification: entry.failedVerification
            ).prepare()
        } catch {
            await target.close()
            throw error
        }
    }

    /// The backup that was named; for a moment, the newest whose recovery point is not after it.
    private func chooseBackup() throws(BackupError) -> CatalogueEntry {
        guard case .time(let moment)? = request.moment else {
            switch request.moment {
            case nil, .latest: return try Catalogue(repository).backup(named: request.backup, kind: .logical)
            default:
                throw BackupError(
                    .momentUnreachable, "A dump has no transaction, restore point or log position to go back to.",
                    reason: "logical backups cannot be rolled forward",
                    remedy: "Give a time and --nearest, or restore a physical backup.",
                    unchanged: "Nothing was changed.")
            }
        }
        guard request.backup == "latest" else {
            throw BackupError(
                .usage, "A backup and a moment were both named.", reason: "a moment chooses the backup by itself",
                remedy: "Give the backup's name alone, or the moment alone.", unchanged: "Nothing was changed.")
        }
        let entries = try Catalogue(repository).entries()
        let all = entries.filter { $0.manifest?.kind == .logical }
        func point(_ entry: CatalogueEntry) -> Timestamp { entry.manifest?.recoveryPoint ?? Timestamp(microseconds: 0) }
        guard let chosen = all.filter({ point($0) <= moment }).max(by: { point($0) < point($1) }) else {
            let first = all.map(point).min()
            throw BackupError(
                .momentUnreachable, "No logical backup was taken by \(moment).",
                reason: first.map { "the oldest shows \($0)" } ?? "there is none at all",
                remedy: first.map { "The earliest moment that can be restored is \($0)." } ?? "Take a backup.",
                unchanged: "Nothing was changed.")
        }
        guard request.acceptsNearest || point(chosen) == moment else {
            let later = all.map(point).filter { $0 > moment }.min()
            throw BackupError(
                .momentUnreachable, "A logical backup cannot be rolled forward to \(moment).",
                reason: "the newest backup before it, \(chosen.id), shows \(point(chosen)), "
                    + "\(DurationText.format(moment.since(point(chosen)))) earlier"
                    + (later.map { "; the next one shows \($0)" } ?? ""),
                remedy: "Add --nearest to restore \(chosen.id).", unchanged: "Nothing was changed.")
        }
        try requireReadable(
            entries.filter { $0.id > chosen.id && $0.id < RunID(at: moment, chance: .max) }, moment, chosen)
        return chosen
    }

    private func requireReadable(
        _ newer: [CatalogueEntry], _ moment: Timestamp, _ chosen: CatalogueEntry
    ) throws(BackupError) {
        for entry in newer {
            guard case .unreadable(let error) = entry.content else { continue }
            throw BackupError(
                .objectDamaged, "A backup nearer to \(moment), \(entry.id), cannot be read: \(error.message)",
                reason: error.reason,
                remedy: "Name the backup to use instead: \(chosen.id) is the nearest that can be read.",
                unchanged: "Nothing was changed.")
        }
    }

    /// Plans, and carries the plan out once `accept` has let it pass, as one recorded run: a refusal has its record too.
    package func run(accepting accept: (RestorePlan) throws -> Void) async throws -> RestoreResult {
        try await recorded { run in
            let prepared: Prepared
            do { prepared = try await prepare(recordingAs: run) } catch { return try Self.refusal(error) }
            do { try accept(prepared.plan) } catch {
                await prepared.close()
                return try Self.refusal(error)
            }
            do {
                let result = try await carryOut(prepared, run: run)
                await prepared.close()
                return .success(result)
            } catch {
                await prepared.close()
                throw error
            }
        }
    }

    /// Carries the plan out as a recorded run.
    package func run(_ prepared: Prepared) async throws -> RestoreResult {
        try await recorded { run in .success(try await carryOut(prepared, run: run)) }
    }

    private func recorded(
        _ body: (RunID) async throws -> Result<RestoreResult, BackupError>
    ) async throws -> RestoreResult {
        try await RunLog(repository: repository).recorded(
            .restore, kind: .logical, settings: "\(request)", duty: .bestEffort,
            judge: { outcome in
                if case .failure(let error) = outcome { (.refused, error) } else { (.succeeded, nil) }
            }, body
        ).get()
    }

    /// What was asked and cannot be had, before anything was done; anything else is a failure, and thrown.
    static func refusal<Value>(_ error: any Error) throws -> Result<Value, BackupError> {
        let known = RunLog.describe(error)
        switch known.code {
        case .usage, .settings, .backupMissing, .momentUnreachable, .targetNotEmpty, .targetUnsuitable, .toolMissing,
            .toolTooOld:
            return .failure(known)
        default: throw known
        }
    }

    private func carryOut(_ prepared: Prepared, run: RunID) async throws -> RestoreResult {
        let clocks = repository.environment.clocks
        let began = clocks.monotonic()
        var result: RestoreResult
        do { result = try await restore(prepared) } catch {
            repository.recordDamage(RunLog.describe(error), of: prepared.manifest.id, foundBy: run)
            throw error
        }
        result.seconds = (clocks.monotonic() - began).seconds
        record(result, of: prepared, run: run)
        return result
    }

    private func record(_ result: RestoreResult, of prepared: Prepared, run: RunID) {
        let isPartial = prepared.plan.isPartial
        let fact = BackupFact(
            kind: .restored, at: repository.environment.clocks.wall(), run: run, reason: isPartial ? "in part" : nil,
            seconds: result.seconds, partial: isPartial ? true : nil)
        do {
            try repository.record(fact, of: prepared.manifest.id)
        } catch {
            repository.environment.warn("That this backup was restored could not be recorded: \(error.message)")
        }
    }

    private func restore(_ prepared: Prepared) async throws -> RestoreResult {
        let environment = repository.environment
        var phases = PhaseLog(clocks: environment.clocks, events: environment.events)
        var warnings = prepared.plan.warnings
        if let globals = prepared.globals {
            try await phases.measure("globals") { try await apply(globals, to: prepared.target) }
        }
        var finished: [RestoreResult.Database] = []
        for database in prepared.plan.databases {
            let restored = try await DatabaseRestore(
                restore: self, prepared: prepared, database: database, earlier: changes(by: prepared, finished)
            ).run(&phases)
            finished.append(restored.database)
            warnings += restored.warnings.map { "'\(database.target)': \($0)" }
        }
        return RestoreResult(
            plan: prepared.plan, databases: finished, phases: phases.durations, seconds: 0, warnings: warnings)
    }

    /// What has been changed so far.
    private func changes(by prepared: Prepared, _ finished: [RestoreResult.Database]) -> String? {
        let roles = prepared.plan.rolesToCreate
        var changes = finished.map {
            "'\($0.name)' was restored" + ($0.keptAs.map { " (the old one is '\($0)')" } ?? "")
        }
        if !roles.isEmpty { changes.append("created the roles \(roles.joined(separator: ", "))") }
        return changes.isEmpty ? nil : changes.joined(separator: ", ")
    }

    /// Creates what the target lacks, in one transaction.
    ///
    /// Statements are named by their label: their text may hold a password.
    private func apply(_ globals: GlobalsPlan, to target: TargetServer) async throws {
        guard !globals.statements.isEmpty else { return }
        var label = "the roles"
        var isCommitting = false
        do {
            try await target.session.execute("BEGIN")
            for statement in globals.statements {
                label = "'\(statement.label)'"
                try await target.session.execute(statement.sql)
            }
            (label, isCommitting) = ("the transaction that creates roles", true)
            try await target.session.execute("COMMIT")
        } catch {
            do { try await target.insist("ROLLBACK") } catch {
                repository.environment.warn("The session that creates roles did not end in order.")
            }
            let error = RunLog.describe(error)
            // The answer may be lost, and the commit not.
            let roles =
                isCommitting && error.code == .serverConnectionLost
                ? "Whether the roles were created is not known; a restore that is started again creates those that are "
                    + "missing. No database was created or changed."
                : "No role and no database was created or changed."
            guard error.code != .interrupted else { throw error.leaving(roles) }
            throw BackupError(
                .restoreFailed, "The target refused \(label).", reason: error.reason,
                remedy: "Restore as a role that may create roles, or create what is missing by hand.",
                unchanged: roles)
        }
    }
}
