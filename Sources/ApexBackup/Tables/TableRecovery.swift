package import BackupModel
import PostgresAccess

/// Brings tables back as they were at a moment, from a physical backup and the WAL behind it, into a live database.
///
/// The moment is recovered on a server of its own, of which nothing stays. There the tables are put into a new schema,
/// which is dumped and loaded into the live database in one transaction. Nothing else is changed there.
package struct TableRecovery: Sendable {
    /// What is asked of it.
    package struct Request: Sendable {
        /// The moment, and the backup to begin with; its directory is chosen here.
        package var recovery: PhysicalRestore.Request
        /// The tables, `schema.table` or `table`.
        package var tables: [String]
        /// The database that has them, when it was named.
        package var database: String?
        /// The longest time that they are compared with the live ones; zero for no comparison.
        package var compareTimeout: Duration

        package init(
            recovery: PhysicalRestore.Request, tables: [String], database: String?, compareTimeout: Duration
        ) {
            self.recovery = recovery
            self.tables = tables
            self.database = database
            self.compareTimeout = compareTimeout
        }
    }

    /// A plan and what it was made from.
    package struct Prepared: Sendable {
        package let plan: TableRecoveryPlan
        let scratch: ScratchRecovery.Plan
        /// The programs that dump and load.
        let tools: ClientTools
    }

    let repository: Repository
    let settings: EffectivePolicy
    let request: Request
    let connection: ConnectionSettings
    /// The database that takes the tables.
    let database: String
    /// Why a physical backup is taken.
    let reason: String

    /// Tables into the database that `url` names.
    package init(
        repository: Repository, settings: EffectivePolicy, request: Request, url: String, reason: String
    ) throws(BackupError) {
        self.repository = repository
        self.settings = settings
        self.request = request
        self.reason = reason
        connection = try ConnectionSettings(parsing: url)
        guard let database = connection.database ?? request.database else {
            throw BackupError(
                .usage, "It is not known which database takes the tables.",
                reason: "the URL names none, and --database does not either",
                remedy: "Name it in the URL: --to postgresql://user@host/database.", unchanged: "Nothing was changed.")
        }
        self.database = database
    }

    private var environment: BackupEnvironment { repository.environment }

    /// Plans, and refuses what cannot work; nothing is touched.
    package func prepare() async throws -> Prepared { try await prepare(as: environment.makeRunID()) }

    /// Plans, tells the plan, and carries it out, as one recorded run.
    package func run(telling tell: (TableRecoveryPlan) -> Void) async throws -> TableRecoveryResult {
        try await RunLog(repository: repository).recorded(
            .restore, kind: .physical, settings: "\(request)", duty: .bestEffort,
            judge: { (outcome: Result<TableRecoveryResult, BackupError>) in
                if case .failure(let error) = outcome { (.refused, error) } else { (.succeeded, nil) }
            }
        ) { run in
            do {
                let parent = DrillLeftovers.usualParent(environment)
                await DrillLeftovers(parent: parent, environment: environment).remove()
                Spool.sweep(parent, environment: environment)
                let prepared = try await prepare(as: run)
                tell(prepared.plan)
                return .success(try await carryOut(prepared, for: run))
            } catch {
                return try LogicalRestore.refusal(error)
            }
        }.get()
    }
}

// MARK: The plan

extension TableRecovery {
    private func prepare(as id: RunID) async throws -> Prepared {
        do {
            let scratch = try await ScratchRecovery.plan(
                request.recovery, as: id, settings: settings, repository: repository)
            return try await withTarget { target in
                let warnings = try await requireUsable(target)
                let tools = try await tools(for: target, scratch.prepared.manifest.server)
                return Prepared(plan: plan(scratch, target, warnings), scratch: scratch, tools: tools)
            }
        } catch {
            var known = RunLog.describe(error)
            known.unchanged = "Nothing was changed."
            throw known
        }
    }

    /// Runs `body` with the server that takes the tables; no session of it is left idle while the moment is recovered.
    private func withTarget<Value: Sendable>(_ body: (TargetServer) async throws -> Value) async throws -> Value {
        let target = try await TargetServer.open(connection, replacing: [], clocks: environment.clocks)
        let result: Result<Value, any Error>
        do { result = .success(try await body(target)) } catch { result = .failure(error) }
        await target.close()
        return try result.get()
    }

