package import BackupModel
package import PostgresAccess

/// Marks a moment on the server that a restore can go back to: a named restore point, before a migration for example.
package struct RecoveryMark: Sendable {
    /// What was marked.
    package struct Result: Sendable, Hashable, Codable {
        package var name: String
        package var lsn: LogSequenceNumber
        package var timeline: UInt32
        /// The server's clock.
        package var at: Timestamp
        /// The segment that holds the mark.
        package var segment: String
        /// Whether the repository has that segment.
        package var isArchived: Bool
    }

    let repository: Repository
    let connection: ConnectionSettings
    /// How long to wait for the segment to be archived.
    let patience: Duration
    var longestSilence = PostgresSession.longestSilence

    package init(repository: Repository, connection: ConnectionSettings, patience: Duration) {
        self.repository = repository
        self.connection = connection
        self.patience = patience
    }

    /// Writes a heartbeat and the restore point, ends the segment, and waits until that is archived.
    ///
    /// - Throws: ``ErrorCode/permissionDenied`` with the statement that grants what is missing. Every error says whether
    ///   the mark was made.
    package func run(name: String) async throws -> Result {
        guard (1...63).contains(name.utf8.count), !name.utf8.contains(0) else {
            throw BackupError(
                .usage, "'\(name)' cannot be the name of a restore point.", reason: "it has 1 to 63 bytes",
                remedy: "Choose another name.", unchanged: "Nothing was marked.")
        }
        var progress = Progress.begun
        do {
            try repository.requireRegistration()
            var (result, systemIdentifier) = try await PostgresSession.with(
                connection, applicationName: "apex-backup mark", timeout: DumpSource.connectTimeout,
                longestSilence: longestSilence
            ) { session in
                let systemIdentifier = try await requirePrimary(in: session)
                _ = try await session.writeHeartbeat()
                progress = .asked
                let result = try await mark(name, in: session)
                progress = .marked(result.lsn)
                _ = try await session.query("SELECT pg_catalog.pg_switch_wal()")
                return (result, systemIdentifier)
            }
            result.isArchived = try await isArchived(result.segment, of: systemIdentifier)
            return result
        } catch {
            throw progress.explaining(error)
        }
    }

    /// How far a mark has come.
    enum Progress: Sendable, Hashable {
        /// The server was not asked for it yet.
        case begun
        case asked
        case marked(LogSequenceNumber)

        /// The same error with what it leaves behind.
        func explaining(_ error: any Error) -> BackupError {
            var known = RunLog.describe(error)
            // Who was interrupted asks for the mark, and not for what was committed.
            if known.code == .interrupted { known.unchanged = nil }
            return known.leaving(remark(after: known.code))
        }

        private func remark(after code: ErrorCode) -> String {
            switch self {
            case .asked where code == .serverConnectionLost || code == .interrupted:
                "Whether the mark was made is not known. If you mark again by the same name, the first one counts."
            case .begun, .asked: "Nothing was marked."
            case .marked(let lsn):
                "The mark was made, at \(lsn). It can be restored when the WAL segment that holds it is archived."
            }
        }
    }

    /// Refuses a server that is another cluster's, or on which the role cannot mark; returns its system identifier.
    private func requirePrimary(in session: PostgresSession) async throws -> String {
        let facts = try await session.serverFacts()
        try repository.requireIncarnation(facts.systemIdentifier)
        guard !facts.inRecovery else {
            throw BackupError(
                .serverUnsupported, "The server \(connection.redacted) is a standby, on which nothing can be marked.",
                remedy: "Mark on the primary: its WAL brings the mark to the standby.")
        }
        if let need = try await RoleNeeds(of: session, facts: facts).needs.first(where: { $0.right == .marks }) {
            throw BackupError(
                .permissionDenied, "The role may not make restore points.",
                reason: "it lacks EXECUTE on pg_create_restore_point or pg_switch_wal",
                remedy: need.statements.joined(separator: " "))
        }
        return facts.systemIdentifier
    }

    private func mark(_ name: String, in session: PostgresSession) async throws -> Result {
        let point = try await session.query(
            """
            SELECT lsn, pg_catalog.pg_walfile_name(lsn OPERATOR(pg_catalog.-) 1) AS segment,
                \(microseconds(of: "pg_catalog.clock_timestamp()")) AS clock
            FROM pg_catalog.pg_create_restore_point($1) AS lsn
            """, [name])
        guard let lsn = point.value(0, "lsn").flatMap({ LogSequenceNumber(parsing: $0) }),
            let segment = point.value(0, "segment"), let timeline = UInt32(segment.prefix(8), radix: 16),
            let clock = point.time(0, "clock")
        else { throw unexpectedAnswer("pg_create_restore_point") }
        return Result(name: name, lsn: lsn, timeline: timeline, at: clock, segment: segment, isArchived: false)
    }

    /// Whether a segment of a server is archived, or is so in time: that of another one of the same cluster may have the
    /// same name.
    func isArchived(_ segment: String, of systemIdentifier: String) async throws -> Bool {
        let archive = try WALArchive(repository, systemIdentifier: systemIdentifier)
        let environment = repository.environment
        return try await environment.clocks.wait(within: patience, every: .milliseconds(100)) {
            environment.events(.phase("waiting for WAL segment \(segment) in the repository"))
            return try archive.holdsFile(named: segment)
        }
    }
}
