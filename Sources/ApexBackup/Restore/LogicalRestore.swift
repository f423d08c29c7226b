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

        /// Ends the session in which the plan was made.
        package func close() async { await target.close() }
    }

    /// Makes the plan; nothing of the target is changed.
    ///
    /// Throws what makes the restore impossible.
    package func prepare() async throws -> Prepared {
        try repository.requireRegistration()
        let entry = try chooseBackup()
        guard let manifest = entry.manifest, manifest.kind == .logical else {
            throw BackupError(
                .usage, "Backup \(entry.id) holds a data directory; a connection URL takes dumps.",
                remedy: "Name a directory with --to, or a logical backup.", unchanged: "Nothing was changed.")
        }
        let (databases, artefacts) = try Catalogue(repository).databases(of: manifest)
        let chosen = try RestorePlanning.choose(among: databases, request: request, into: connection.database)
        let target = try await TargetServer.open(connection, replacing: Set(chosen.map(\.target)))
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
        let all = try Catalogue(repository).backups().filter { $0.manifest?.kind == .logical }
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
        return chosen
    }

    /// Carries the plan out as a recorded run.
    package func run(_ prepared: Prepared) async throws -> RestoreResult {
        try await RunLog(repository: repository).recorded(
            .restore, kind: .logical, settings: "\(request)", duty: .bestEffort
        ) { run in
            let clocks = repository.environment.clocks
            let began = clocks.monotonic()
            var result = try await restore(prepared)
            result.seconds = (clocks.monotonic() - began).seconds
            if request.tables.isEmpty, request.schemas.isEmpty { record(result, of: prepared, run: run) }
            return result
        }
    }

    private func record(_ result: RestoreResult, of prepared: Prepared, run: RunID) {
        let fact = BackupFact(
            kind: .restored, at: repository.environment.clocks.wall(), run: run,
            reason: prepared.databases.count == result.databases.count ? nil : "in part", seconds: result.seconds)
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
                restore: self, prepared: prepared, database: database
            ).run(&phases)
            finished.append(restored.database)
            warnings += restored.warnings
        }
        return RestoreResult(
            plan: prepared.plan, databases: finished, phases: phases.durations, seconds: 0, warnings: warnings)
    }

    /// Creates what the target lacks.
    ///
    /// Statements are named by their label: their text may hold a password.
    private func apply(_ globals: GlobalsPlan, to target: TargetServer) async throws {
        for statement in globals.statements {
            do {
                try await target.session.execute(statement.sql)
            } catch let error as BackupError {
                throw BackupError(
                    .restoreFailed, "The target refused '\(statement.label)'.", reason: error.reason,
                    remedy: "Restore as a role that may create roles, or create what is missing by hand.",
                    unchanged: "No database was created or changed.")
            }
        }
    }
}
