import BackupModel
package import PostgresAccess

/// What a server says of its own WAL: up to where it has written, and what of it waits to be archived.
package struct ServerWAL: Sendable {
    let systemIdentifier: String
    private let timeline: UInt32
    private let lsn: LogSequenceNumber
    private let isInRecovery: Bool
    /// The names of the files in `pg_wal`, and of those in `archive_status`; `nil` if the role may not see them.
    private let files: [String]?
    private let statuses: [String]?
    private let archiver: ArchiverStatus
    private let lastCommitAt: Timestamp?

    /// Asks the server; a role that is a member of `pg_monitor` may see everything.
    ///
    /// - Throws: ``ErrorCode/serverConnectionLost`` for one that says nothing for `longestSilence`.
    package static func ask(
        _ connection: ConnectionSettings, longestSilence: Duration = PostgresSession.longestSilence
    ) async throws -> ServerWAL {
        try await PostgresSession.with(
            connection, applicationName: "apex-backup wal status", timeout: DumpSource.connectTimeout,
            longestSilence: longestSilence
        ) { try await ServerWAL($0) }
    }

    private init(_ session: PostgresSession) async throws {
        let facts = try await session.serverFacts()
        systemIdentifier = facts.systemIdentifier
        timeline = facts.timeline
        lsn = facts.currentLSN
        isInRecovery = facts.inRecovery
        archiver = try await session.archiver()
        let tracks = try await session.query("SELECT pg_catalog.current_setting('track_commit_timestamp')").firstValue
        lastCommitAt =
            if tracks == "on", !facts.inRecovery {
                try await session.query(
                    """
                    SELECT \(microseconds(of: "\"timestamp\"")) AS at FROM pg_catalog.pg_last_committed_xact()
                    """
                ).time(0, "at")
            } else { nil }
        files = try await Self.names("pg_ls_waldir", session)
        statuses = try await Self.names("pg_ls_archive_statusdir", session)
    }

    /// The same as the judgement of the archive wants it.
    func facts(size: WALSegmentSize) -> WALArchiveFacts.Server {
        var server = WALArchiveFacts.Server(timeline: timeline, lsn: lsn)
        server.isInRecovery = isInRecovery
        server.segments = files.map { Set($0.compactMap { WALSegmentName(parsing: $0, segmentSize: size) }) }
        let ready = WALPushAhead.waiting(statuses ?? [])
        server.ready = Set(ready.compactMap { WALSegmentName(parsing: $0, segmentSize: size) })
        server.archiver = archiver
        server.lastCommitAt = lastCommitAt
        return server
    }

    private static func names(_ function: String, _ session: PostgresSession) async throws -> [String]? {
        do {
            return try await session.query("SELECT name FROM pg_catalog.\(function)()").rows.compactMap { $0[0] }
        } catch let error as BackupError where error.code == .permissionDenied {
            return nil
        }
    }
}
