import BackupModel
import PostgresAccess

/// Tables of a recovered server in a schema of their own, as a target can take them.
struct SeparatedTables: Sendable {
    /// The tables as they were asked for, with the names that they had.
    let named: [RecoveredRelation]
    /// The new schema, whose name neither server has had.
    let schema: String
    /// The rows of each table.
    let rows: [Int64]
    /// What is left out, and what else is otherwise than it was.
    let remarks: [String]

    /// Looks what the tables called `names` need of `database` on `target`, leaves out what they can be without, and
    /// moves them into a schema that is called after `moment`.
    ///
    /// - Throws: ``ErrorCode/targetUnsuitable``, with a list, if the target lacks what they cannot be without.
    init(
        named names: [String], at moment: Timestamp, on server: ConnectionSettings, for target: TargetServer,
        database: String
    ) async throws {
        self = try await PostgresSession.with(
            server, applicationName: "apex-backup restore", timeout: DumpSource.connectTimeout
        ) { session in
            try await SeparatedTables(named: names, at: moment, in: session, for: target, database: database)
        }
    }

    private init(
        named names: [String], at moment: Timestamp, in session: PostgresSession, for target: TargetServer,
        database: String
    ) async throws {
        // What a database sets could put objects of its own before PostgreSQL's, act on changes, or forbid them.
        try await session.execute(
            """
            SET search_path = ''; SET session_replication_role = replica; SET default_transaction_read_only = off; \
            SET row_security = off; SET lock_timeout = '5min'
            """)
        try await Self.turnEventTriggersOff(in: session)
        let undecided = try await Self.rollPreparedBack(in: session)
        var tables = try await RecoveredTables(named: names, in: session)
        try await tables.separate(in: session)
        let roles = try await target.roles()
        let judgement = try await Self.judge(tables, in: session, for: target, database: database, roles: roles)
        for act in judgement.leftOut.keys { try await session.execute(act.removal) }
        try await Self.requireRoom(for: tables, in: session, on: target)
        let rights = RestoredRights(user: target.user, isSuperuser: target.facts.isSuperuser, roles: roles)
        let given = try await rights.apply(to: tables, in: session)
        let own = try await session.query("SELECT nspname FROM pg_namespace").rows.compactMap { $0[0] }
        schema = RestoredSchema.free(
            RestoredSchema.name(at: moment), besides: try await target.schemas(in: database).union(own))
        let renamed = try await tables.move(into: schema, of: target.user, in: session)
        remarks = undecided + tables.remarks + judgement.remarks + given + renamed
        named = tables.named
        rows = try await TableTransfer.count(named, schema: schema, in: session)
    }

    /// Turns off what fires also where changes are replicated: it could forbid what is done here, or tell others of it.
    private static func turnEventTriggersOff(in session: PostgresSession) async throws {
        let names = try await session.query("SELECT evtname FROM pg_event_trigger WHERE evtenabled IN ('A', 'R')")
        for name in names.rows.compactMap({ $0[0] }) {
            try await session.execute("ALTER EVENT TRIGGER \(quoteIdentifier(name)) DISABLE")
        }
    }

    /// Ends transactions that were prepared at the moment.
    ///
    /// Nobody is left to decide them, and until then they hold the locks of what they changed. Returns what to say of
    /// them.
    private static func rollPreparedBack(in session: PostgresSession) async throws -> [String] {
        let prepared = try await session.query(
            "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid"
        ).rows.compactMap { $0[0] }
        for name in prepared { try await session.execute("ROLLBACK PREPARED \(quoteLiteral(name))") }
        return prepared.map {
            "the transaction '\($0)' was prepared at that moment and not committed: what it changed is left out"
        }
    }

    private static func judge(
        _ tables: RecoveredTables, in session: PostgresSession, for target: TargetServer, database: String,
        roles: Set<String>
    ) async throws -> TableNeeds.Judgement {
        let (needs, labels) = try await tables.needs(in: session)
        let (absent, lacking) = try await target.withSession(in: database) { session in
            let target = NeedsInTarget(session: session)
            let absent = try await target.absent(of: needs.objects)
            return (absent, try await target.lackingLabels(of: labels.filter { !absent.contains($0.key) }))
        }
        let judgement = needs.judge(absent: absent, labels: lacking, roles: roles)
        try judgement.requireNothingMissing(in: database)
        return judgement
    }

    /// Refuses tables that may not fit, where the room of the target can be seen: a live server that runs full stops.
    private static func requireRoom(
        for tables: RecoveredTables, in session: PostgresSession, on target: TargetServer
    ) async throws {
        let size = try await tables.size(in: session)
        guard let free = try await target.freeBytes(), free < size else { return }
        throw BackupError(
            .targetFull, "The target has \(formatBytes(free)) free, and the tables had \(formatBytes(size)).",
            reason: "tables, indexes and what they keep elsewhere were counted",
            remedy: "Make room where the target keeps its data, or name another server.")
    }
}
