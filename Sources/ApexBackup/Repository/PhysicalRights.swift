import BackupModel
import PostgresAccess

extension RoleNeeds {
    /// What the role of a session may do.
    init(of session: PostgresSession, facts: ServerFacts) async throws {
        let answer = try await session.query(Self.query)
        func holds(_ column: String) -> Bool { answer.value(0, column) == "t" }
        guard let role = answer.value(0, "role") else { throw unexpectedAnswer("current_user") }
        self.init(
            role: role, isSuperuser: facts.isSuperuser, mayReplicate: holds("replicates"),
            mayMonitor: holds("monitors"), mayReadServerFiles: holds("reads_files"),
            mayReadBinaryFile: holds("reads_bytes"),
            // A role that may not see where the files are cannot know.
            hasConfigurationElsewhere: !holds("monitors") || holds("elsewhere"), mayCreateRestorePoint: holds("marks"),
            maySwitchWAL: holds("switches"))
    }

    private static let query = """
        SELECT current_user AS role,
            (SELECT rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user) AS replicates,
            pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS monitors,
            pg_catalog.pg_has_role('pg_read_server_files', 'USAGE') AS reads_files,
            pg_catalog.has_function_privilege('pg_catalog.pg_read_binary_file(text)', 'EXECUTE') AS reads_bytes,
            pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE') AS marks,
            pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE') AS switches,
            (SELECT bool_or(NOT pg_catalog.starts_with(file.setting, data.setting || '/'))
                FROM pg_catalog.pg_settings AS file, pg_catalog.pg_settings AS data
                WHERE file.name IN ('config_file', 'hba_file', 'ident_file') AND data.name = 'data_directory') AS elsewhere
        """
}

extension RoleNeeds.Need {
    /// What is not possible, and the statements that mend it.
    var text: String {
        "\(without): \(statements.joined(separator: " "))"
            + (isPerDatabase ? " (in the database that the connection names)" : "")
    }
}
