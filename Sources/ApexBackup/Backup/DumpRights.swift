import BackupModel
import PostgresAccess

/// What a role needs for a backup of everything, when it is no superuser.
enum DumpRight {
    case allData, rowSecurity, largeObjects

    /// What lets `role`, a quoted name, do it.
    func grant(to role: String) -> String {
        switch self {
        case .allData: "GRANT pg_read_all_data TO \(role);"
        case .rowSecurity: "ALTER ROLE \(role) BYPASSRLS;"
        case .largeObjects:
            "GRANT SELECT ON LARGE OBJECT oid TO \(role); for each, in its database; or for all, and for writing too: "
                + "ALTER ROLE \(role) SET lo_compat_privileges = on;"
        }
    }

    /// The quoted name of the role that a session has, as ``grant(to:)`` takes it.
    static func role(of session: PostgresSession) async throws -> String {
        try await session.query("SELECT pg_catalog.quote_ident(current_user)").firstValue ?? "CURRENT_USER"
    }
}

/// Finds out what the dumps would lack, or would fail for hours after they began.
struct DumpRights: Sendable {
    let connection: ConnectionSettings
    let facts: ServerFacts
    /// Its quoted name.
    let role: String
    let databases: [DatabaseEntry]

    /// What the backup will lack without failing, each as a warning.
    ///
    /// - Throws: a refusal that names what the role must be granted.
    func check(in session: PostgresSession) async throws -> [String] {
        guard !facts.isSuperuser || facts.inRecovery else { return [] }
        var warnings = facts.isSuperuser ? [] : try await subscriptionsMissing(in: session)
        var refusals: [String] = []
        var grants: [String] = []
        for database in databases {
            let found: Findings
            do { found = try await look(into: database.name) } catch {
                try Task.checkNotCancelled()
                warnings.append(
                    "not known what is missing: '\(database.name)' could not be looked into: "
                        + RunLog.describe(error).messageWithReason)
                continue
            }
            if let tables = found.guardedTables, !facts.isSuperuser {
                refusals.append("'\(database.name)' has row security on \(tables)")
                grants.append(DumpRight.rowSecurity.grant(to: role))
            }
            if found.hasClosedLargeObjects, !facts.isSuperuser {
                refusals.append("'\(database.name)' has large objects that the role may not read")
                grants.append(DumpRight.largeObjects.grant(to: role))
            }
            if found.hasHiddenMappings {
                warnings.append(
                    "options of user mappings may be missing, such as passwords for foreign servers: only a superuser can "
                        + "dump those of '\(database.name)'")
            }
            if let tables = found.unloggedTables, facts.inRecovery {
                warnings.append("data missing: a standby has no rows of unlogged tables: '\(database.name)': \(tables)")
            }
        }
        guard refusals.isEmpty else {
            var seen: Set<String> = []
            throw BackupError(
                .permissionDenied, "The role \(role) may not read all that is to be dumped.",
                reason: refusals.joined(separator: "; "),
                remedy: grants.filter { seen.insert($0).inserted }.joined(separator: " ")
                    + " Or connect as a superuser.",
                unchanged: "No backup was taken.")
        }
        return warnings
    }

    /// pg_dump leaves subscriptions out for a role that is no superuser, and succeeds.
    private func subscriptionsMissing(in session: PostgresSession) async throws -> [String] {
        let answer = try await session.query("SELECT DISTINCT subdbid FROM pg_catalog.pg_subscription")
        let subscribed = Set(answer.rows.compactMap { $0[0].flatMap { UInt32($0) } })
        let names = databases.filter { subscribed.contains($0.oid) }.map { "'\($0.name)'" }
        guard !names.isEmpty else { return [] }
        return ["subscriptions missing: only a superuser can dump those of \(names.joined(separator: ", "))"]
    }

    private struct Findings {
        var guardedTables: String?
        var unloggedTables: String?
        var hasClosedLargeObjects: Bool
        /// User mappings whose options pg_dump would leave out, and succeed.
        var hasHiddenMappings: Bool
    }

    private func look(into database: String) async throws -> Findings {
        let found = try await PostgresSession.with(
            connection.with(database: database), applicationName: "apex-backup", timeout: DumpSource.connectTimeout
        ) { session in
            // Settings would stay in a pool. What a database sets could put objects of its own before PostgreSQL's.
            try await session.requireDirectConnection()
            try await session.execute("SET search_path = ''")
            return try await session.query(Self.query)
        }
        return Findings(
            guardedTables: found.value(0, "guarded"), unloggedTables: found.value(0, "unlogged"),
            hasClosedLargeObjects: found.value(0, "large_objects") == "t",
            hasHiddenMappings: found.value(0, "hidden_mappings") == "t")
    }

    /// The names of the first tables for which `condition` holds, and how many others there are.
    private static func first(_ count: Int, where condition: String) -> String {
        """
        (SELECT pg_catalog.string_agg(CASE WHEN number <= \(count) THEN name END, ', ')
            || CASE WHEN count(*) > \(count) THEN ', and ' || count(*) - \(count) || ' others' ELSE '' END
            FROM (SELECT oid::pg_catalog.regclass::text AS name, pg_catalog.row_number() OVER () AS number
                FROM tables WHERE \(condition)) AS t)
        """
    }

    private static let query = """
        WITH tables AS (
            SELECT c.oid, c.relpersistence, pg_catalog.row_security_active(c.oid) AS is_guarded
            FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
                AND NOT EXISTS (
                    SELECT FROM pg_catalog.pg_depend AS d
                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'))
        SELECT \(first(5, where: "is_guarded")) AS guarded, \(first(5, where: "relpersistence = 'u'")) AS unlogged,
            pg_catalog.current_setting('lo_compat_privileges') = 'off' AND EXISTS (
                SELECT FROM pg_catalog.pg_largeobject_metadata AS m
                WHERE NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') AND NOT EXISTS (
                    SELECT FROM pg_catalog.aclexplode(m.lomacl) AS a
                    WHERE a.privilege_type = 'SELECT'
                        AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))) AS large_objects,
            pg_catalog.current_setting('is_superuser') = 'off' AND EXISTS (
                SELECT FROM pg_catalog.pg_user_mappings AS m JOIN pg_catalog.pg_foreign_server AS s ON s.oid = m.srvid
                WHERE m.umoptions IS NULL AND NOT (
                    m.umuser <> 0 AND m.usename = current_user
                        AND (pg_catalog.pg_has_role(s.srvowner, 'USAGE')
                            OR pg_catalog.has_server_privilege(s.oid, 'USAGE'))
                    OR m.umuser = 0 AND pg_catalog.pg_has_role(s.srvowner, 'USAGE'))) AS hidden_mappings
        """
}

extension BackupError {
    /// The same error with what `role` must be granted as its remedy, if a program says that the role lacks rights.
    func namingGrants(to role: String) -> BackupError {
        guard let reason else { return self }
        var lacking: [DumpRight] = []
        if reason.contains("row-level security policy") { lacking.append(.rowSecurity) }
        if reason.contains("permission denied for large object") { lacking.append(.largeObjects) }
        if reason.contains(/permission denied for (?!database|large object)/) { lacking.append(.allData) }
        guard !lacking.isEmpty else { return self }
        var copy = self
        copy.remedy = lacking.map { $0.grant(to: role) }.joined(separator: " ") + " Or connect as a superuser."
        return copy
    }
}