    /// Returns what is to be known of the database.
    private func requireUsable(_ target: TargetServer) async throws -> [String] {
        guard try await target.databaseExists(database) else {
            throw BackupError(
                .targetUnsuitable, "There is no database '\(database)' on \(connection.redacted).",
                reason: "tables are brought into a database that is there", remedy: "Create it, or name another one.")
        }
        let (mayCreate, isReadOnly, warnings) = try await target.withSession(in: database) { session in
            let answer = try await session.query(
                "SELECT has_database_privilege(current_database(), 'CREATE'), current_setting('transaction_read_only')")
            let publications = try await session.query(
                "SELECT pubname FROM pg_publication WHERE puballtables ORDER BY 1")
            let objects = try await LargeObjectColumns.warnings(ofTables: request.tables, in: session)
            return (
                answer.value(0, 0) == "t", answer.value(0, 1) == "on",
                publications.rows.compactMap { $0[0] }.map(warning(ofPublication:)) + objects
            )
        }
        guard mayCreate else {
            throw BackupError(
                .permissionDenied, "The role '\(target.user)' may not create a schema in '\(database)'.",
                remedy: "Grant it the right (GRANT CREATE ON DATABASE … TO …), or restore as another role.")
        }
        guard !isReadOnly else {
            throw BackupError(
                .targetUnsuitable, "Sessions in '\(database)' cannot write.",
                reason: "default_transaction_read_only is on", remedy: "Turn it off for the role that restores.")
        }
        return warnings
    }

    private func warning(ofPublication name: String) -> String {
        "the publication '\(name)' of '\(database)' has every table: its subscribers are sent the restored ones too, and "
            + "stop where they lack them"
    }

    private func tools(for target: TargetServer, _ source: ServerFacts) async throws -> ClientTools {
        let suitability = TargetSuitability(target: target)
        try suitability.requireKnownSettings(of: "pg_dump", major: source.major)
        let tools = try await ClientTools.find(
            forServer: max(target.facts.versionNumber, source.versionNumber), directory: settings.policy.cluster.bin,
            searchPath: environment.variables["PATH"] ?? "")
        try suitability.requireKnownSettings(of: "pg_restore", major: tools.major)
        return tools
    }

    private func plan(
        _ scratch: ScratchRecovery.Plan, _ target: TargetServer, _ remarks: [String]
    ) -> TableRecoveryPlan {
        let prepared = scratch.prepared
        var warnings = prepared.plan.warnings + [scratch.remark].compactMap(\.self)
        if prepared.manifest.server.major > target.facts.major {
            warnings.append(
                "the tables are of PostgreSQL \(prepared.manifest.server.major), and the target runs "
                    + "\(target.facts.major): what is new since then fails, and nothing is changed")
        }
        if !target.facts.isSuperuser {
            warnings.append(
                "'\(target.user)' is no superuser: the restored tables belong to it, whoever owned them before")
        }
        warnings += remarks
        var schema: String?
        if case .time(let time) = request.recovery.moment, !prepared.recovery.isNearest {
            schema = RestoredSchema.name(at: time)
        }
        return TableRecoveryPlan(
            tables: request.tables, recovery: prepared.plan, target: connection.with(database: database).redacted,
            targetDatabase: database, targetVersion: target.facts.version, sourceDatabase: request.database,
            schema: schema, compareSeconds: request.compareTimeout.seconds, reason: reason, warnings: warnings)
    }
}

// MARK: Carrying it out

extension TableRecovery {
    /// What the live database has seen of a run.
    private enum Effect {
        case none
        /// It is loading, or was; whatever fails in it knows what became of it.
        case loading
        case loaded(schema: String)
    }

    /// What came into the live database.
    private struct Loaded: Sendable {
        var source: String
        var tables: SeparatedTables
        var moment: Timestamp
        var outcome: RecoveryOutcome
    }

    private func carryOut(_ prepared: Prepared, for run: RunID) async throws -> TableRecoveryResult {
        let clocks = environment.clocks
        let began = clocks.monotonic()
        var phases = PhaseLog(clocks: clocks, events: environment.events)
        var effect = Effect.none
        do {
            let loaded = try await ScratchRecovery.with(prepared.scratch, as: run, &phases) { server, outcome, phases in
                try await transfer(from: server, outcome, prepared, &phases, &effect)
            }
            var result = try await withTarget { try await finish(loaded, prepared.plan, in: $0, &phases) }
            result.phases = phases.durations
            result.seconds = (clocks.monotonic() - began).seconds
            return result
        } catch {
            var known = RunLog.describe(error)
            switch effect {
            case .none: known.unchanged = "Nothing was changed in '\(database)'."
            case .loading: break
            case .loaded(let schema):
                known.unchanged =
                    "The tables are in the schema '\(schema)' of '\(database)'; what was there before is as it was."
            }
            throw known
        }
    }

