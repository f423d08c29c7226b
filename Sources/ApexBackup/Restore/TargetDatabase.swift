import BackupModel
import PostgresAccess

/// What a restore does to databases as a whole.
extension TargetServer {
    /// Creates `name` as the backup's database was, on a tablespace of the target.
    func create(_ name: String, like properties: DatabaseProperties, tablespace: String) async throws {
        var options = [
            "TEMPLATE template0", "ENCODING \(quoteLiteral(properties.encoding))",
            "LC_COLLATE \(quoteLiteral(properties.collate))", "LC_CTYPE \(quoteLiteral(properties.ctype))",
        ]
        if facts.versionNumber >= 150_000, properties.localeProvider != "c" {
            let isICU = properties.localeProvider == "i"
            options.append("LOCALE_PROVIDER \(isICU ? "icu" : "builtin")")
            if let locale = properties.locale {
                options.append("\(isICU ? "ICU_LOCALE" : "BUILTIN_LOCALE") \(quoteLiteral(locale))")
            }
            if let rules = properties.icuRules { options.append("ICU_RULES \(quoteLiteral(rules))") }
        }
        if tablespace != "pg_default" { options.append("TABLESPACE \(quoteIdentifier(tablespace))") }
        try await session.execute("CREATE DATABASE \(quoteIdentifier(name)) \(options.joined(separator: " "))")
    }

    /// Gives `name` the owner, settings, grants, comment and limit that its dump does not carry.
    func apply(_ properties: DatabaseProperties, to name: String, roles: Set<String>) async throws -> [String] {
        var warnings: [String] = []
        if roles.contains(properties.owner) {
            try await session.execute(
                "ALTER DATABASE \(quoteIdentifier(name)) OWNER TO \(quoteIdentifier(properties.owner))")
        } else {
            warnings.append("the restored database belongs to \(user): the role '\(properties.owner)' is missing")
        }
        for (sql, role) in properties.statements(for: name) {
            if let role, !roles.contains(role) {
                warnings.append("not given to the role '\(role)', which is missing: settings or rights in the database")
            } else {
                try await session.execute(sql)
            }
        }
        return warnings.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Drops the database, also when this task was asked to stop or the session is lost.
    func drop(_ name: String) async throws {
        try await insist("DROP DATABASE IF EXISTS \(quoteIdentifier(name)) WITH (FORCE)")
    }

    /// Gives `restored` the name `name`, which no database has.
    func rename(_ restored: String, to name: String) async throws {
        do {
            try await insist("ALTER DATABASE \(quoteIdentifier(restored)) RENAME TO \(quoteIdentifier(name))")
        } catch {
            // A connection that was lost may have taken the answer with it, not the rename.
            guard let there = try? await exists(restored), !there else { throw error }
        }
    }

    /// Gives `restored` the name `name`, and the database that had it the name `kept`, in one transaction.
    ///
    /// Goes on when this task is asked to stop: the old database must not be left without sessions. Returns warnings.
    func swap(
        _ restored: String, into name: String, keeping kept: String, disconnecting: Bool
    ) async throws -> [String] {
        try await Task {
            let open = "ALTER DATABASE \(quoteIdentifier(name)) ALLOW_CONNECTIONS true"
            do {
                try await exchange(restored, name, kept, disconnecting: disconnecting)
            } catch {
                let isUndone: Bool
                do { isUndone = try await exists(restored) } catch let lookup {
                    throw Self.leftClosed(error, lookup, name, statement: open)
                }
                if isUndone {
                    do { try await insist(open) } catch let undo {
                        throw Self.leftClosed(error, undo, name, statement: open)
                    }
                    throw error
                }
            }
            let openKept = "ALTER DATABASE \(quoteIdentifier(kept)) ALLOW_CONNECTIONS true"
            do { try await insist(openKept) } catch {
                return ["'\(kept)' takes no sessions (\(RunLog.describe(error).message)): run \(openKept)"]
            }
            return []
        }.value
    }

    private func exchange(_ restored: String, _ name: String, _ kept: String, disconnecting: Bool) async throws {
        let old = quoteIdentifier(name)
        try await session.execute("ALTER DATABASE \(old) ALLOW_CONNECTIONS false")
        if disconnecting {
            _ = try await session.query(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", [name])
        }
        let others = try await sessions(in: name)
        guard others.isEmpty else { throw Self.inUse(name, by: others) }
        // Several statements in one message are one transaction.
        try await session.execute(
            "ALTER DATABASE \(old) RENAME TO \(quoteIdentifier(kept)); "
                + "ALTER DATABASE \(quoteIdentifier(restored)) RENAME TO \(old)")
    }

    private func exists(_ name: String) async throws -> Bool {
        try await insist("SELECT 1 FROM pg_database WHERE datname = $1", [name]).rows.isEmpty == false
    }

    private static func leftClosed(
        _ error: any Error, _ later: any Error, _ name: String, statement: String
    ) -> BackupError {
        let (error, later) = (RunLog.describe(error), RunLog.describe(later))
        return BackupError(
            .restoreFailed, "The swap of '\(name)' failed and could not be undone: it may take no sessions now.",
            reason: "\(error.message) \(error.reason ?? "") Then: \(later.message) \(later.reason ?? "")",
            remedy: "Run in another database, such as template1: \(statement);", unchanged: "Its data is as it was.")
    }
}

extension DatabaseProperties {
    /// The statements that give a database `name` its settings, grants, comment and limit, each with the role it needs.
    func statements(for name: String) -> [(sql: String, role: String?)] {
        let database = quoteIdentifier(name)
        var statements: [(sql: String, role: String?)] = settings.map { setting in
            let subject =
                setting.role.map { "ROLE \(quoteIdentifier($0)) IN DATABASE \(database)" } ?? "DATABASE \(database)"
            return ("ALTER \(subject) SET \(quoteIdentifier(setting.name)) TO \(setting.literal)", setting.role)
        }
        if let grants {
            statements.append(("REVOKE ALL ON DATABASE \(database) FROM PUBLIC", nil))
            for grant in grants {
                let grantee = grant.grantee.isEmpty ? "PUBLIC" : quoteIdentifier(grant.grantee)
                let option = grant.grantable ? " WITH GRANT OPTION" : ""
                statements.append(
                    (
                        "GRANT \(grant.privilege) ON DATABASE \(database) TO \(grantee)\(option)",
                        grant.grantee.isEmpty ? nil : grant.grantee
                    ))
            }
        }
        if let comment { statements.append(("COMMENT ON DATABASE \(database) IS \(quoteLiteral(comment))", nil)) }
        if connectionLimit != -1 {
            statements.append(("ALTER DATABASE \(database) CONNECTION LIMIT \(connectionLimit)", nil))
        }
        return statements
    }

    /// The roles that the properties name.
    var roles: Set<String> {
        Set([owner] + settings.compactMap(\.role) + (grants ?? []).map(\.grantee).filter { !$0.isEmpty })
    }
}

extension DatabaseProperties.Setting {
    /// Parameters that are lists of names (GUC_LIST_QUOTE in PostgreSQL's guc_tables.c) are stored quoted already.
    private static let quotedLists: Set<String> = [
        "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
        "temp_tablespaces", "unix_socket_directories",
    ]

    /// The value as SQL.
    fileprivate var literal: String {
        guard Self.quotedLists.contains(name) else { return quoteLiteral(value) }
        // An empty list is stored as one empty name, which no statement takes.
        return value.isEmpty || value == "\"\"" ? "''" : value
    }
}
