/// What a role needs so that it can take physical backups, diagnose the server and mark moments.
///
/// A superuser needs nothing. The grants on functions hold in the database in which they are made, the others in all
/// (PostgreSQL, documentation, "System Administration Functions" and "Predefined Roles"; seen with 15 and 18:
/// `pg_read_server_files` allows paths outside the data directory, but does not include the right to call
/// `pg_read_binary_file`).
package struct RoleNeeds: Sendable, Hashable {
    /// The name of the role.
    package var role: String
    package var isSuperuser: Bool
    /// Whether it has the attribute REPLICATION.
    package var mayReplicate: Bool
    /// Whether it has the rights of `pg_monitor`.
    package var mayMonitor: Bool
    /// Whether it has the rights of `pg_read_server_files`.
    package var mayReadServerFiles: Bool
    /// Whether it may call `pg_read_binary_file(text)`.
    package var mayReadBinaryFile: Bool
    /// Whether configuration files are outside the data directory; those inside are part of every base backup.
    package var hasConfigurationElsewhere: Bool
    /// Whether it may call `pg_create_restore_point(text)`.
    package var mayCreateRestorePoint: Bool
    /// Whether it may call `pg_switch_wal()`.
    package var maySwitchWAL: Bool

    package init(
        role: String, isSuperuser: Bool, mayReplicate: Bool, mayMonitor: Bool, mayReadServerFiles: Bool,
        mayReadBinaryFile: Bool, hasConfigurationElsewhere: Bool, mayCreateRestorePoint: Bool, maySwitchWAL: Bool
    ) {
        self.role = role
        self.isSuperuser = isSuperuser
        self.mayReplicate = mayReplicate
        self.mayMonitor = mayMonitor
        self.mayReadServerFiles = mayReadServerFiles
        self.mayReadBinaryFile = mayReadBinaryFile
        self.hasConfigurationElsewhere = hasConfigurationElsewhere
        self.mayCreateRestorePoint = mayCreateRestorePoint
        self.maySwitchWAL = maySwitchWAL
    }

    /// Something that the role cannot do, and the statements that let it.
    package struct Need: Sendable, Hashable {
        package enum Right: String, Sendable, Hashable, CaseIterable {
            case replication, monitoring, configuration, marks
        }

        package var right: Right
        /// What is not possible without it.
        package var without: String
        /// What a superuser has to run, each with its semicolon.
        package var statements: [String]
        /// Whether they have to be run in the database that the role connects to.
        package var isPerDatabase = false
    }

    /// What the role lacks, the most needed first.
    package var needs: [Need] {
        guard !isSuperuser else { return [] }
        let name = quoteIdentifier(role)
        var needs: [Need] = []
        if !mayReplicate {
            needs.append(
                Need(
                    right: .replication, without: "Base backups cannot be taken and WAL cannot be received",
                    statements: ["ALTER ROLE \(name) REPLICATION;"]))
        }
        if !mayMonitor {
            needs.append(
                Need(
                    right: .monitoring,
                    without: "Some settings and the state of replication and of the archiver cannot be seen",
                    statements: ["GRANT pg_monitor TO \(name);"]))
        }
        var files: [String] = []
        if !mayReadServerFiles { files.append("GRANT pg_read_server_files TO \(name);") }
        if !mayReadBinaryFile { files.append(Self.execute("pg_read_binary_file(text)", name)) }
        if hasConfigurationElsewhere, !files.isEmpty {
            needs.append(
                Need(
                    right: .configuration,
                    without: "Configuration files outside the data directory are missing from backups",
                    statements: files, isPerDatabase: !mayReadBinaryFile))
        }
        var marks: [String] = []
        if !mayCreateRestorePoint { marks.append(Self.execute("pg_create_restore_point(text)", name)) }
        if !maySwitchWAL { marks.append(Self.execute("pg_switch_wal()", name)) }
        if !marks.isEmpty {
            needs.append(
                Need(
                    right: .marks, without: "'apex-backup mark' cannot mark a moment to which to recover",
                    statements: marks, isPerDatabase: true))
        }
        return needs
    }

    /// What lets the role end a WAL segment, in the database that it connects to.
    package var grantOfSwitch: String { Self.execute("pg_switch_wal()", quoteIdentifier(role)) }

    private static func execute(_ function: String, _ role: String) -> String {
        "GRANT EXECUTE ON FUNCTION pg_catalog.\(function) TO \(role);"
    }
}
