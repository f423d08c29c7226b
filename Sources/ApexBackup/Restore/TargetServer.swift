import BackupModel
import BackupStorage
import PostgresAccess
import Synchronization

/// The server that is restored into, looked at through its database `postgres`, or `template1` where that is missing.
struct TargetServer: Sendable {
    let connection: ConnectionSettings
    /// In the maintenance database.
    let session: PostgresSession
    let facts: ServerFacts
    /// The role that restores.
    let user: String
    /// Databases that no session of the whole restore may be in, as they are replaced.
    private let replaced: Set<String>
    private let clocks: Clocks
    private let ownSessions = OwnSessions()

    /// Connects to a database that is not among those to be replaced.
    static func open(
        _ connection: ConnectionSettings, replacing names: Set<String>, clocks: Clocks
    ) async throws -> TargetServer {
        if let name = names.first(where: { $0.utf8.count > 63 }) {
            throw BackupError(
                .usage, "The name '\(name)' is too long for a database.",
                reason: "it has \(name.utf8.count) bytes, and PostgreSQL cuts names at 63: it would be another one",
                remedy: "Give a shorter name.", unchanged: "Nothing was changed.")
        }
        let session = try await maintenanceSession(connection, avoiding: names)
        do {
            let templates = try await session.query("SELECT datname FROM pg_database WHERE datistemplate").rows
            if let name = templates.compactMap({ $0[0] }).first(where: names.contains) {
                throw BackupError(
                    .targetUnsuitable, "'\(name)' is a template: new databases are copies of it.",
                    remedy: "Give another name; into a template nothing is restored.",
                    unchanged: "Nothing was changed.")
            }
            let facts = try await session.serverFacts()
            let user = try await session.query("SELECT current_user").firstValue ?? ""
            guard !facts.inRecovery else {
                throw BackupError(
                    .targetUnsuitable, "The target \(connection.redacted) is a standby: it cannot be written.",
                    remedy: "Name its primary, or another server.", unchanged: "Nothing was changed.")
            }
            return TargetServer(
                connection: connection, session: session, facts: facts, user: user, replaced: names, clocks: clocks)
        } catch {
            await session.close()
            throw error
        }
    }

    /// A session for statements on whole databases, none of which may wait long: while one does, others cannot connect.
    private static func maintenanceSession(
        _ connection: ConnectionSettings, avoiding names: Set<String>
    ) async throws -> PostgresSession {
        let locks = "SET lock_timeout = '30s'"
        do {
            guard !names.contains("postgres") else {
                throw BackupError(.serverRefused, "'postgres' is to be replaced.", remedy: "Use template1.")
            }
            return try await connect(connection.with(database: "postgres"), setting: locks)
        } catch let error as BackupError where error.code == .serverRefused || error.code == .permissionDenied {
            return try await connect(connection.with(database: "template1"), setting: locks)
        }
    }

    private static func connect(
        _ connection: ConnectionSettings, setting statement: String = ""
    ) async throws -> PostgresSession {
        let session = try await PostgresSession.connect(
            connection, applicationName: "apex-backup restore", timeout: DumpSource.connectTimeout)
        do {
            // A setting would stay in a pool, for whoever gets the session next.
            if !statement.isEmpty { try await session.requireDirectConnection() }
            // What a database or role sets could put objects of its own before PostgreSQL's.
            try await session.execute("SET search_path = ''; \(statement)")
            return session
        } catch {
            await session.close()
            throw error
        }
    }

    func close() async { await session.close() }

    /// Runs `body` with a session in the database `name`.
    func withSession<Value: Sendable>(
        in name: String, _ body: (PostgresSession) async throws -> Value
    ) async throws -> Value {
        let inside = try await Self.connect(connection.with(database: name))
        do {
            ownSessions.add("\(await inside.announcedProcessID)")
            let value = try await body(inside)
            await inside.close()
            return value
        } catch {
            await inside.close()
            throw error
        }
    }

    /// Runs a statement that must not be left undone: also when this task was asked to stop, and in a new session when
    /// the old one is lost, for up to fifteen seconds, as a server takes to come back from a crash.
    @discardableResult
    func insist(_ sql: String, _ parameters: [String?] = []) async throws -> QueryResult {
        try await Task {
            do {
                return try await session.query(sql, parameters)
            } catch let error as BackupError where error.code == .serverConnectionLost {
                let fresh = try await freshSession()
                do {
                    let result = try await fresh.query(sql, parameters)
                    await fresh.close()
                    return result
                } catch {
                    await fresh.close()
                    throw error
                }
            }
        }.value
    }

    private func freshSession() async throws -> PostgresSession {
        let deadline = clocks.monotonic() + .seconds(15)
        while true {
            do {
                return try await Self.maintenanceSession(connection, avoiding: replaced)
            } catch {
                guard clocks.monotonic() < deadline else { throw error }
                try await clocks.sleep(.milliseconds(200))
            }
        }
    }
}

/// The server processes of sessions that this restore opened: they outlive their sessions by a moment.
private final class OwnSessions: Sendable {
    private let processes = Mutex<Set<String>>([])

    var list: String { processes.withLock { $0.joined(separator: ",") } }

    func add(_ process: String) { processes.withLock { _ = $0.insert(process) } }
}

