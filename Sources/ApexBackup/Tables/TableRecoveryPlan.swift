package import BackupModel

/// What bringing tables back from a physical backup will do, made before anything is touched.
package struct TableRecoveryPlan: Sendable, Codable, Hashable {
    /// The tables as they were asked for.
    package var tables: [String]
    /// How the moment is recovered, in a directory of which nothing stays.
    package var recovery: PhysicalRestorePlan
    /// The database that takes the tables.
    package var target: String
    package var targetDatabase: String
    package var targetVersion: String
    /// The database they are taken from, if it was named; otherwise that of the target's name, or the only one.
    package var sourceDatabase: String?
    /// The schema that they come into; `nil` if only the recovery will tell the time that it is called after.
    package var schema: String?
    /// The longest time that they are compared with the live tables; 0 for no comparison.
    package var compareSeconds: Double
    /// Why a physical backup is taken.
    package var reason: String
    package var warnings: [String]
}

/// How the rows of a live table differ from those of the restored one, by the primary key of both.
package struct TableDifference: Sendable, Codable, Hashable {
    /// Rows that are in the live table only.
    package var added: Int64
    /// Rows that are in the restored table only.
    package var removed: Int64
    /// Rows whose key both have, and that differ in a column that both have.
    package var changed: Int64
    /// Columns that only one of the two has, and that were not compared.
    package var onlyInLive: [String]
    package var onlyInRestored: [String]
    /// Columns of different types, which were compared as text.
    package var ofOtherType: [String]
    /// A statement that shows the rows.
    package var statement: String
}

/// What bringing tables back has done.
package struct TableRecoveryResult: Sendable, Codable {
    package struct Table: Sendable, Codable {
        /// The table as it was called, `schema.table`.
        package var name: String
        /// As it is called now.
        package var restored: String
        package var rows: Int64
        package var difference: TableDifference?
        /// Why there is no difference.
        package var noDifference: String?
        /// The statement that would count it, where there can be one and it was not finished.
        package var statement: String?
    }

    package var plan: TableRecoveryPlan
    /// The database that the tables were taken from.
    package var sourceDatabase: String
    package var schema: String
    /// Up to when the recovered server had everything.
    package var moment: Timestamp
    package var recovery: RecoveryOutcome
    package var tables: [Table]
    /// What belonged to the tables and did not come along, and why.
    package var leftOut: [String]
    package var warnings: [String]
    package var phases: [PhaseDuration]
    package var seconds: Double
}
