package import BackupModel

/// What is asked of a restore.
package struct RestoreRequest: Sendable {
    /// A backup's name, or `latest`.
    package var backup = "latest"
    /// The moment to go back to, when one was named.
    package var moment: RestoreMoment?
    /// Whether an earlier backup may stand in for a moment that a dump cannot reach.
    package var acceptsNearest = false
    /// The one database of the backup to restore, when one was named.
    package var database: String?
    /// Only these databases of the backup, each under its own name; `nil` for all.
    package var databases: [String]?
    /// Only these tables, `schema.table` or `table`.
    package var tables: [String] = []
    /// Only these schemas.
    package var schemas: [String] = []
    /// Whether an existing database that is not empty may be replaced.
    package var overwrites = false
    /// Whether sessions in a database that is replaced are ended.
    package var disconnects = false
    /// Whether a replaced database is dropped rather than kept under a dated name.
    package var dropsOld = false
    /// The tablespace of the target that everything goes into; `nil` for those of the same names.
    package var tablespace: String?
    /// Parallel jobs of pg_restore; `nil` chooses.
    package var jobs: Int?
    /// A directory with PostgreSQL's programs; `nil` searches.
    package var bin: String?
    /// Where a dump may be spooled for a parallel restore.
    package var spoolDirectory = "/tmp"
    /// What is to be said in the plan of why dumps are taken.
    package var remark: String?

    package init() {}
}

/// What a restore will do, made before anything is touched.
///
/// `--dry-run` prints it.
package struct RestorePlan: Sendable, Codable, Hashable {
    /// One database of it.
    package struct Database: Sendable, Codable, Hashable {
        /// How the target comes to be.
        package enum Action: String, Sendable, Codable {
            /// It does not exist and is created.
            case create
            /// It exists and is empty: it is replaced by the restored one.
            case replaceEmpty = "replace-empty"
            /// It exists and holds data: the restored one takes its name, the old one is kept.
            case swap
            /// Tables are added to what is there, in one transaction.
            case addTables = "add-tables"
        }

        /// How the dump reaches pg_restore.
        package enum Feed: String, Sendable, Codable {
            /// Written to a temporary file first, so that several jobs can read it.
            case spooled
            /// Through a pipe, by one job.
            case streamed
        }

        package var source: String
        package var target: String
        package var action: Action
        package var format: DumpFormat
        package var feed: Feed
        package var jobs: Int
        package var contentBytes: Int64
        package var rows: Int64
        package var snapshot: Timestamp
    }

    /// A tablespace that the dumps name, and the one that takes its place.
    package struct Tablespace: Sendable, Codable, Hashable {
        package var source: String
        package var target: String
    }

    package var backup: RunID
    package var recoveryPoint: Timestamp
    package var ageSeconds: Double
    /// The moment that was asked for, and how much earlier the backup is.
    package var moment: Timestamp?
    package var momentDifferenceSeconds: Double?
    package var target: String
    package var targetVersion: String
    package var sourceVersion: String
    /// The version of the pg_dump that wrote the dumps; `nil` if it is not known.
    package var dumpVersion: String?
    package var databases: [Database]
    package var rolesToCreate: [String]
    /// What of the backup's roles and tablespaces is not taken over, and why.
    package var skippedGlobals: [String]
    /// Roles that the dumps name, the target lacks, and the restore does not create.
    package var missingRoles: [String]
    /// Tablespaces whose content goes into another one.
    package var mappedTablespaces: [Tablespace]
    /// Whether less than the whole backup is restored.
    package var isPartial: Bool
    package var spoolBytes: Int64
    /// Room for temporary files here; `nil` when none can be made.
    package var spoolFreeBytes: Int64?
    /// Room where the target keeps its data; `nil` when it cannot be seen from here.
    package var targetFreeBytes: Int64?
    package var estimatedSeconds: Double?
    /// What the operator should know; the restore works all the same.
    package var warnings: [String]
}

/// What a restore did.
package struct RestoreResult: Sendable, Codable {
    package struct Database: Sendable, Codable {
        package var name: String
        package var tables: Int
        package var rows: Int64
        /// The name under which a replaced database is kept.
        package var keptAs: String?
        /// Whether rows were compared with those that were captured.
        package var isCompared: Bool
    }

    package var plan: RestorePlan
    package var databases: [Database]
    package var phases: [PhaseDuration]
    package var seconds: Double
    package var warnings: [String]
}