extension TargetServer {
    func databaseExists(_ name: String) async throws -> Bool {
        try await session.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]).rows.isEmpty == false
    }

    func databaseNames() async throws -> [String] {
        try await session.query("SELECT datname FROM pg_database ORDER BY 1").rows.compactMap { $0[0] }
    }

    func acceptsSessions(_ name: String) async throws -> Bool {
        try await session.query("SELECT datallowconn FROM pg_database WHERE datname = $1", [name]).firstValue == "t"
    }

    /// Catalogues of what else a user can make, with object identifiers from `FirstNormalObjectId` on.
    private static let otherCatalogues = [
        "pg_collation", "pg_conversion", "pg_operator", "pg_opclass", "pg_opfamily", "pg_cast", "pg_language", "pg_am",
        "pg_extension", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_publication", "pg_event_trigger",
        "pg_ts_config", "pg_ts_dict", "pg_default_acl",
    ]

    /// Whether the database holds no user objects: relations, functions, types, schemas beside `public`, and so on.
    ///
    /// One that takes no sessions, as a swap that was killed leaves it, cannot be looked at and counts as not empty.
    func isEmpty(_ name: String) async throws -> Bool {
        guard try await acceptsSessions(name) else { return false }
        return try await withSession(in: name) { session in
            try await session.query(
                """
                SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
                    OR EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
                               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
                    OR EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
                               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
                    OR EXISTS (SELECT FROM pg_namespace
                               WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public'))
                    OR EXISTS (SELECT FROM pg_largeobject_metadata)
                    OR \(Self.otherCatalogues.map { "EXISTS (SELECT FROM \($0) WHERE oid >= 16384)" }
                        .joined(separator: " OR "))
                """
            ).firstValue == "f"
        }
    }

    /// Sessions of others that stay in the database: `application (user, address)`; autovacuum gives way by itself.
    ///
    /// Senders and workers of replication and of extensions are sessions too.
    /// A server process outlives its connection by a moment: those of others are given two seconds, and those of this
    /// restore, which are on their way out, five. Time in which this host stood still, and perhaps the server with it, does
    /// not count.
    func sessions(in database: String) async throws -> [String] {
        var given = Duration.zero
        while true {
            let start = clocks.monotonic()
            let present = try await session.query(
                """
                SELECT coalesce(nullif(application_name, ''), backend_type, 'unnamed'), usename,
                    coalesce(client_addr::text, 'local'),
                    pid::text = ANY (string_to_array($2, ','))
                FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()
                    AND usesysid IS NOT NULL AND backend_type IS DISTINCT FROM 'parallel worker'
                """, [database, ownSessions.list]
            ).rows
            let others = present.filter { $0[3] == "f" }.map { "\($0[0] ?? "") (\($0[1] ?? ""), \($0[2] ?? ""))" }
            let limit: Duration = others.isEmpty ? .seconds(5) : .seconds(2)
            guard !present.isEmpty, given < limit else { return others }
            _ = try await session.query("SELECT pg_sleep(0.05)")
            given += min(clocks.monotonic() - start, .milliseconds(200))
        }
    }

    /// Names of transactions that were prepared in the database, which can be neither renamed nor disconnected.
    func preparedTransactions(in database: String) async throws -> [String] {
        try await session.query(
            "SELECT gid FROM pg_prepared_xacts WHERE database = $1 ORDER BY 1", [database]
        ).rows.compactMap { $0[0] }
    }

    func subscriptions(in database: String) async throws -> [String] {
        try await session.query(
            """
            SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = $1) ORDER BY 1
            """, [database]
        ).rows.compactMap { $0[0] }
    }

    func logicalSlots(in database: String) async throws -> [String] {
        try await session.query(
            "SELECT slot_name FROM pg_replication_slots WHERE database = $1 ORDER BY 1", [database]
        ).rows.compactMap { $0[0] }
    }

    func roles() async throws -> Set<String> {
        Set(try await session.query("SELECT rolname FROM pg_roles").rows.compactMap { $0[0] })
    }

    func tablespaces() async throws -> Set<String> {
        Set(try await session.query("SELECT spcname FROM pg_tablespace").rows.compactMap { $0[0] })
    }

    /// The tablespace of a database.
    func tablespace(of database: String) async throws -> String? {
        try await session.query(
            "SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = $1",
            [database]
        ).firstValue
    }

    func schemas(in database: String) async throws -> Set<String> {
        try await withSession(in: database) { session in
            Set(try await session.query("SELECT nspname FROM pg_namespace").rows.compactMap { $0[0] })
        }
    }

    func availableExtensions() async throws -> Set<String> {
        Set(try await session.query("SELECT name FROM pg_available_extensions").rows.compactMap { $0[0] })
    }

    /// Room in the file system of the data directory, when it can be seen: through a Unix socket the server is here.
    func freeBytes() async throws -> Int64? {
        let row = try await session.query(
            """
            SELECT current_setting('data_directory') WHERE inet_server_addr() IS NULL
                AND pg_has_role('pg_read_all_settings', 'USAGE')
            """)
        guard let directory = row.firstValue else { return nil }
        do { return try PosixStorage(root: directory).freeBytes() } catch { return nil }
    }

    /// Whether the server was built with ICU.
    func hasICU() async throws -> Bool {
        try await session.query("SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i')").firstValue == "t"
    }

    static func inUse(_ name: String, by sessions: [String]) -> BackupError {
        BackupError(
            .targetNotEmpty, "The database '\(name)' has \(sessions.count) sessions of others.",
            reason: sessions.prefix(5).joined(separator: ", "),
            remedy: "Stop the applications, or add --disconnect to end their sessions.",
            unchanged: "The database was not changed.")
    }
}
