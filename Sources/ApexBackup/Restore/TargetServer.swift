import BackupModel
import PostgresAccess

/// The server that is restored into, looked at through its database `postgres`, or `template1` where that is missing.
struct TargetServer: Sendable {
    let connection: ConnectionSettings
    /// In the maintenance database.
    let session: PostgresSession
    let facts: ServerFacts
    /// The role that restores.
    let user: String

    /// Connects to a database that is not among those to be replaced.
    static func open(_ connection: ConnectionSettings, replacing names: Set<String>) async throws -> TargetServer {
        let session = try await maintenanceSession(connection, avoiding: names)
        do {
            try await session.requireDirectConnection()
            let facts = try await session.serverFacts()
            let user = try await session.query("SELECT current_user").firstValue ?? ""
            guard !facts.inRecovery else {
                throw BackupError(
                    .targetUnsuitable, "The target \(connection.redacted) is a standby: it cannot be written.",
                    remedy: "Name its primary, or another server.", unchanged: "Nothing was changed.")
            }
            return TargetServer(connection: connection, session: session, facts: facts, user: user)
        } catch {
            await session.close()
            throw error
        }
    }

    private static func maintenanceSession(
        _ connection: ConnectionSettings, avoiding names: Set<String>
    ) async throws -> PostgresSession {
        do {
            guard !names.contains("postgres") else {
                throw BackupError(.serverRefused, "'postgres' is to be replaced.", remedy: "Use template1.")
            }
            return try await PostgresSession.connect(
                connection.with(database: "postgres"), applicationName: "apex-backup restore",
                timeout: DumpSource.connectTimeout)
        } catch let error as BackupError where error.code == .serverRefused {
            return try await PostgresSession.connect(
                connection.with(database: "template1"), applicationName: "apex-backup restore",
                timeout: DumpSource.connectTimeout)
        }
    }

    func close() async { await session.close() }

