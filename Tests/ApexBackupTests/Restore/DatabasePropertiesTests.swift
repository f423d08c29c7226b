import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A database's properties` {
        @Test func `come back under another name`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                let owner = "owner of \(name)"
                let reader = "reader_\(name)"
                try await server.execute("CREATE ROLE \"\(owner)\"; CREATE ROLE \(reader)")
                let statements = [
                    "ALTER DATABASE \(name) OWNER TO \"\(owner)\"", "ALTER DATABASE \(name) CONNECTION LIMIT 17",
                    "ALTER DATABASE \(name) SET search_path = \"$user\", public, \"Odd, Name\"",
                    "ALTER DATABASE \(name) SET work_mem = '7MB'",
                    "ALTER DATABASE \(name) SET app.note = 'it''s; \\ fine'",
                    "ALTER DATABASE \(name) SET datestyle = 'German, DMY'",
                    "ALTER DATABASE \(name) SET temp_tablespaces = ''",
                    "ALTER ROLE \(reader) IN DATABASE \(name) SET statement_timeout = '3s'",
                    "COMMENT ON DATABASE \(name) IS 'what''s in it; \\ here'",
                    "REVOKE CONNECT, TEMPORARY ON DATABASE \(name) FROM PUBLIC",
                    "GRANT CONNECT ON DATABASE \(name) TO \(reader) WITH GRANT OPTION",
                ]
                for statement in statements { try await server.execute(statement) }
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                let scratch = try await ScratchRepository(for: server)
                for format in DumpFormat.allCases {
                    _ = try await scratch.backup(name) { $0.format = format }
                    try await server.withUnusedName { place in
                        try await scratch.restore(to: place)
                        let origin = try await properties(server, database)
                        #expect(origin["owner"] == owner && origin["settings"]?.contains("app.note") == true)
                        #expect(try await properties(server, place) == origin)
                    }
                }
                try await server.execute("DROP DATABASE \(name) WITH (FORCE)")
                try await server.execute("DROP ROLE \"\(owner)\", \(reader)")
                try await server.withUnusedName { place in
                    let result = try await scratch.restore(to: place)
                    #expect(result.warnings.contains { $0.contains("the role '\(owner)' is missing") })
                    #expect(try await server.firstValue("SHOW work_mem", in: place) == "7MB")
                }
            }
        }

        @Test func `are given with every name quoted, whatever a manifest says`() {
            let properties = DatabaseProperties(
                owner: "postgres", encoding: "UTF8", collate: "C", ctype: "C", localeProvider: "c", locale: nil,
                icuRules: nil, collationVersion: nil, tablespace: "pg_default", connectionLimit: -1, comment: "it's",
                grants: [.init(grantee: "a\"b", privilege: "ALL ON d TO eve; --", grantable: true)], settings: [])
            #expect(
                properties.statements(for: "D\"").map(\.sql) == [
                    #"REVOKE ALL ON DATABASE "D""" FROM PUBLIC"#,
                    #"GRANT "all on d to eve; --" ON DATABASE "D""" TO "a""b" WITH GRANT OPTION"#,
                    #"COMMENT ON DATABASE "D""" IS 'it''s'"#,
                ])
        }

        private func properties(
            _ server: PostgresCluster, _ database: ConnectionSettings
        ) async throws -> [String: String] {
            let session = try await server.session(database)
            let result = try await session.query(
                """
                SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datcollate, datctype,
                    datconnlimit, shobj_description(oid, 'pg_database') AS comment,
                    (SELECT string_agg(grants, '; ' ORDER BY grants) FROM (
                        SELECT concat_ws(' ', CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END,
                            privilege_type, is_grantable) AS grants FROM aclexplode(datacl)) AS g) AS grants,
                    (SELECT string_agg(concat_ws(' ', setrole::regrole, c), '; ' ORDER BY setrole::regrole::text, c)
                        FROM pg_db_role_setting, unnest(setconfig) AS c WHERE setdatabase = d.oid) AS settings
                FROM pg_database d WHERE datname = current_database()
                """)
            await session.close()
            var found: [String: String] = [:]
            for column in result.columns { found[column] = result.value(0, column) }
            return found
        }
    }
}
