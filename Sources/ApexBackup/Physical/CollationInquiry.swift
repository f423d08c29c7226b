import BackupModel
import PostgresAccess

/// Asks a server of the collations that its indexes depend on, in each of its databases.
struct CollationInquiry: Sendable {
    /// A connection to the server, to whichever database.
    let server: ConnectionSettings

    /// A database with its own collation.
    private struct Database: Sendable {
        var name: String
        /// Whether sessions in it are allowed.
        var isOpen: Bool
        /// Whether the role may open one.
        var isAllowed: Bool
        var collation: FoundCollation
    }

    /// A collation that indexes of a database use.
    private struct Used: Sendable {
        var oid: String
        var collation: FoundCollation
    }

    /// What a backup says of the source; `session` is one of it.
    ///
    /// A database that cannot be looked into keeps nothing from being backed up.
    func record(in session: PostgresSession) async throws -> CollationRecord {
        var versions: [CollationRecord.Version] = []
        var unread = 0
        for database in try await databases(in: session) {
            versions.append(.init(database.collation))
            guard database.isOpen else { continue }
            guard database.isAllowed else {
                unread += 1
                continue
            }
            do {
                versions += try await inside(database.name) { session in
                    try await used(in: session, own: database.collation)
                }.map { CollationRecord.Version($0.collation) }
            } catch {
                try Task.checkNotCancelled()
                unread += 1
            }
        }
        return CollationRecord(versions: versions, unread: unread)
    }

    /// Compares a restored cluster with what `source` says; what cannot be asked is told, and is no error.
    func report(comparedWith source: CollationRecord?) async throws -> CollationReport {
        let comparison = CollationComparison(source: source)
        var report = CollationReport()
        let databases: [Database]
        do {
            databases = try await PostgresSession.with(
                server, applicationName: "apex-backup", timeout: DumpSource.connectTimeout
            ) { try await self.databases(in: $0) }
        } catch {
            try Task.checkNotCancelled()
            return CollationReport(unknown: ["any database: \(RunLog.describe(error).message)"])
        }
        for database in databases {
            guard database.isOpen else {
                if case .differs = comparison.compare(database.collation) {
                    report.unknown.append("the indexes of '\(database.name)', which allows no connections")
                }
                continue
            }
            do {
                let (found, unknown) = try await inside(database.name) { session in
                    try await differences(in: session, of: database, comparison)
                }
                report.compared += 1
                if let found { report.databases.append(found) }
                report.unknown += unknown.map { "\($0) of '\(database.name)', of which no version is known" }
            } catch {
                try Task.checkNotCancelled()
                report.unknown.append("'\(database.name)': \(RunLog.describe(error).message)")
            }
        }
        return report
    }

    private func inside<Value: Sendable>(
        _ database: String, _ body: (PostgresSession) async throws -> Value
    ) async throws -> Value {
        try await PostgresSession.with(
            server.with(database: database), applicationName: "apex-backup", timeout: DumpSource.connectTimeout
        ) { session in
            // A setting would stay in a pool. Without it a database could put operators of its own before PostgreSQL's,
            // and a lock on a catalogue, as VACUUM FULL takes, could hold up a backup for as long as it likes.
            try await session.requireDirectConnection()
            try await session.execute("SET search_path = ''; SET lock_timeout = '30s'")
            return try await body(session)
        }
    }

    private func differences(
        in session: PostgresSession, of database: Database, _ comparison: CollationComparison
    ) async throws -> (CollationReport.Database?, unknown: [String]) {
        var differences: [CollationReport.Difference] = []
        var unknown: [String] = []
        var oids: [String] = []
        for used in try await used(in: session, own: database.collation) {
            switch comparison.compare(used.collation) {
            case .same: continue
            case .unknown: unknown.append("the collation \(used.collation.name ?? "default")")
            case .differs(let difference):
                differences.append(difference)
                oids.append(used.oid)
            }
        }
        // PostgreSQL warns of the database's own, whether or not an index uses it.
        if !differences.contains(where: { $0.collation == "default" }),
            case .differs(let difference) = comparison.compare(database.collation)
        {
            differences.append(difference)
        }
        guard !differences.isEmpty else { return (nil, unknown) }
        let indexes = try await session.query(Self.indexesQuery, ["{\(oids.joined(separator: ","))}"]).rows
        return (
            .init(name: database.name, differences: differences, indexes: indexes.compactMap { $0[0] }), unknown
        )
    }
}

// MARK: Queries

