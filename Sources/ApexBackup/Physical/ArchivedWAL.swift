import BackupModel
import BackupStorage
import PostgresAccess

/// Waits until the archive has the WAL that a base backup needs, where none is streamed beside it.
struct ArchivedWAL: Sendable {
    let connection: ConnectionSettings
    let archive: WALArchive
    let segmentSize: WALSegmentSize
    /// How long to wait behind the base backup's end.
    let patience: Duration

    /// Waits for all segments from `start` to `stop`; they are durable when it returns.
    ///
    /// - Throws: ``ErrorCode/walMissing`` for the first that does not come in time, with what the server says of its
    ///   archiver.
    func wait(from start: LogSequenceNumber, to stop: LogSequenceNumber, timeline: UInt32) async throws {
        let environment = archive.repository.environment
        let last = LogSequenceNumber(position: max(start.position, stop.position - 1))
        var missing = WALSegmentName(timeline: timeline, containing: start, segmentSize: segmentSize)
        let isWhole = try await environment.clocks.wait(within: patience, every: .milliseconds(200)) {
            // What is damaged does not get better.
            while let segment = missing, try archive.isStoredDurably(segment) {
                missing = segment.end > last ? nil : segment.next
            }
            guard let segment = missing else { return true }
            environment.events(.progress(subject: "waiting for WAL segment \(segment)", bytes: 0, of: nil))
            return false
        }
        if !isWhole, let missing { throw await self.missing(missing) }
    }

    private func missing(_ segment: WALSegmentName) async -> BackupError {
        BackupError(
            .walMissing,
            "WAL segment \(segment), which the backup needs, did not come into the archive within "
                + "\(DurationText.format(patience)).",
            reason: await archiverStatus(),
            remedy: "See the server's log for what archive_command says, and take the backup again. A longer wait is "
                + "backup.physical.wal_timeout; backup.physical.wal: stream needs no archive.")
    }

    /// What the server says of its archiver, in words.
    private func archiverStatus() async -> String {
        do {
            return try await PostgresSession.with(
                connection, applicationName: "apex-backup", timeout: DumpSource.connectTimeout,
                longestSilence: PostgresSession.longestSilence
            ) { session in
                let mode = try await session.query("SELECT pg_catalog.current_setting('archive_mode')").firstValue
                return try await session.archiver().words(archiveMode: mode ?? "not known")
            }
        } catch {
            return "what the server's archiver does could not be asked: \(RunLog.describe(error).message)"
        }
    }
}
