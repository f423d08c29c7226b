/// What to back up, where to, how, and for how long to keep it: the settings of one cluster.
///
/// Everything but ``cluster`` and ``repositories`` has a default; those two may also come from the environment or the
/// command line.
package struct BackupPolicy: Sendable, Hashable {
    /// The name of the policy, which is the cluster's name in the repository.
    package var name = "apex"
    /// The server.
    package var cluster = ClusterSettings()
    /// Locations of the repository: a `file://` URL, an absolute path, or `s3://bucket/prefix`.
    package var repositories: [String] = []
    /// What is said of the object store in which the first of them is.
    package var store = S3StoreSettings()
    /// How dumps are taken.
    package var logical = LogicalSettings()
    /// How base backups are taken.
    package var physical = PhysicalSettings()
    /// The number of databases dumped, or jobs restored, at once; `nil` chooses by the machine.
    package var jobs: Int?
    /// The most memory a backup may use, in bytes; `nil` is 64 MiB, which bounds what is chosen for ``jobs`` only.
    package var memory: Int64?
    /// Which backups are kept.
    package var retention = RetentionPolicy(minimum: 2, days: 30)
    /// For how long every moment must stay restorable from physical backups.
    package var retentionWindow = standardWindow
    /// ``retentionWindow`` where the policy says nothing.
    package static let standardWindow: Duration = .seconds(7 * 86_400)
    /// Whether a successful backup is followed by a prune.
    package var prunesAfterBackup = false
    /// What recovery must achieve.
    package var objectives = RecoveryObjectives()
    /// The place to which `restore` goes when none is given.
    package var restoreInto: RestorePlace?
    /// The longest time that restored tables are compared with the live ones; zero for no comparison.
    package var compareTimeout: Duration = .seconds(600)

    /// The policy that holds without a file.
    package init() {}

    /// What ``jobs`` may be, in a policy and as an option.
    package static let possibleJobs = 1...64
}

extension BackupPolicy {
    /// The server and the programs that match it.
    package struct ClusterSettings: Sendable, Hashable {
        /// How the server is reached; `nil` when the environment or the command line says it.
        package var url: ConnectionReference?
        /// The folder of `pg_dump`, or `nil` to find it.
        package var bin: String?

        /// The settings of no server yet.
        package init() {}
    }

    /// A choice of databases.
    package enum DatabaseChoice: Sendable, Hashable {
        /// Every database that allows connections and is no template.
        case all
        /// These.
        case named([String])
    }

    /// How dumps are taken.
    package struct LogicalSettings: Sendable, Hashable {
        /// How a dump is checked while it is taken.
        package enum DumpVerification: String, Sendable, Hashable, CaseIterable {
            /// `pg_restore` reads all of it.
            case full
            /// Only the reader of this program, which counts its rows, follows it to its end.
            case list
        }

        /// Where row counts come from.
        package enum RowCounts: String, Sendable, Hashable, CaseIterable {
            /// They are counted in the captured stream.
            case stream
            /// The server counts too, in the same snapshot; a difference is an error.
            case server
        }

        /// The databases to dump.
        package var databases = DatabaseChoice.all
        /// Databases left out of them.
        package var exclude: [String] = []
        /// The format of the dumps.
        package var format = DumpFormat.custom
        /// How they are compressed.
        package var compression = Compression.gzip(level: 2)
        /// How they are checked while they are taken.
        package var verifyDump = DumpVerification.full
        /// Where row counts come from.
        package var counts = RowCounts.stream
        /// Whether roles, memberships and tablespaces are dumped too.
        package var globals = true

        /// The defaults.
        package init() {}
    }

    /// How base backups are taken.
    package struct PhysicalSettings: Sendable, Hashable {
        /// How soon the starting checkpoint is made.
        package enum Checkpoint: String, Sendable, Hashable, CaseIterable {
            /// At once.
            case fast
            /// Spread out as PostgreSQL's settings say.
            case spread
        }

        /// How the WAL that a base backup needs is captured.
        package enum WALCapture: String, Sendable, Hashable, CaseIterable {
            /// Over a second connection while the backup runs.
            case stream
            /// From the archive, which must have it soon after the files came.
            case archive
        }

        /// How files are compressed.
        package var compression = Compression.zstd(level: 1)
        /// How soon the starting checkpoint is made.
        package var checkpoint = Checkpoint.fast
        /// The most bytes a second that are read from the server, or `nil` for no limit.
        package var maxRate: Int64?
        /// How its WAL is captured.
        package var wal = WALCapture.stream
        /// How long ``WALCapture/archive`` waits for it.
        package var walTimeout: Duration = .seconds(300)

        /// The defaults.
        package init() {}
    }

    /// What recovery must achieve.
    package struct RecoveryObjectives: Sendable, Hashable {
        /// The longest time from the failure to the recovered service.
        package var rto: Duration = .seconds(4 * 3600)
        /// The longest time before the failure whose data may be lost.
        package var rpo: Duration = .seconds(15 * 60)

        /// The runbooks' objectives.
        package init() {}

        /// How often a heartbeat is written of those that are wanted every `interval`; zero is never.
        ///
        /// What is lost is known up to the last heartbeat: ten come within the RPO, and no more than one a second.
        package func heartbeat(every interval: Duration = .seconds(30)) -> Duration {
            interval > .zero ? max(.seconds(1), min(interval, rpo / 10)) : .zero
        }
    }

    /// Where a restore goes.
    package enum RestorePlace: Sendable, Hashable {
        /// A server.
        case server(ConnectionReference)
        /// A directory.
        case directory(String)
    }
}
