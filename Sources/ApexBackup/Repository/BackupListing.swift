package import BackupModel

/// A backup as `list` and `show` print it.
package struct BackupListing: Sendable, Codable {
    package var id: RunID
    package var kind: String
    /// The ladder's state, or `running`, `interrupted`, `aborted` or `unreadable` for what is no backup.
    package var state: String
    package var recoveryPoint: Timestamp?
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    package var seconds: Double?
    package var contentBytes: Int64?
    package var storedBytes: Int64?
    package var bytesPerSecond: Int64?
    package var databases: Int?
    package var tables: Int?
    package var rows: Int64?
    package var serverVersion: String?
    package var systemIdentifier: String?
    package var passwordsMissing: Bool?
    package var held: String?
    package var warnings: [String]
    package var verifiedAt: Timestamp?
    package var restoredAt: Timestamp?
    package var drilledAt: Timestamp?

    /// What the repository knows of `entry`.
    package init(_ entry: CatalogueEntry) {
        id = entry.id
        warnings = []
        kind = "logical"
        switch entry.content {
        case .committed(let manifest):
            state = entry.isTombstoned ? "removing" : entry.state.rawValue
            describe(manifest)
        case .running: state = "running"
        case .aborted(let run):
            state = "aborted"
            warnings.append("given up by \(run.by): \(run.reason)")
        case .unreadable(let error):
            state = "unreadable"
            warnings.append(error.message)
        }
        held = entry.hold.map { $0.reason ?? "" }
        if let failed = entry.failedVerification {
            warnings.append("verification failed at \(failed.at.readable): \(failed.reason ?? "")")
        }
        verifiedAt = entry.last(.verified)?.at
        restoredAt = entry.last(.restored)?.at
        drilledAt = entry.last(.drilled)?.at
    }

    private mutating func describe(_ manifest: BackupManifest) {
        kind = manifest.kind.rawValue
        recoveryPoint = manifest.recoveryPoint
        startedAt = manifest.startedAt
        finishedAt = manifest.finishedAt
        seconds = manifest.duration.seconds
        contentBytes = manifest.totals.contentBytes
        storedBytes = manifest.totals.storedBytes
        if manifest.duration.seconds > 0 {
            bytesPerSecond = Int64(Double(manifest.totals.contentBytes) / manifest.duration.seconds)
        }
        databases = manifest.totals.databases
        tables = manifest.totals.tables
        rows = manifest.totals.rows
        serverVersion = manifest.server.version
        systemIdentifier = manifest.systemIdentifier
        passwordsMissing = manifest.passwordsMissing
        warnings += manifest.warnings
    }
}
