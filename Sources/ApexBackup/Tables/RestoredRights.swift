import BackupModel
import PostgresAccess

/// Gives tables of a recovered server owners and rights that a target can take.
struct RestoredRights: Sendable {
    /// The role that restores into the target, and whether it may give things to others there.
    let user: String
    let isSuperuser: Bool
    /// The roles of the target.
    let roles: Set<String>

    /// Returns what is otherwise than it was.
    func apply(to tables: RecoveredTables, in session: PostgresSession) async throws -> [String] {
        let isKnown = try await session.query("SELECT 1 FROM pg_roles WHERE rolname = $1", [user]).rows.isEmpty == false
        if !isKnown { try await session.execute("CREATE ROLE \(quoteIdentifier(user))") }
        return try await giveOwners(to: tables, in: session) + takeRights(from: tables, in: session)
            + freeOwner(of: tables, in: session)
    }

    /// Lets the owner see all rows, who must be able to count them.
    private func freeOwner(of tables: RecoveredTables, in session: PostgresSession) async throws -> [String] {
        guard !isSuperuser else { return [] }
        let forced = try await session.query(
            """
            SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = ANY ($1::oid[]) AND c.relforcerowsecurity ORDER BY 1
            """, [tables.oids]
        ).rows.compactMap { $0[0] }
        for table in forced { try await session.execute("ALTER TABLE \(table) NO FORCE ROW LEVEL SECURITY") }
        return forced.map { "row security of \($0) is not forced on its owner '\(user)', who has to count its rows" }
    }

    /// What belonged to a role that the target lacks, or may not give to, belongs to the role that restores.
    ///
    /// Extended statistics have an owner of their own, which is not changed with that of their table.
    private func giveOwners(to tables: RecoveredTables, in session: PostgresSession) async throws -> [String] {
        let owned = try await session.query(
            """
            SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname),
                pg_get_userbyid(c.relowner)
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])
            UNION ALL
            SELECT format('STATISTICS %I.%I', n.nspname, s.stxname), pg_get_userbyid(s.stxowner)
            FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = ANY ($1::oid[])
            """, [tables.oidsWithSequences])
        var others: Set<String> = []
        for row in owned.rows {
            guard let relation = row[0], let owner = row[1], owner != user, !(isSuperuser && roles.contains(owner))
            else { continue }
            try await session.execute("ALTER \(relation) OWNER TO \(quoteIdentifier(user))")
            others.insert(owner)
        }
        return others.sorted().map { owner in
            "what belonged to '\(owner)' belongs to '\(user)': "
                + (roles.contains(owner) ? "only a superuser gives it to others" : "the target has no such role")
        }
    }

    /// Takes rights away that the target cannot give: those of roles that it lacks, and those that roles have given in
    /// whose name the role that restores may not act.
    ///
    /// REVOKE takes only what the owner gave, so that the catalogue itself is changed: the server is there for this
    /// alone.
    private func takeRights(from tables: RecoveredTables, in session: PostgresSession) async throws -> [String] {
        let grantees = textArray(roles)
        let grantors = isSuperuser ? grantees : textArray([user])
        let lost = try await session.query(
            """
            SELECT DISTINCT coalesce(e.rolname, 'PUBLIC')
            FROM (SELECT relacl AS acl FROM pg_class WHERE oid = ANY ($1::oid[])
                UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = ANY ($1::oid[])) AS a
            CROSS JOIN LATERAL aclexplode(a.acl) AS x
            LEFT JOIN pg_roles e ON e.oid = x.grantee LEFT JOIN pg_roles r ON r.oid = x.grantor
            WHERE \(Self.isNotGiven) ORDER BY 1
            """, [tables.oidsWithRights, grantees, grantors])
        for (table, column, key) in [("pg_class", "relacl", "oid"), ("pg_attribute", "attacl", "attrelid")] {
            _ = try await session.query(
                """
                UPDATE \(table) SET \(column) = (
                    SELECT array_agg(item) FROM unnest(\(column)) AS item WHERE NOT EXISTS (
                        SELECT FROM aclexplode(ARRAY[item]) AS x
                        LEFT JOIN pg_roles e ON e.oid = x.grantee LEFT JOIN pg_roles r ON r.oid = x.grantor
                        WHERE \(Self.isNotGiven)))
                WHERE \(key) = ANY ($1::oid[]) AND \(column) IS NOT NULL
                """, [tables.oidsWithRights, grantees, grantors])
        }
        return lost.rows.compactMap { $0[0] }.map { role in
            "rights of '\(role)' are left out: "
                + (role == "PUBLIC" || roles.contains(role)
                    ? "others than the owner gave them" : "the target has no such role")
        }
    }

    private static let isNotGiven = """
        (x.grantee <> 0 AND coalesce(e.rolname <> ALL ($2::text[]), true))
            OR coalesce(r.rolname <> ALL ($3::text[]), true)
        """
}

/// `texts` as an array in PostgreSQL's text form.
func textArray(_ texts: some Sequence<String>) -> String {
    "{\(texts.map { "\"\($0.escaping(["\\": "\\\\", "\"": "\\\""]))\"" }.joined(separator: ","))}"
}
