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
    }

    let storage: any Storage
    let layout: RepositoryLayout
    let environment: BackupEnvironment
    let connection: ConnectionSettings
    let recordsNewIncarnation: Bool
    let bin: String?

    package init(
        storage: any Storage, layout: RepositoryLayout, environment: BackupEnvironment, connection: ConnectionSettings,
        recordsNewIncarnation: Bool, bin: String?
    ) {
        self.storage = storage
        self.layout = layout
        self.environment = environment
        self.connection = connection
        self.recordsNewIncarnation = recordsNewIncarnation
        self.bin = bin
    }

    package func run() async throws -> Outcome {
        let (repository, isNew) = try Repository.create(storage, layout: layout, environment: environment)
        let session = try await PostgresSession.connect(
            connection, applicationName: "apex-backup init", timeout: DumpSource.connectTimeout)
        do {
            try await session.requireDirectConnection()
            let facts = try await session.serverFacts()
            let isFirst = try repository.incarnations().isEmpty
            if recordsNewIncarnation || isFirst {
                try repository.recordIncarnation(
                    ClusterIncarnation(
                        systemIdentifier: facts.systemIdentifier, major: facts.major,
                        firstSeen: environment.clocks.wall()))
            }
            try repository.requireIncarnation(facts.systemIdentifier)
            let user = try await session.query("SELECT current_user").firstValue ?? ""
            let needs = await needs(of: facts, user: user)
            await session.close()
            return Outcome(
                repository: storage.location, repositoryID: repository.marker.id, isNew: isNew,
                cluster: layout.cluster, systemIdentifier: facts.systemIdentifier, serverVersion: facts.version,
                needs: needs)
        } catch {
            await session.close()
            throw error
        }
    }

    private func needs(of facts: ServerFacts, user: String) async -> [String] {
        var needs: [String] = []
        if !facts.canReadRolePasswords {
            needs.append(
                "Role passwords cannot be read: backups will be marked \"passwords missing\". For a complete backup use "
                    + "a superuser, or: GRANT SELECT ON pg_authid TO \(quoteIdentifier(user));")
        }
        if !facts.isSuperuser {
            needs.append(
                "To read every table: GRANT pg_read_all_data TO \(quoteIdentifier(user)); tables with row "
                    + "security also need: ALTER ROLE \(quoteIdentifier(user)) BYPASSRLS;")
        }
        do {
            _ = try await ClientTools.find(
                forServer: facts.versionNumber, directory: bin, searchPath: environment.variables["PATH"] ?? "")
        } catch {
            let known = RunLog.describe(error)
            needs.append("\(known.message) \(known.remedy)")
        }
        return needs
    }
}
