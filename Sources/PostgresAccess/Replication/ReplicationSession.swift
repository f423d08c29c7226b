package import BackupModel

/// A session that speaks the replication protocol: base backups and streams of WAL, and no SQL.
package struct ReplicationSession: Sendable {
    let session: PostgresSession

    package var settings: ConnectionSettings { session.settings }

    /// Opens a session for physical replication; `timeout` is for each address that the settings lead to.
    ///
    /// The role needs the attribute REPLICATION, and pg_hba.conf a line for the database `replication`. A server that
    /// sends nothing for `longestSilence` while it owes an answer is taken for lost.
    package static func connect(
        _ settings: ConnectionSettings, applicationName: String, timeout: Duration, longestSilence: Duration? = nil
    ) async throws -> ReplicationSession {
        let session = PostgresSession(settings: settings)
        do {
            try await session.open(
                applicationName: applicationName, timeout: timeout, longestSilence: longestSilence, replication: true)
        } catch {
            throw describe(error)
        }
        return ReplicationSession(session: session)
    }

    /// Runs `body` with a session and closes it whatever happens.
    package static func with<Value: Sendable>(
        _ settings: ConnectionSettings, applicationName: String, timeout: Duration, longestSilence: Duration? = nil,
        _ body: (ReplicationSession) async throws -> Value
    ) async throws -> Value {
        let session = try await connect(
            settings, applicationName: applicationName, timeout: timeout, longestSilence: longestSilence)
        return try await session.session.closing { try await body(session) }
    }

    /// Ends the session, and with it the temporary slots that it made.
    package func close() async { await session.close() }

    /// What `IDENTIFY_SYSTEM` answers.
    package struct Identity: Sendable, Hashable {
        package var systemIdentifier: String
        package var timeline: UInt32
        /// Up to where the server has flushed WAL.
        package var flushed: LogSequenceNumber
    }

    /// Asks which cluster the server is of, and where it stands.
    package func identify() async throws -> Identity {
        let answer = try await session.answer(to: "IDENTIFY_SYSTEM")
        guard let system = answer.value(0, "systemid"),
            let timeline = answer.value(0, "timeline").flatMap({ UInt32($0) }),
            let flushed = answer.value(0, "xlogpos").flatMap({ LogSequenceNumber(parsing: $0) })
        else { throw Self.unexpected("IDENTIFY_SYSTEM", settings) }
        return Identity(systemIdentifier: system, timeline: timeline, flushed: flushed)
    }

    /// Makes a slot that keeps WAL from now on and is gone when this session ends.
    package func makeTemporarySlot(_ name: String) async throws {
        _ = try await session.answer(
            to: "CREATE_REPLICATION_SLOT \(quoteIdentifier(name)) TEMPORARY PHYSICAL RESERVE_WAL")
    }

    /// Makes a slot that keeps WAL from the last checkpoint on, until somebody drops it.
    package func makeSlot(_ name: ReplicationSlotName) async throws {
        _ = try await session.answer(
            to: "CREATE_REPLICATION_SLOT \(quoteIdentifier(name.description)) PHYSICAL RESERVE_WAL")
    }

    /// From where the server keeps WAL for a slot that was made here.
    package func restartPosition(of slot: ReplicationSlotName) async throws -> LogSequenceNumber {
        let answer = try await session.answer(to: "READ_REPLICATION_SLOT \(quoteIdentifier(slot.description))")
        guard let position = answer.value(0, "restart_lsn").flatMap({ LogSequenceNumber(parsing: $0) }) else {
            throw Self.unexpected("READ_REPLICATION_SLOT", settings)
        }
        return position
    }

    /// Drops a slot that nobody uses.
    package func dropSlot(_ name: ReplicationSlotName) async throws {
        _ = try await session.answer(to: "DROP_REPLICATION_SLOT \(quoteIdentifier(name.description))")
    }

    /// The content of `<timeline>.history`: where a timeline comes from.
    ///
    /// - Throws: ``ErrorCode/serverUnsupported`` also for one that is not UTF-8 text, of which the bytes are not known.
    package func timelineHistory(_ timeline: UInt32) async throws -> [UInt8] {
        let answer = try await session.answer(to: "TIMELINE_HISTORY \(timeline)")
        guard let content = answer.value(0, "content"), !content.unicodeScalars.contains("\u{FFFD}") else {
            throw Self.unexpected("TIMELINE_HISTORY", settings)
        }
        return Array(content.utf8)
    }

    static func unexpected(_ command: String, _ settings: ConnectionSettings) -> BackupError {
        BackupError(
            .serverUnsupported,
            "The server \(settings.redacted) gave an answer to \(command) that cannot be understood.",
            remedy: "Check that this is a PostgreSQL server and not another product that speaks its protocol.")
    }

    /// Says what a refused replication connection lacks: the server's words alone lead to pg_hba.conf in general.
    private static func describe(_ error: any Error) -> any Error {
        guard var known = error as? BackupError else { return error }
        switch (known.code, known.sqlstate) {
        case (.authenticationFailed, "28000"), (.permissionDenied, _):
            known.remedy =
                "Base backups and streams of WAL need a role with REPLICATION (ALTER ROLE … REPLICATION) and a line for "
                + "the database 'replication' in pg_hba.conf, such as: host replication ROLE ADDRESS scram-sha-256"
        case (.serverRefused, "53300"):
            known.remedy =
                "Raise max_wal_senders (a backup needs two free ones, a stream of WAL one), or wait for another backup or "
                + "standby to go."
        default: break
        }
        return known
    }
}

extension PostgresSession {
    /// Runs a command of the replication protocol, which knows no parameters.
    fileprivate func answer(to command: String) async throws -> QueryResult {
        try await withConnection { connection in
            var result = QueryResult()
            try connection.run(
                command, parameters: nil, onColumns: { result.columns = $0 }, onRow: { result.rows.append($0) })
            return result
        }
    }
}
