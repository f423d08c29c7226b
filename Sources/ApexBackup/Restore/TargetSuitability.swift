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

    /// From 17 on, pg_dump and pg_restore set a parameter that older servers do not know, and stop at their refusal.
    ///
    /// `writer` is the program that writes the statements, and its major version.
    func requireKnownSettings(of writer: String, major: Int) throws(BackupError) {
        guard major >= 17, target.facts.major < 17 else { return }
        throw BackupError(
            .targetUnsuitable, "\(writer) \(major) cannot restore into the target, PostgreSQL \(target.facts.version).",
            reason: "it sets transaction_timeout, which servers know from 17 on, and everything that is new in "
                + "\(target.facts.major + 1) to \(major) would fail as well",
            remedy: writer == "pg_dump"
                ? "Restore into a server of PostgreSQL \(major) or newer."
                : "Install the programs of PostgreSQL \(target.facts.major), or name their directory as cluster.bin.",
            unchanged: "Nothing was changed.")
    }

    /// The rights without which the restore would fail in the middle.
    func requireRights(for entries: [RestorePlan.Database], creating roles: [String]) async throws {
        guard !target.facts.isSuperuser else { return }
        if let first = entries.first(where: { $0.action != .addTables }) {
            try await requireRight(toCreate: first.target)
        }
        if !roles.isEmpty, try await !has("rolcreaterole") {
            throw lacking(
                "create roles", "the target lacks \(roles.map { "'\($0)'" }.joined(separator: ", "))", "CREATEROLE")
        }
        for entry in entries where entry.action == .swap || entry.action == .replaceEmpty {
            let owns = try await target.session.query(
                "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = $1", [entry.target])
            guard owns.firstValue == "f" else { continue }
            throw lacking("rename '\(entry.target)'", "only its owner may", nil)
        }
    }

    func requireRight(toCreate database: String) async throws {
        if target.facts.isSuperuser { return }
        guard try await !has("rolcreatedb") else { return }
        throw lacking("create databases", "'\(database)' is to be made", "CREATEDB")
    }

    private func has(_ attribute: String) async throws -> Bool {
        try await target.session.query("SELECT \(attribute) FROM pg_roles WHERE rolname = current_user").firstValue
            == "t"
    }

    private func lacking(_ what: String, _ reason: String, _ attribute: String?) -> BackupError {
        BackupError(
            .permissionDenied, "The role '\(target.user)' may not \(what) on \(target.connection.redacted).",
            reason: reason,
            remedy: attribute.map { "Give it the right (ALTER ROLE … \($0)), or restore as a superuser." }
                ?? "Restore as its owner or as a superuser.", unchanged: "Nothing was changed.")
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
