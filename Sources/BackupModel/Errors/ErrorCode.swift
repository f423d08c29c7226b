/// What kind of failure a ``BackupError`` is: stable words that scripts and alerts may rely on.
///
/// This is the only list of codes and exit statuses.
public enum ErrorCode: String, Sendable, Hashable, CaseIterable, Codable {
    // What was asked cannot be understood or is not allowed.
    case usage
    case settings

    // The server.
    case serverUnreachable = "server-unreachable"
    case authenticationFailed = "authentication-failed"
    case permissionDenied = "permission-denied"
    case serverRefused = "server-refused"
    case serverConnectionLost = "server-connection-lost"
    case serverUnsupported = "server-unsupported"
    case pooledConnection = "pooled-connection"
    case queryFailed = "query-failed"
    case wrongCluster = "wrong-cluster"

    // Programs that are run.
    case toolMissing = "tool-missing"
    case toolTooOld = "tool-too-old"
    case toolFailed = "tool-failed"
    /// A program stopped reading what it was given.
    ///
    /// It is told only if the program then ended without an error of its own, which would be the cause.
    case pipeBroken = "pipe-broken"
    case dumpIncomplete = "dump-incomplete"
    case countMismatch = "count-mismatch"

    // The repository.
    case repositoryMissing = "repository-missing"
    case repositoryUnavailable = "repository-unavailable"
    case repositoryFull = "repository-full"
    case repositoryNewer = "repository-newer"
    case clusterNotRegistered = "cluster-not-registered"
    case objectExists = "object-exists"
    case objectMissing = "object-missing"
    case objectDamaged = "object-damaged"
    case walConflict = "wal-conflict"
    case walMissing = "wal-missing"
    case walSegmentInvalid = "wal-segment-invalid"
    case backupMissing = "backup-missing"
    case backupAborted = "backup-aborted"
    case commitUnknown = "commit-unknown"
    case leaseHeld = "lease-held"
    case leaseLost = "lease-lost"

    // Restore.
    case targetNotEmpty = "target-not-empty"
    case targetUnsuitable = "target-unsuitable"
    case targetFull = "target-full"
    case momentUnreachable = "moment-unreachable"
    case restoreFailed = "restore-failed"

    // Retention and drills.
    case clockImplausible = "clock-implausible"
    case pruneRefused = "prune-refused"
    case notVerified = "not-verified"
    case cleanupFailed = "cleanup-failed"

    // Everything else.
    case storageFailed = "storage-failed"
    case interrupted

    /// The exit status of a command that ends with this error: 1…125, as PostgreSQL and Kubernetes can carry it.
    public var exitStatus: Int32 {
        switch self {
        case .usage: 64
        case .settings: 78
        case .notVerified: 2
        case .cleanupFailed: 3
        default: 1
        }
    }

    /// Whether it says that something stored is not, or not as it was stored.
    package var isDamage: Bool {
        switch self {
        case .objectDamaged, .objectMissing, .walMissing, .dumpIncomplete: true
        default: false
        }
    }
}
