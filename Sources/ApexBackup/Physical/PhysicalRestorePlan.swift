package import BackupModel

/// What a restore into a directory will do, made before anything is touched.
package struct PhysicalRestorePlan: Sendable, Codable, Hashable {
    package var backup: RunID
    /// The directory, as an absolute path.
    package var directory: String
    /// `latest` or `immediate`.
    package var moment: String
    package var serverVersion: String
    package var files: Int
    package var contentBytes: Int64
    package var freeBytes: Int64
    /// The segments that are put beside the data, the first and the last.
    package var segments: Int
    package var firstSegment: String
    package var lastSegment: String
    /// What recovery must reach at least.
    package var consistentAt: LogSequenceNumber
    package var warnings: [String]
}
