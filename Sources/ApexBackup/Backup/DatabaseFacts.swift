import BackupModel
import BackupStorage
import PostgresAccess
import Synchronization

/// A database of the server, as `pg_database` lists it.
struct DatabaseEntry: Sendable, Hashable {
    var oid: UInt32
    var name: String
    var sizeBytes: Int64?
}

/// A transaction that holds one moment of one database for as long as its dump runs.
///
/// A snapshot cannot be imported into another database (`SET TRANSACTION SNAPSHOT`), so that each has its own.
struct DatabaseSnapshot: Sendable {
    /// What `pg_dump --snapshot` is given.
    let name: String
    let point: SnapshotPoint

    /// Clock, position and timeline are read *before* the snapshot is taken: what was acknowledged by then is in it.
    ///
    /// The session must lead to the server that `facts` are of: one of several hosts may have answered it.
    static func hold(in session: PostgresSession, facts: ServerFacts) async throws -> DatabaseSnapshot {
        let found = try await session.serverFacts()
        guard found.systemIdentifier == facts.systemIdentifier else {
            throw BackupError(
                .wrongCluster, "Two sessions of \(session.settings.redacted) led to different servers.",
                reason: "their system identifiers are \(facts.systemIdentifier) and \(found.systemIdentifier)",
                remedy: "Name only hosts of one cluster in the connection's URL.")
        }
        try await session.execute("SET search_path = ''; SET datestyle = 'ISO'")
        let point = try await session.currentPoint()
        try await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        let exported = try await session.query("SELECT pg_export_snapshot()")
        guard let name = exported.value(0, 0) else { throw unexpectedAnswer("pg_export_snapshot()") }
        return DatabaseSnapshot(name: name, point: point)
    }
}

func unexpectedAnswer(_ what: String) -> BackupError {
    BackupError(
        .queryFailed, "The server's answer about \(what) is not what PostgreSQL answers.",
        remedy: "Check that the connection leads to PostgreSQL itself and not to a proxy.")
}

extension PostgresSession {
    /// Every database that allows connections and is no template.
    func databases() async throws -> [DatabaseEntry] {
        let rows = try await query(
            """
            SELECT oid, datname, CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END
            FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname COLLATE "C"
            """
        ).rows
        return try rows.map { row in
            guard let oid = row[0].flatMap({ UInt32($0) }), let name = row[1] else {
                throw unexpectedAnswer("its databases")
            }
            return DatabaseEntry(oid: oid, name: name, sizeBytes: row[2].flatMap { Int64($0) })
        }
    }

    /// The properties of the database this session is in.
    func databaseProperties() async throws -> DatabaseProperties {
        let version = serverVersionNumber
        let locale = version >= 170_000 ? "datlocale" : version >= 150_000 ? "daticulocale" : "NULL"
        let rules = version >= 160_000 ? "daticurules" : "NULL"
        let provider = version >= 150_000 ? "datlocprovider::text" : "'c'"
        let collationVersion = version >= 150_000 ? "datcollversion" : "NULL"
        let row =
            try await query(
                """
                SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, \(provider), \(locale),
                       \(rules), \(collationVersion), (SELECT spcname FROM pg_tablespace t WHERE t.oid = dattablespace),
                       datconnlimit, shobj_description(d.oid, 'pg_database'), datacl IS NULL, d.oid
                FROM pg_database d WHERE datname = current_database()
                """
            ).rows.first ?? []
        guard row.count == 13, let owner = row[0], let encoding = row[1], let collate = row[2], let ctype = row[3],
            let provider = row[4], let tablespace = row[8], let limit = row[9].flatMap({ Int($0) })
        else { throw unexpectedAnswer("the database's properties") }
        return DatabaseProperties(
            owner: owner, encoding: encoding, collate: collate, ctype: ctype, localeProvider: provider, locale: row[5],
            icuRules: row[6], collationVersion: row[7], tablespace: tablespace, connectionLimit: limit,
            comment: row[10], grants: row[11] == "t" ? nil : try await databaseGrants(),
            settings: try await databaseSettings())
    }

    private func databaseGrants() async throws -> [DatabaseProperties.Grant] {
        try await query(
            """
            SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
            FROM pg_database d, aclexplode(d.datacl) a WHERE datname = current_database() ORDER BY 1, 2
            """
        ).rows.map { .init(grantee: $0[0] ?? "", privilege: $0[1] ?? "", grantable: $0[2] == "t") }
    }

