package import BackupModel
package import BackupStorage
package import PostgresAccess

/// Makes a repository, registers the cluster and its server, and says what the server still needs.
package struct Initialization: Sendable {
    package struct Outcome: Sendable, Codable {
        package var repository: String
        package var repositoryID: String
        package var isNew: Bool
        package var cluster: String
        package var systemIdentifier: String
        package var serverVersion: String
        /// What the server lacks, each with the statement or package that mends it.
        package var needs: [String]
        /// The promises that the storage breaks; `nil` when they were not tried.
        package var storageViolations: [String]?
    }

    let storage: any Storage
    let layout: RepositoryLayout
    let environment: BackupEnvironment
    let connection: ConnectionSettings
    let recordsNewIncarnation: Bool
    let bin: String?
    let checksStorage: Bool

    package init(
        storage: any Storage, layout: RepositoryLayout, environment: BackupEnvironment, connection: ConnectionSettings,
        recordsNewIncarnation: Bool, bin: String?, checksStorage: Bool = false
    ) {
        self.storage = storage
        self.layout = layout
        self.environment = environment
        self.connection = connection
        self.recordsNewIncarnation = recordsNewIncarnation
        self.bin = bin
        self.checksStorage = checksStorage
    }

    /// The server is asked first: where it cannot be, nothing is made.
    package func run() async throws -> Outcome {
        try await PostgresSession.with(
            connection, applicationName: "apex-backup init", timeout: DumpSource.connectTimeout
        ) { session in
            let facts = try await session.serverFacts()
            let (repository, isNew) = try Repository.create(storage, layout: layout, environment: environment)
            let isFirst = try repository.incarnations().isEmpty
            if recordsNewIncarnation || isFirst {
                try repository.recordIncarnation(
                    ClusterIncarnation(
                        systemIdentifier: facts.systemIdentifier, major: facts.major,
                        firstSeen: environment.clocks.wall()))
            }
            try repository.requireIncarnation(facts.systemIdentifier)
            let physical = try await RoleNeeds(of: session, facts: facts).needs.map(\.text)
            let needs =
                try await rightsMissing(in: session, facts: facts) + physical + (await toolsMissing(for: facts))
            return Outcome(
                repository: storage.location, repositoryID: repository.marker.id, isNew: isNew,
                cluster: layout.cluster, systemIdentifier: facts.systemIdentifier, serverVersion: facts.version,
                needs: needs, storageViolations: checksStorage ? try repository.storageViolations() : nil)
        }
    }

    /// What the role cannot read, each with the statement that lets it.
    private func rightsMissing(in session: PostgresSession, facts: ServerFacts) async throws -> [String] {
        var needs: [String] = []
        let rights = try await session.query(
            """
            SELECT rolbypassrls AS bypasses_row_security,
                pg_has_role(oid, 'pg_read_all_data', 'USAGE') AS reads_all_data,
                current_setting('lo_compat_privileges') = 'on' AS reads_large_objects
            FROM pg_catalog.pg_roles WHERE rolname = current_user
            """)
        let role = try await DumpRight.role(of: session)
        func lacks(_ right: String) -> Bool { !facts.isSuperuser && rights.value(0, right) != "t" }
        if lacks("reads_all_data") {
            needs.append(
                "Tables, sequences and role passwords cannot be read: \(DumpRight.allData.grant(to: role))"
                    + (facts.canReadRolePasswords ? "" : " Until then backups are marked \"passwords missing\"."))
        }
        if lacks("bypasses_row_security") {
            needs.append(
                "A table with row security is refused: \(DumpRight.rowSecurity.grant(to: role))")
        }
        if lacks("reads_large_objects") {
            needs.append(
                "Large objects of others cannot be read, which pg_read_all_data does not change, and are refused: "
                    + DumpRight.largeObjects.grant(to: role))
        }
        for database in try await session.databases() where database.sizeBytes == nil {
            let name = quoteIdentifier(database.name)
            needs.append(
                "The database '\(database.name)' cannot be read: GRANT CONNECT ON DATABASE \(name) TO \(role);")
        }
        if !facts.isSuperuser {
            needs.append("Subscriptions and the options of user mappings are left out: only a superuser can dump them.")
        }
        return needs
    }

    private func toolsMissing(for facts: ServerFacts) async -> [String] {
        do {
            _ = try await ClientTools.find(
                forServer: facts.versionNumber, directory: bin, searchPath: environment.variables["PATH"] ?? "")
            return []
        } catch {
            let known = RunLog.describe(error)
            return ["\(known.message) \(known.remedy)"]
        }
    }
}
