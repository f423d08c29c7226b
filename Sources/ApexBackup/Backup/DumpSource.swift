import BackupModel
import PostgresAccess

/// A server that was looked at and found fit to be dumped.
struct DumpSource: Sendable {
    let connection: ConnectionSettings
    let facts: ServerFacts
    let tools: ClientTools
    /// The quoted name of the role that is connected.
    let role: String
    /// The databases to dump.
    let databases: [DatabaseEntry]
    let warnings: [String]

    /// Connects, and refuses what cannot work before anything is written.
    static func open(
        _ connection: ConnectionSettings, for request: LogicalBackup.Request, into repository: Repository
    ) async throws -> DumpSource {
        try await PostgresSession.with(
            connection, applicationName: "apex-backup", timeout: connectTimeout
        ) { session in
            let facts = try await session.serverFacts()
            try repository.requireIncarnation(facts.systemIdentifier)
            let tools = try await ClientTools.find(
                forServer: facts.versionNumber, directory: request.bin,
                searchPath: repository.environment.variables["PATH"] ?? "")
            let all = try await session.databases()
            let databases = try choose(request.settings, among: all)
            let role = try await DumpRight.role(of: session)
            let rights = DumpRights(connection: connection, facts: facts, role: role, databases: databases)
            var warnings = try await rights.check(in: session)
            if request.settings.globals, !facts.canReadRolePasswords {
                warnings.insert("passwords missing: the role that takes the backup may not read pg_authid", at: 0)
            }
            warnings += excludedInVain(request.settings, among: all).map {
                "'\($0)' is excluded, and the server has no such database that would be dumped"
            }
            return DumpSource(
                connection: connection, facts: facts, tools: tools, role: role, databases: databases,
                warnings: warnings)
        }
    }

    /// The names that exclude nothing: databases that are gone, or whose names were mistyped.
    private static func excludedInVain(
        _ settings: BackupPolicy.LogicalSettings, among all: [DatabaseEntry]
    ) -> [String] {
        settings.exclude.filter { name in !all.contains { $0.name == name } }
    }

    static let connectTimeout: Duration = .seconds(15)

    /// The databases that `settings` name; one that does not exist is an error, not an empty backup.
    static func choose(
        _ settings: BackupPolicy.LogicalSettings, among all: [DatabaseEntry]
    ) throws(BackupError) -> [DatabaseEntry] {
        var chosen = all
        if case .named(let names) = settings.databases {
            let unknown = names.filter { name in !all.contains { $0.name == name } }
            guard unknown.isEmpty else {
                throw BackupError(
                    .serverRefused,
                    "The server has no database \(unknown.map { "'\($0)'" }.joined(separator: ", ")) that may be dumped.",
                    reason: "it has: \(all.map(\.name).joined(separator: ", "))",
                    remedy: "Correct backup.logical.databases in the policy, or --database.",
                    unchanged: "No backup was taken.")
            }
            chosen = all.filter { names.contains($0.name) }
        }
        chosen.removeAll { settings.exclude.contains($0.name) }
        guard !chosen.isEmpty else {
            throw BackupError(
                .settings, "No database is left to dump.",
                reason: "the server has: \(all.map(\.name).joined(separator: ", "))",
                remedy: "Correct backup.logical.databases and exclude in the policy.",
                unchanged: "No backup was taken.")
        }
        return chosen
    }
}

extension ConnectionSettings {
    /// The command line of one of PostgreSQL's programs on this server, with its password only in the environment.
    func command(
        _ executable: String, _ arguments: [String], database: String?, variables: [String: String]
    ) -> ChildCommand {
        var inherited = ChildCommand.environment(inheritedFrom: variables)
        for name in ["PGPASSFILE", "PGSERVICEFILE"] { inherited[name] = variables[name] }
        inherited.merge(environment) { _, ours in ours }
        // What the caller sets for sessions of his own must not end a dump, nor translate what it holds.
        inherited["PGCLIENTENCODING"] = nil
        inherited["PGOPTIONS"] = optionsWithoutTimeouts
        inherited["PGAPPNAME"] = "apex-backup"
        inherited["LC_ALL"] = "C"
        let target = conninfoWithoutSecrets(database: database)
        return ChildCommand(
            executable, arguments: arguments + ["--no-password", "--dbname=\(target)"],
            environment: inherited, secrets: secrets)
    }
}
