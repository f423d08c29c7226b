import BackupModel
import PostgresAccess

/// Whether a server can hold the databases of a backup, asked before anything of it is changed.
struct TargetSuitability {
    let target: TargetServer

    /// For `parts` of a database extensions are not demanded: what is chosen may not need them.
    func require(_ databases: [DatabaseRecord], parts: Bool) async throws {
        if !parts { try await requireExtensions(of: databases) }
        for database in databases { try await requireLocale(of: database) }
    }

    private func requireExtensions(of databases: [DatabaseRecord]) async throws {
        let available = try await target.availableExtensions()
        let missing = Set(databases.flatMap { $0.extensions.map(\.name) }).subtracting(available).sorted()
        guard missing.isEmpty else {
            throw BackupError(
                .targetUnsuitable, "The target server lacks the extensions \(missing.joined(separator: ", ")).",
                reason: "pg_available_extensions does not list them, and the dump creates them",
                remedy: "Install their packages on the target server.", unchanged: "Nothing was changed.")
        }
    }

    private func requireLocale(of database: DatabaseRecord) async throws {
        let properties = database.properties
        let major = target.facts.major
        let problem: String? =
            switch properties.localeProvider {
            case "i" where major < 15: "a database's own ICU locale is known from PostgreSQL 15 on"
            case "i" where properties.icuRules != nil && major < 16: "ICU rules are known from PostgreSQL 16 on"
            case "i": try await target.hasICU() ? nil : "it was built without ICU"
            case "b" where major < 17: "the builtin locale provider is known from PostgreSQL 17 on"
            default: nil
            }
        guard let problem else { return }
        throw BackupError(
            .targetUnsuitable,
            "The target, PostgreSQL \(target.facts.version), cannot hold '\(database.name)' with its locale "
                + "'\(properties.locale ?? properties.collate)'.",
            reason: problem, remedy: "Restore to a server that can, of the version that was backed up or newer.",
            unchanged: "Nothing was changed.")
    }
}

/// What an operator should know of the target before databases change there.
struct RestoreWarnings {
    let target: TargetServer
    let entries: [RestorePlan.Database]
    let repository: Repository

    func all() async throws -> [String] {
        var warnings = try await leftovers()
        for entry in entries where entry.action == .swap || entry.action == .replaceEmpty {
            let name = entry.target
            if try await !target.acceptsSessions(name) {
                warnings.append(
                    "'\(name)' takes no sessions, as a restore that was killed may leave it: to open it, run "
                        + "ALTER DATABASE \(quoteIdentifier(name)) ALLOW_CONNECTIONS true")
            }
            for slot in try await target.logicalSlots(in: name) {
                warnings.append(
                    "the logical replication slot '\(slot)' belongs to the present '\(name)' and stays with it: its "
                        + "consumer will not see the restored one, and the old one cannot be dropped before the slot")
            }
            if entry.action == .swap {
                warnings.append(
                    "poolers and applications that hold sessions in '\(name)' must connect again to see the restored one"
                )
            }
        }
        return warnings
    }

    /// Names what restores that were killed have left.
    private func leftovers() async throws -> [String] {
        try await target.databaseNames().filter { name in
            entries.contains { WorkingName.isOne(name, of: $0.target) }
        }.map { "the database '\($0)' is half restored: drop it, unless another restore is running" }
    }
}
