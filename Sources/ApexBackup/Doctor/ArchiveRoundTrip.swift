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
        let clocks = archive.repository.environment.clocks
        let start = clocks.monotonic()
        while try !archive.holdsFile(named: name) {
            let waited = clocks.monotonic() - start
            let now = try await session.archiver()
            if let last = now.lastArchived, last.prefix(8) == name.prefix(8), last.prefix(24) >= name {
                // It may have been stored since it was looked for.
                guard try !archive.holdsFile(named: name) else { break }
                return .elsewhere(segment: name)
            }
            guard waited < patience, now.failures - before.failures < Self.enoughFailures else {
                return .missing(segment: name, waited: waited)
            }
            try await clocks.sleep(.milliseconds(100))
        }
        let took = clocks.monotonic() - start
        do throws(BackupError) {
            let check = SegmentCheck(segment, expecting: archive.systemIdentifier, into: DiscardSink())
            try archive.read(segment, into: check)
            try check.finish()
            return .proved(segment: name, took: took)
        } catch {
            return .damaged(segment: name, error.messageWithReason)
        }
    }
}
