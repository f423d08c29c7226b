import BackupModel
import PostgresAccess

extension PostgresSession {
    /// What the server says of its archiver, as any role may see.
    func archiver() async throws -> ArchiverStatus {
        let answer = try await query(
            """
            SELECT last_archived_wal, \(microseconds(of: "last_archived_time")) AS archived_at, last_failed_wal,
                \(microseconds(of: "last_failed_time")) AS failed_at, failed_count
            FROM pg_catalog.pg_stat_archiver
            """)
        return ArchiverStatus(
            lastArchived: answer.value(0, "last_archived_wal"), lastArchivedAt: answer.time(0, "archived_at"),
            lastFailed: answer.value(0, "last_failed_wal"), lastFailedAt: answer.time(0, "failed_at"),
            failures: answer.value(0, "failed_count").flatMap { Int64($0) } ?? 0)
    }
}
