/// How a backup was taken.
public enum BackupKind: String, Sendable, Hashable, CaseIterable, Codable {
    /// Dumps of databases: pg_dump and pg_dumpall.
    case logical
    /// A base backup of the cluster's files.
    case physical
}