    func databaseExists(_ name: String) async throws -> Bool {
        try await session.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]).rows.isEmpty == false
    }

    /// Whether the database holds no user objects: relations, functions, types or schemas beside `public`.
    ///
    /// One that takes no sessions, as a swap that was killed leaves it, cannot be looked at and counts as not empty.
    func isEmpty(_ name: String) async throws -> Bool {
        let accepts = try await session.query("SELECT datallowconn FROM pg_database WHERE datname = $1", [name])
        guard accepts.firstValue == "t" else { return false }
        let inside = try await PostgresSession.connect(
            connection.with(database: name), applicationName: "apex-backup restore", timeout: DumpSource.connectTimeout)
        do {
            let found = try await inside.query(
                """
                SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
                    OR EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
                               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
                    OR EXISTS (SELECT FROM pg_namespace
                               WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public'))
                    OR EXISTS (SELECT FROM pg_largeobject_metadata)
                """)
            await inside.close()
            return found.value(0, 0) == "f"
        } catch {
            await inside.close()
            throw error
        }
    }

    /// Sessions of others that stay in the database: `application (user, address)`.
    ///
    /// A server process outlives its connection by a moment, so the server is asked again for up to two seconds, as
    /// PostgreSQL itself does before it renames a database.
    func sessions(in database: String) async throws -> [String] {
        var found = try await presentSessions(in: database)
        for _ in 0..<40 where !found.isEmpty {
            _ = try await session.query("SELECT pg_sleep(0.05)")
            found = try await presentSessions(in: database)
        }
        return found
    }

    private func presentSessions(in database: String) async throws -> [String] {
        try await session.query(
            """
            SELECT coalesce(nullif(application_name, ''), 'unnamed'), usename, coalesce(client_addr::text, 'local')
            FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()
            """, [database]
        ).rows.map { "\($0[0] ?? "") (\($0[1] ?? ""), \($0[2] ?? ""))" }
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

    func availableExtensions() async throws -> Set<String> {
        Set(try await session.query("SELECT name FROM pg_available_extensions").rows.compactMap { $0[0] })
    }

    /// Creates `name` as the backup's database was, on the tablespace if the target has it.
    func create(_ name: String, like properties: DatabaseProperties, tablespaces: Set<String>) async throws {
        var options = [
            "TEMPLATE template0", "ENCODING \(quoteLiteral(properties.encoding))",
            "LC_COLLATE \(quoteLiteral(properties.collate))", "LC_CTYPE \(quoteLiteral(properties.ctype))",
        ]
        if facts.versionNumber >= 150_000, properties.localeProvider != "c" {
            let isICU = properties.localeProvider == "i"
            options.append("LOCALE_PROVIDER \(isICU ? "icu" : "builtin")")
            if let locale = properties.locale {
                options.append("\(isICU ? "ICU_LOCALE" : "BUILTIN_LOCALE") \(quoteLiteral(locale))")
            }
            if let rules = properties.icuRules, facts.versionNumber >= 160_000 {
                options.append("ICU_RULES \(quoteLiteral(rules))")
            }
        }
        if properties.tablespace != "pg_default", tablespaces.contains(properties.tablespace) {
            options.append("TABLESPACE \(quoteIdentifier(properties.tablespace))")
        }
        try await session.execute("CREATE DATABASE \(quoteIdentifier(name)) \(options.joined(separator: " "))")
    }

    /// Gives `name` the owner, settings, grants, comment and limit that its dump does not carry.
    func apply(_ properties: DatabaseProperties, to name: String, roles: Set<String>) async throws -> [String] {
        let database = quoteIdentifier(name)
        var warnings: [String] = []
        if roles.contains(properties.owner) {
            try await session.execute("ALTER DATABASE \(database) OWNER TO \(quoteIdentifier(properties.owner))")
        } else {
            warnings.append("'\(name)' belongs to \(user): the role '\(properties.owner)' is missing")
        }
        for setting in properties.settings {
            guard setting.role.map(roles.contains) ?? true else { continue }
            let subject =
                setting.role.map { "ROLE \(quoteIdentifier($0)) IN DATABASE \(database)" } ?? "DATABASE \(database)"
            try await session.execute(
                "ALTER \(subject) SET \(quoteIdentifier(setting.name)) TO \(Self.settingValue(setting))")
        }
        if let grants = properties.grants {
            try await session.execute("REVOKE ALL ON DATABASE \(database) FROM PUBLIC")
            for grant in grants where grant.grantee.isEmpty || roles.contains(grant.grantee) {
                let grantee = grant.grantee.isEmpty ? "PUBLIC" : quoteIdentifier(grant.grantee)
                let option = grant.grantable ? " WITH GRANT OPTION" : ""
                try await session.execute("GRANT \(grant.privilege) ON DATABASE \(database) TO \(grantee)\(option)")
            }
        }
        if let comment = properties.comment {
            try await session.execute("COMMENT ON DATABASE \(database) IS \(quoteLiteral(comment))")
        }
        if properties.connectionLimit != -1 {
            try await session.execute("ALTER DATABASE \(database) CONNECTION LIMIT \(properties.connectionLimit)")
        }
        return warnings
    }

    /// Parameters that are lists of names (GUC_LIST_QUOTE in PostgreSQL's guc_tables.c) are stored quoted already.
    private static let quotedLists: Set<String> = [
        "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
        "temp_tablespaces", "unix_socket_directories",
    ]

    private static func settingValue(_ setting: DatabaseProperties.Setting) -> String {
        guard quotedLists.contains(setting.name) else { return quoteLiteral(setting.value) }
        return setting.value.isEmpty ? "''" : setting.value
    }

    /// Drops the database, also when this task was asked to stop.
    func drop(_ name: String) async throws {
        try await Task {
            try await session.execute("DROP DATABASE IF EXISTS \(quoteIdentifier(name)) WITH (FORCE)")
        }.value
    }

    func rename(_ name: String, to other: String) async throws {
        try await session.execute("ALTER DATABASE \(quoteIdentifier(name)) RENAME TO \(quoteIdentifier(other))")
    }

    func databaseNames() async throws -> [String] {
        try await session.query("SELECT datname FROM pg_database ORDER BY 1").rows.compactMap { $0[0] }
    }

    /// Gives `restored` the name `name`, and the database that had it the name `kept`, in one transaction.
    func swap(_ restored: String, into name: String, keeping kept: String, disconnecting: Bool) async throws {
        let old = quoteIdentifier(name)
        try await session.execute("ALTER DATABASE \(old) ALLOW_CONNECTIONS false")
        do {
            if disconnecting {
                _ = try await session.query(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", [name])
            }
            let others = try await sessions(in: name)
            guard others.isEmpty else { throw Self.inUse(name, by: others) }
            try await session.execute("BEGIN")
            do {
                try await session.execute("ALTER DATABASE \(old) RENAME TO \(quoteIdentifier(kept))")
                try await session.execute("ALTER DATABASE \(quoteIdentifier(restored)) RENAME TO \(old)")
                try await session.execute("COMMIT")
            } catch {
                try await session.execute("ROLLBACK")
                throw error
            }
            try await session.execute("ALTER DATABASE \(quoteIdentifier(kept)) ALLOW_CONNECTIONS true")
        } catch {
            if try await databaseExists(restored) {
                try await session.execute("ALTER DATABASE \(old) ALLOW_CONNECTIONS true")
            }
            throw error
        }
    }

    static func inUse(_ name: String, by sessions: [String]) -> BackupError {
        BackupError(
            .targetNotEmpty, "The database '\(name)' has \(sessions.count) sessions of others.",
            reason: sessions.prefix(5).joined(separator: ", "),
            remedy: "Stop the applications, or add --disconnect to end their sessions.",
            unchanged: "The database was not changed.")
    }
}