extension CollationInquiry {
    private func databases(in session: PostgresSession) async throws -> [Database] {
        let locale = await session.localeColumn(of: "dat")
        return try await session.query(
            """
            SELECT datname, datallowconn, datlocprovider,
                CASE datlocprovider WHEN 'c' THEN datcollate ELSE \(locale) END, datcollversion,
                pg_catalog.pg_database_collation_actual_version(oid),
                pg_catalog.has_database_privilege(oid, 'CONNECT')
            FROM pg_catalog.pg_database ORDER BY datname COLLATE "C"
            """
        ).rows.map { row in
            guard let name = row[0], let provider = row[2] else { throw unexpectedAnswer("its databases") }
            return Database(
                name: name, isOpen: row[1] == "t", isAllowed: row[6] == "t",
                collation: FoundCollation(
                    name: nil, provider: FoundCollation.provider(code: provider), locale: row[3] ?? "",
                    recorded: row[4], actual: row[5]))
        }
    }

    /// The collations that indexes of the session's database use, of which `own` is the database's.
    private func used(in session: PostgresSession, own: FoundCollation) async throws -> [Used] {
        let locale = await session.localeColumn(of: "coll")
        return try await session.query(
            """
            WITH uses AS (\(Self.uses))
            SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.collname), c.collprovider,
                CASE c.collprovider WHEN 'c' THEN c.collcollate ELSE c.\(locale) END, c.collversion,
                CASE WHEN c.collprovider <> 'd' THEN pg_catalog.pg_collation_actual_version(c.oid) END
            FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
            WHERE c.oid IN (SELECT collation_oid FROM uses) ORDER BY c.oid
            """
        ).rows.map { row in
            guard let oid = row[0], let provider = row[2] else { throw unexpectedAnswer("its collations") }
            guard provider != "d" else { return Used(oid: oid, collation: own) }
            return Used(
                oid: oid,
                collation: FoundCollation(
                    name: row[1], provider: FoundCollation.provider(code: provider), locale: row[3] ?? "",
                    recorded: row[4], actual: row[5]))
        }
    }

    /// Which index depends on which collation.
    ///
    /// The order of bytes, which pattern operators take, depends on none, and neither does a hash of what is equal byte
    /// for byte. Ranges have a collation of their type's, and `jsonb` compares by the database's own.
    static let uses = """
        SELECT i.indexrelid AS index_oid, u.collation_oid
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indexrelid
            JOIN pg_catalog.pg_am am ON am.oid = r.relam
            CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(i.indcollation), pg_catalog.unnest(i.indclass))
                AS u (collation_oid, class_oid)
            JOIN pg_catalog.pg_opclass o ON o.oid = u.class_oid
            JOIN pg_catalog.pg_collation k ON k.oid = u.collation_oid
        WHERE o.opcname NOT IN ('text_pattern_ops', 'varchar_pattern_ops', 'bpchar_pattern_ops')
            AND (am.amname <> 'hash' OR NOT k.collisdeterministic)
        UNION
        SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_index i ON i.indexrelid = d.objid
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass
        UNION
        SELECT i.indexrelid, g.rngcollation FROM pg_catalog.pg_index i
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid
            JOIN pg_catalog.pg_range g ON a.atttypid IN (g.rngtypid, g.rngmultitypid)
        WHERE g.rngcollation <> 0
        UNION
        SELECT i.indexrelid, k.oid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indexrelid
            JOIN pg_catalog.pg_am am ON am.oid = r.relam AND am.amname = 'btree'
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid
                AND a.atttypid = 'pg_catalog.jsonb'::pg_catalog.regtype
            JOIN pg_catalog.pg_collation k ON k.collprovider = 'd'
        """

    /// Those of tables that are there for other sessions too; an index of a partitioned table is that of its partitions.
    private static let indexesQuery = """
        WITH uses AS (\(uses))
        SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, r.relname) COLLATE "C"
        FROM uses u JOIN pg_catalog.pg_class r ON r.oid = u.index_oid
            JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
        WHERE r.relkind = 'i' AND r.relpersistence <> 't'
            AND u.collation_oid = ANY ($1::pg_catalog.text::pg_catalog.oid[])
        ORDER BY 1
        """
}

extension PostgresSession {
    /// The column with the locale of a provider other than the C library, in the catalogue whose columns begin so.
    fileprivate func localeColumn(of prefix: String) -> String {
        serverVersionNumber >= 170_000 ? "\(prefix)locale" : "\(prefix)iculocale"
    }
}

extension CollationRecord.Version {
    fileprivate init(_ found: FoundCollation) {
        self.init(provider: found.provider, locale: found.locale, recorded: found.recorded, actual: found.actual)
    }
}
