package import BackupModel

/// What a restore into a directory will do, made before anything is touched.
package struct PhysicalRestorePlan: Sendable, Codable, Hashable {
    package var backup: RunID
    /// The directory, as an absolute path.
    package var directory: String
    /// The directories of tablespaces, by their numbers.
    package var tablespaces: [String: String]
    /// What is there already, of a restore over the same cluster.
    package var rewrite: RewriteForecast?
    /// The moment that was asked for, as it is given to `--to`.
    package var moment: String
    /// What the server is told, in the same form.
    package var target: String
    /// The timeline that the server follows.
    package var timeline: UInt32
    package var serverVersion: String
    package var files: Int
    package var contentBytes: Int64
    package var freeBytes: Int64
    /// The segments that recovery reads, the first and the last.
    package var segments: Int
    package var firstSegment: String
    package var lastSegment: String
    /// The versions of the collations that the source's indexes were built with; `nil` if the backup does not know them.
    package var collations: CollationRecord?
    /// The file, for psql, that lists on a server that was started on the directory what has to be rebuilt for its
    /// collations, in each database.
    package var collationScript: String
    /// Whether the server archives and runs what its source did.
    package var isPrimary: Bool
    /// Whether they are put beside the data; otherwise the server gets them from the archive.
    package var isStaged: Bool
    /// Where the server gets its credentials for the archive from; `nil` if it needs none.
    package var credentials: String?
    /// The variables that the server must have in its environment until it has recovered; no others are needed.
    package var neededVariables: [String]
    /// What recovery must reach at least.
    package var consistentAt: LogSequenceNumber
    /// Where recovery ends, for people.
    package var end: String
    /// What is stored and not recovered, for people; `nil` for nothing.
    package var lost: String?
    /// Why it is planned so, as far as it does not go without saying.
    package var reasons: [String]
    package var warnings: [String]
}
