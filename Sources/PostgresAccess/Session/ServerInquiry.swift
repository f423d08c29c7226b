package import BackupModel

extension PostgresSession {
    /// Asks the server about itself, as any role may.
    ///
    /// Refuses poolers and servers that are too old.
    package func serverFacts() async throws -> ServerFacts {
        try await requireDirectConnection()
        try settings.requireSupported(versionNumber: serverVersionNumber)
        let now = try await currentPoint()
        let answer = try await query(Self.factsQuery)
        func text(_ column: String) throws -> String { try value(column, of: answer) { $0 } }
        return ServerFacts(
            version: try text("version"), versionNumber: serverVersionNumber,
            systemIdentifier: try text("system_identifier"), inRecovery: try text("in_recovery") == "t",
            timeline: now.timeline, currentLSN: now.lsn,
            clock: Timestamp(microseconds: try value("clock", of: answer) { Int64($0) }),
            dataChecksums: try text("data_checksums") == "on", encoding: try text("encoding"),
            isSuperuser: try text("is_superuser") == "on",
            canReadRolePasswords: try text("reads_passwords") == "t")
    }

    /// The server's clock, asked for alone: of the first statements of a session the server has much to look up.
    package func clock() async throws -> Timestamp {
        let answer = try await query("SELECT \(microseconds(of: "pg_catalog.clock_timestamp()")) AS clock")
        return Timestamp(microseconds: try value("clock", of: answer) { Int64($0) })
    }

    /// Up to where a snapshot that is taken next shows everything: on a standby, what is replayed.
    ///
    /// The clock of a standby is the time of the last transaction replayed, or before there was one of the checkpoint
    /// from which it started: its own clock is ahead of its data by the lag.
    package func currentPoint() async throws -> SnapshotPoint {
        let answer = try await query(Self.pointQuery)
        return SnapshotPoint(
            clock: Timestamp(microseconds: try value("clock", of: answer) { Int64($0) }),
            lsn: try value("lsn", of: answer) { LogSequenceNumber(parsing: $0) },
            timeline: try value("timeline", of: answer) { UInt32($0) })
    }

    private func value<Value>(
        _ column: String, of answer: QueryResult, _ parse: (String) -> Value?
    ) throws -> Value {
        guard let text = answer.value(0, column) else { throw unexpected("no \(column)") }
        guard let value = parse(text) else { throw unexpected("\(column) is '\(text)'") }
        return value
    }

    /// Refuses a connection that does not lead to one server process for its whole life, as behind a pooler.
    package func requireDirectConnection() async throws {
        guard try await !isDirect() else { return }
        throw BackupError(
            .pooledConnection, "The connection to \(settings.redacted) goes through a connection pooler.",
            reason: "the server process that answers is not the one that was announced",
            remedy: """
                Connect to PostgreSQL itself: a snapshot lives in one server process, and a pooler may give every \
                transaction another. The server's own port is usually 5432, PgBouncer's 6432.
                """,
            unchanged: "Nothing was read or changed on the server.")
    }

    private func unexpected(_ what: String) -> BackupError {
        BackupError(
            .serverUnsupported, "The server \(settings.redacted) gave an answer that cannot be understood.",
            reason: what,
            remedy: "Check that this is a PostgreSQL server and not another product that speaks its protocol.")
    }

    // On a primary the last checkpoint may be of the timeline before; the name of the current segment is not. On a
    // standby the control file says how far replay has come.
    private static let pointQuery = """
        SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN (
                SELECT greatest(c.timeline_id, r.min_recovery_end_timeline)
                FROM pg_catalog.pg_control_checkpoint() AS c, pg_catalog.pg_control_recovery() AS r)::bigint
            ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))
                ::bit(32)::bigint END AS timeline,
            CASE WHEN pg_catalog.pg_is_in_recovery()
                THEN coalesce(pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_last_wal_receive_lsn())
                ELSE pg_catalog.pg_current_wal_lsn() END AS lsn,
            \(microseconds(of: pointTime)) AS clock
        """

    private static let pointTime = """
        CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN coalesce(
                pg_catalog.pg_last_xact_replay_timestamp(),
                (SELECT checkpoint_time FROM pg_catalog.pg_control_checkpoint()))
            ELSE pg_catalog.clock_timestamp() END
        """

    private static let factsQuery = """
        SELECT pg_catalog.current_setting('server_version') AS version,
            (SELECT system_identifier FROM pg_catalog.pg_control_system()) AS system_identifier,
            pg_catalog.pg_is_in_recovery() AS in_recovery,
            \(microseconds(of: "pg_catalog.clock_timestamp()")) AS clock,
            pg_catalog.current_setting('data_checksums') AS data_checksums,
            (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database
                WHERE datname = pg_catalog.current_database()) AS encoding,
            pg_catalog.current_setting('is_superuser') AS is_superuser,
            pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS reads_passwords
        """
}

extension ConnectionSettings {
    /// Refuses a server that is too old to be backed up or restored into; `versionNumber` is 150013 for 15.13.
    package func requireSupported(versionNumber: Int) throws(BackupError) {
        guard versionNumber < 140_000 else { return }
        throw BackupError(
            .serverUnsupported, "The server \(redacted) runs PostgreSQL \(versionNumber / 10_000).",
            reason: "14 and newer are supported", remedy: "Upgrade the server, or use a newer one.",
            unchanged: "Nothing was changed.")
    }
}