    private func databaseSettings() async throws -> [DatabaseProperties.Setting] {
        try await query(
            """
            SELECT CASE WHEN setrole = 0 THEN NULL ELSE pg_get_userbyid(setrole) END, c
            FROM pg_db_role_setting s, unnest(setconfig) c
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2
            """
        ).rows.compactMap { row in
            guard let text = row[1], let equals = text.firstIndex(of: "=") else { return nil }
            return .init(
                role: row[0], name: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
        }
    }

    func installedExtensions() async throws -> [ExtensionRecord] {
        try await query("SELECT extname, extversion FROM pg_extension ORDER BY extname COLLATE \"C\"").rows.map {
            ExtensionRecord(name: $0[0] ?? "", version: $0[1] ?? "")
        }
    }

    /// Last values of all sequences; `nil` for one that was never used, or that this role may not read.
    func sequenceLines(database oid: UInt32) async throws -> [TableLine] {
        try await query(
            "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
        ).rows.map {
            TableLine(db: oid, schema: $0[0] ?? "", sequence: $0[1] ?? "", lastValue: $0[2].flatMap { Int64($0) })
        }
    }

    /// Where every sequence stands.
    func sequenceStates() async throws -> [(schema: String, name: String, lastValue: Int64?, increment: Int64)] {
        try await query("SELECT schemaname, sequencename, last_value, increment_by FROM pg_sequences").rows.map {
            ($0[0] ?? "", $0[1] ?? "", $0[2].flatMap { Int64($0) }, $0[3].flatMap { Int64($0) } ?? 1)
        }
    }

    /// SHA-256 over one line for each schema, relation, column, constraint, index, trigger, policy, sequence and function,
    /// and each domain, enum and range type: its name and definition, as PostgreSQL prints them, and the owner of a
    /// relation or function.
    ///
    /// A dump and restore within one major version keeps it; objects of extensions are the extension's business. Not
    /// covered are grants, comments, rules, operators, casts, extended statistics, publications, event triggers and
    /// foreign servers.
    func schemaFingerprint() async throws -> SHA256Digest {
        let collected = FingerprintLines()
        try await execute("SET search_path = ''")
        try await forEachRow(Self.fingerprintQuery) { row in collected.add(row[0] ?? "") }
        return collected.finish()
    }

    private static let fingerprintQuery = """
        WITH ns AS (
            SELECT oid, nspname FROM pg_namespace n
            WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
        member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
        rel AS (
            SELECT c.*, quote_ident(nspname) || '.' || quote_ident(relname) AS fullname
            FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
            WHERE relpersistence <> 't'
              AND NOT EXISTS (SELECT FROM member WHERE classid = 'pg_class'::regclass AND objid = c.oid)),
        lines(line) AS (
            SELECT concat_ws('|', 'schema', nspname) FROM ns
            WHERE NOT EXISTS (SELECT FROM member WHERE classid = 'pg_namespace'::regclass AND objid = ns.oid)
            UNION ALL
            SELECT concat_ws('|', 'relation', fullname, relkind, relpersistence, pg_get_userbyid(relowner), relrowsecurity,
                relforcerowsecurity, reloptions, pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid),
                CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END)
            FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
            UNION ALL
            SELECT concat_ws('|', 'column', fullname, row_number() OVER (PARTITION BY attrelid ORDER BY attnum), attname,
                format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
                (SELECT quote_ident(cn.nspname) || '.' || quote_ident(collname) FROM pg_collation co
                 JOIN pg_namespace cn ON cn.oid = collnamespace WHERE co.oid = attcollation),
                pg_get_expr(adbin, adrelid))
            FROM rel JOIN pg_attribute a ON attrelid = rel.oid AND attnum > 0 AND NOT attisdropped
                LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
            WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
            UNION ALL
            SELECT concat_ws('|', 'constraint', fullname, conname, convalidated, pg_get_constraintdef(k.oid))
            FROM rel JOIN pg_constraint k ON conrelid = rel.oid WHERE contype <> 'n' AND contype <> 't'
            UNION ALL
            SELECT concat_ws('|', 'index', pg_get_indexdef(indexrelid), indisvalid)
            FROM rel JOIN pg_index i ON indrelid = rel.oid
            UNION ALL
            SELECT concat_ws('|', 'trigger', fullname, tgenabled, pg_get_triggerdef(t.oid))
            FROM rel JOIN pg_trigger t ON tgrelid = rel.oid WHERE NOT tgisinternal
            UNION ALL
            SELECT concat_ws('|', 'policy', fullname, polname, polcmd, polpermissive, pg_get_expr(polqual, polrelid),
                pg_get_expr(polwithcheck, polrelid)) FROM rel JOIN pg_policy ON polrelid = rel.oid
            UNION ALL
            SELECT concat_ws('|', 'sequence', fullname, format_type(seqtypid, NULL), seqstart, seqincrement, seqmax, seqmin,
                seqcache, seqcycle) FROM rel JOIN pg_sequence ON seqrelid = rel.oid
            UNION ALL
            SELECT concat_ws('|', 'function', nspname, proname, pg_get_function_identity_arguments(p.oid),
                pg_get_function_result(p.oid), prokind, provolatile, proisstrict, prosecdef, proparallel, proconfig,
                (SELECT lanname FROM pg_language l WHERE l.oid = prolang), pg_get_userbyid(proowner), prosrc,
                pg_get_function_sqlbody(p.oid))
            FROM pg_proc p JOIN ns ON ns.oid = pronamespace
            WHERE NOT EXISTS (SELECT FROM member WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
            UNION ALL
            SELECT concat_ws('|', 'type', nspname, typname, typtype, format_type(typbasetype, typtypmod), typnotnull,
                typdefault, (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = y.oid),
                (SELECT string_agg(pg_get_constraintdef(k.oid), ',' ORDER BY conname) FROM pg_constraint k
                 WHERE contypid = y.oid AND contype <> 'n'))
            FROM pg_type y JOIN ns ON ns.oid = typnamespace
            WHERE typtype IN ('d', 'e', 'r')
              AND NOT EXISTS (SELECT FROM member WHERE classid = 'pg_type'::regclass AND objid = y.oid))
        SELECT line FROM lines ORDER BY line COLLATE "C"
        """
}

/// Digests lines that come from the thread of a session.
private final class FingerprintLines: Sendable {
    private let hash = Mutex(SHA256())

    func add(_ line: String) {
        let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
        hash.withLock { $0.update(bytes.span) }
    }

    func finish() -> SHA256Digest { hash.withLock { $0.finish() } }
}
