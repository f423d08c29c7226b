internal import BackupModel
package import PostgresAccess

/// What tests of the command line need of a cluster: addresses and values as plain text.
extension PostgresCluster {
    /// The directory of the cluster and its socket.
    package var directory: String { server.directory }

    /// The directory of PostgreSQL's programs.
    package var programs: String { tools.directory }

    /// The URL of a database, for the superuser unless another user is named.
    package func url(_ database: String?, user: String? = nil, password: String? = nil, port: Int = 5432) -> String {
        let login = (user ?? settings.user ?? "postgres") + (password.map { ":\($0)" } ?? "")
        return "postgresql://\(login)@/\(database ?? "")?host=\(server.directory)&port=\(port)"
    }

    /// Runs statements as the superuser in `database`.
    package func execute(_ sql: String, database: String) async throws {
        try await execute(sql, in: settings.with(database: database))
    }

    /// The first value that a query returns in `database`.
    package func answer(
        _ sql: String, database: String = "postgres", at place: ConnectionSettings? = nil
    ) async throws -> String? {
        let session = try await session((place ?? settings).with(database: database))
        let value = try await session.query(sql).firstValue
        await session.close()
        return value
    }

    /// Whether its server was built with ICU.
    package var knowsICU: Bool {
        get async throws {
            try await answer("SELECT count(*) > 0 FROM pg_catalog.pg_collation WHERE collprovider = 'i'") == "t"
        }
    }

    /// Runs `body` with a new database of a made-up name, which is dropped afterwards.
    package func withNamedDatabase<Value>(_ body: (String) async throws -> Value) async throws -> Value {
        try await withDatabase { try await body($0.database ?? "") }
    }

    /// Runs `body` while nobody else can read `table`: whoever wants to, a dump for example, waits.
    package func whileLocked<Value>(
        _ table: String, database: String, _ body: () async throws -> Value
    ) async throws -> Value {
        let session = try await session(settings.with(database: database))
        try await session.execute("BEGIN; LOCK TABLE \(table) IN ACCESS EXCLUSIVE MODE")
        let result: Result<Value, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        await session.close()
        return try result.get()
    }

    /// Whether somebody waits for a lock in `database`.
    package func isWaiting(in database: String) async throws -> Bool {
        let quoted = quoteLiteral(database)
        return try await answer(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = \(quoted) AND wait_event_type = 'Lock'") == "t"
    }
}