    /// Takes the tables from the recovered server into the live database.
    private func transfer(
        from server: CloneServer, _ outcome: RecoveryOutcome, _ prepared: Prepared, _ phases: inout PhaseLog,
        _ effect: inout Effect
    ) async throws -> Loaded {
        let source = try await sourceDatabase(on: server)
        let recovery = prepared.scratch.prepared.recovery
        let moment = RestoredSchema.moment(
            asked: request.recovery.moment, isNearest: recovery.isNearest, last: outcome.lastTransactionAt,
            end: recovery.end.mark.time, backup: prepared.scratch.prepared.manifest.recoveryPoint)
        return try await withTarget { target in
            let tables = try await phases.measure("separate") {
                try await SeparatedTables(
                    named: request.tables, at: moment, on: server.settings.with(database: source), for: target,
                    database: database)
            }
            let transfer = TableTransfer(tools: prepared.tools, environment: environment, schema: tables.schema)
            let spool = Spool(directory: DrillLeftovers.usualParent(environment), environment: environment)
            defer { spool.remove() }
            try await phases.measure("dump") {
                try await transfer.dump(source, at: server.settings, into: spool)
            }
            effect = .loading
            try await phases.measure("load") {
                try await transfer.load(spool, with: tables.named.first, into: database, of: target)
            }
            effect = .loaded(schema: tables.schema)
            return Loaded(source: source, tables: tables, moment: moment, outcome: outcome)
        }
    }

    private func sourceDatabase(on server: CloneServer) async throws -> String {
        let names = try await PostgresSession.with(
            try await server.reachable(), applicationName: "apex-backup restore", timeout: DumpSource.connectTimeout
        ) { session in
            try await session.databases().map(\.name)
        }
        return try RecoveredDatabase.choose(among: names, wanted: request.database, target: database)
    }

    /// Analyses what came, counts it, and compares it with what is there now.
    private func finish(
        _ loaded: Loaded, _ plan: TableRecoveryPlan, in target: TargetServer, _ phases: inout PhaseLog
    ) async throws -> TableRecoveryResult {
        let tables = loaded.tables
        let schema = tables.schema
        let names = tables.named.map { "\(quoteIdentifier(schema)).\(quoteIdentifier($0.name))" }
        let warnings = try await phases.measure("analyze") {
            try await Analysis(target: target, jobs: 1).run(in: database, only: names)
        }
        let counts = try await phases.measure("compare") {
            try await target.withSession(in: database) { session in
                try await TableTransfer.count(tables.named, schema: schema, in: session)
            }
        }
        try requireSame(counts, tables)
        let (limit, clocks) = (request.compareTimeout, environment.clocks)
        environment.note(
            "The tables are in the schema '\(schema)' of '\(database)'."
                + (limit > .zero
                    ? " They are compared with the live ones now, for \(DurationText.format(limit)) at most." : ""))
        let outcomes = try await phases.measure("difference") {
            try await TableComparison(target: target, database: database, schema: schema, limit: limit, clocks: clocks)
                .compare(tables.named)
        }
        let results = zip(zip(tables.named, counts), outcomes).map { counted, outcome in
            var table = TableRecoveryResult.Table(
                name: counted.0.title, restored: "\(schema).\(counted.0.name)", rows: counted.1)
            switch outcome {
            case .found(let difference): table.difference = difference
            case .none(let reason, let statement):
                table.noDifference = reason
                table.statement = statement
            }
            return table
        }
        return TableRecoveryResult(
            plan: plan, sourceDatabase: loaded.source, schema: schema, moment: loaded.moment, recovery: loaded.outcome,
            tables: results, leftOut: tables.remarks, warnings: plan.warnings + warnings, phases: [], seconds: 0)
    }

    private func requireSame(_ counts: [Int64], _ tables: SeparatedTables) throws(BackupError) {
        let differences = zip(tables.named, zip(tables.rows, counts)).compactMap { table, count in
            count.0 == count.1 ? nil : "\(table.title): recovered \(count.0), restored \(count.1)"
        }
        guard differences.isEmpty else {
            throw BackupError(
                .countMismatch, "The restored tables do not hold the rows that were recovered.",
                reason: differences.prefix(10).joined(separator: "; "),
                remedy: "Drop the schema '\(tables.schema)', and restore again.")
        }
    }
}
