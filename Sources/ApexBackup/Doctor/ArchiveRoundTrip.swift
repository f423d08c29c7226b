import BackupModel
import BackupStorage
import PostgresAccess

/// Sends one real segment through the archive of a server, and reads it back from the repository.
struct ArchiveRoundTrip: Sendable {
    let session: PostgresSession
    let archive: WALArchive
    let segmentSize: WALSegmentSize
    let patience: Duration

    /// After as many failures the server itself waits for a minute.
    private static let enoughFailures: Int64 = 3

    /// Writes a heartbeat, ends the segment that holds it, and waits until exactly that one is stored.
    func run() async throws -> DoctorFacts.RoundTrip {
        let before = try await session.archiver()
        let answer = try await session.query(
            """
            SELECT pg_catalog.pg_walfile_name(lsn OPERATOR(pg_catalog.-) 1)
            FROM (\(PostgresSession.heartbeat)) AS heartbeat
            """)
        guard let name = answer.firstValue, let segment = WALSegmentName(parsing: name, segmentSize: segmentSize) else {
            throw unexpectedAnswer("pg_walfile_name")
        }
        _ = try await session.query("SELECT pg_catalog.pg_switch_wal()")
        let environment = archive.repository.environment
        let clocks = environment.clocks
        let (outcome, took) = try await clocks.timed {
            try await clocks.find(within: patience, every: .milliseconds(100)) {
                environment.events(.phase("waiting for WAL segment \(segment) in the repository"))
                return try await arrival(of: name, since: before)
            }
        }
        switch outcome {
        case .stored: return proof(of: segment, after: took)
        case .elsewhere: return .elsewhere(segment: name)
        case .failing, nil: return .missing(segment: name, waited: took)
        }
    }

    /// What became of a segment.
    private enum Arrival {
        case stored
        /// The server says that it archived it, and it is not there.
        case elsewhere
        case failing
    }

    /// What became of a segment by now; `nil` while it may be on its way.
    private func arrival(of name: String, since before: ArchiverStatus) async throws -> Arrival? {
        if try archive.holdsFile(named: name) { return .stored }
        let now = try await session.archiver()
        if let last = now.lastArchived, last.prefix(8) == name.prefix(8), last.prefix(24) >= name {
            // It may have been stored since it was looked for.
            return try archive.holdsFile(named: name) ? .stored : .elsewhere
        }
        return now.failures - before.failures < Self.enoughFailures ? nil : .failing
    }

    /// Reads it back.
    private func proof(of segment: WALSegmentName, after took: Duration) -> DoctorFacts.RoundTrip {
        do throws(BackupError) {
            let check = SegmentCheck(segment, expecting: archive.systemIdentifier, into: DiscardSink())
            try archive.read(segment, into: check)
            try check.finish()
            return .proved(segment: "\(segment)", took: took)
        } catch {
            return .damaged(segment: "\(segment)", error.messageWithReason)
        }
    }
}
