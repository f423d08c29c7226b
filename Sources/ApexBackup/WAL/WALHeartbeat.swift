package import BackupModel
package import PostgresAccess

/// Writes heartbeats on a server: transactions of their own that say when they were.
///
/// What was committed before one is in the WAL before it, so that a restored server proves by them up to when it goes.
package struct WALHeartbeat: Sendable {
    /// A heartbeat that was written.
    package struct Result: Sendable, Hashable, Codable {
        /// Where its record ends.
        package var lsn: LogSequenceNumber
        /// The server's clock.
        package var at: Timestamp
    }

    let repository: Repository
    let connection: ConnectionSettings
    var longestSilence = PostgresSession.longestSilence

    package init(repository: Repository, connection: ConnectionSettings) {
        self.repository = repository
        self.connection = connection
    }

    /// Writes one.
    ///
    /// - Throws: ``ErrorCode/serverUnsupported`` for a standby, on which nothing can be written.
    package func run() async throws -> Result {
        try repository.requireRegistration()
        return try await PostgresSession.with(
            connection, applicationName: Self.applicationName, timeout: DumpSource.connectTimeout,
            longestSilence: longestSilence
        ) { session in
            let facts = try await session.serverFacts()
            try repository.requireIncarnation(facts.systemIdentifier)
            guard !facts.inRecovery else {
                throw BackupError(
                    .serverUnsupported,
                    "The server \(connection.redacted) is a standby, on which no heartbeat can be written.",
                    remedy: "Write it on the primary: its WAL brings it to the standby.",
                    unchanged: "Nothing was written.")
            }
            return try await session.writeHeartbeat()
        }
    }

    static let applicationName = "apex-backup heartbeat"
}

extension WALHeartbeat {
    /// Writes one beside something that does not need it: a server that takes none is told of, and left alone.
    func runBeside() async {
        do {
            _ = try await run()
        } catch {
            let known = RunLog.describe(error)
            guard known.code != .interrupted else { return }
            repository.environment.note("no heartbeat was written: \(known.reason ?? known.message)")
        }
    }
}

extension PostgresSession {
    /// A heartbeat as a transaction of its own, which waits for no standby: it would wait as long as one is missing.
    func writeHeartbeat() async throws -> WALHeartbeat.Result {
        try await execute("BEGIN; SET LOCAL synchronous_commit = local")
        let answer = try await query(Self.heartbeat)
        try await execute("COMMIT")
        guard let lsn = answer.value(0, "lsn").flatMap({ LogSequenceNumber(parsing: $0) }),
            let clock = answer.time(0, "clock")
        else { throw unexpectedAnswer("pg_logical_emit_message") }
        return WALHeartbeat.Result(lsn: lsn, at: clock)
    }

    /// The statement that writes one.
    static let heartbeat = """
        SELECT pg_catalog.pg_logical_emit_message(true, '\(WALSegmentSummary.heartbeatPrefix)',
                pg_catalog.json_build_object('at', now)::text) AS lsn,
            \(microseconds(of: "now")) AS clock
        FROM pg_catalog.clock_timestamp() AS now
        """
}
