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
                // One statement, whatever is in it.
                _ = try await session.query(sql)
            }
        }
        warnings += properties.unreadableSettings.map {
            "the setting '\($0)' is not taken over: it is no list of names"
        }
        return warnings.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Drops the database, also when this task was asked to stop or the session is lost.
    func drop(_ name: String) async throws {
        try await insist("DROP DATABASE IF EXISTS \(quoteIdentifier(name)) WITH (FORCE)")
    }

    /// Drops a half-restored database and says what became of it.
    func discard(_ working: String) async -> String {
        do {
            guard try await exists(working) else { return "No database was made." }
            try await drop(working)
            return "The half-restored database '\(working)' was dropped."
        } catch {
            return
                "The half-restored database '\(working)' is left (\(RunLog.describe(error).message)): drop it by hand."
        }
    }

    /// Gives `restored` the name `name`, which no database has.
    func rename(_ restored: String, to name: String) async throws {
        do {
            try await insist("ALTER DATABASE \(quoteIdentifier(restored)) RENAME TO \(quoteIdentifier(name))")
        } catch {
            // A connection that was lost may have taken the answer with it, not the rename.
            guard (try? await exists(restored)) == false, (try? await exists(name)) == true else { throw error }
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
                do { isUndone = try await !exists(kept) } catch let lookup {
                    throw UnfinishedSwap(of: name, error, then: lookup, statement: open)
                }
                if isUndone {
                    do { try await insist(open) } catch let undo {
                        throw UnfinishedSwap(of: name, error, then: undo, statement: open)
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
}

/// A swap that failed, and after which the database that was there may take no sessions.
struct UnfinishedSwap: Error {
    let error: BackupError

    fileprivate init(of name: String, _ error: any Error, then later: any Error, statement: String) {
        let (error, later) = (RunLog.describe(error), RunLog.describe(later))
        self.error = BackupError(
            .restoreFailed, "The swap of '\(name)' failed and could not be undone: it may take no sessions now.",
            reason: "\(error.messageWithReason) Then: \(later.messageWithReason)",
            remedy: "Run in another database, such as template1: \(statement);",
            unchanged: "The data of the database that was there is as it was.")
    }
}
