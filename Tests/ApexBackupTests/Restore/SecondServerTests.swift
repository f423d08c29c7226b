import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(3))) struct `Into another server` {
        /// Two servers that share nothing.
        private func withServers(_ body: (PostgresCluster, PostgresCluster) async throws -> Void) async throws {
            try await PostgresCluster.with { origin in
                try await PostgresCluster.with { target in try await body(origin, target) }
            }
        }

        static let oddNames = [
            "app", "app_test", "App", "-rf", "a=b", "quo\"te's", "new\nline", "a/b\\c", "dätä 日本", "postgresql:x",
            "$HOME `id`; %s *",
        ]

        @Test func `all databases come back under their own names, whatever those are`() async throws {
            try await withServers { origin, target in
                for (number, name) in Self.oddNames.enumerated() {
                    try await origin.execute("CREATE DATABASE \(quoteIdentifier(name)) TEMPLATE template0")
                    try await origin.execute(
                        "CREATE TABLE t AS SELECT \(number) AS n", in: origin.settings.with(database: name))
                }
                let scratch = try await ScratchRepository(for: origin)
                let manifest = try await scratch.backup { $0.globals = true }
                #expect(Set(manifest.databases?.map(\.name) ?? []) == Set(Self.oddNames + ["postgres"]))
                let files = manifest.artefacts.filter { $0.role == .dump }.map(\.name)
                #expect(files.allSatisfy { $0.wholeMatch(of: /db-[0-9]+\.dump\.gz/) != nil })

                let result = try await scratch.restore(to: target.settings.withoutDatabase)
                #expect(Set(result.databases.map(\.name)) == Set(Self.oddNames + ["postgres"]))
                let databases = try await target.databases()
                #expect(databases == Set(Self.oddNames + ["postgres", "template0", "template1"]))
                for (number, name) in Self.oddNames.enumerated() {
                    let found = try await target.firstValue("SELECT n FROM t", in: target.settings.with(database: name))
                    #expect(found == "\(number)", "\(name)")
                }

                // One of them into a name that looks like another's, with the swap.
                try await scratch.restore(to: target.settings.with(database: "a=b")) {
                    $0.database = "quo\"te's"
                    $0.overwrites = true
                    $0.jobs = 1
                }
                #expect(
                    try await target.firstValue("SELECT n FROM t", in: target.settings.with(database: "a=b")) == "5")
                #expect(
                    try await target.firstValue("SELECT n FROM t", in: target.settings.with(database: "app")) == "0")
            }
        }

        @Test func `its own guide restores a backup with stock tools alone`() async throws {
            try await withServers { origin, target in
                try await origin.execute("CREATE ROLE \"the owner\" PASSWORD 'secret'; CREATE ROLE reader")
                let names = ["app", "it's \"odd\"\n日本"]
                for name in names {
                    try await origin.execute(
                        "CREATE DATABASE \(quoteIdentifier(name)) OWNER \"the owner\" TEMPLATE template0")
                    try await SampleDatabase.fill(origin, origin.settings.with(database: name))
                }
                try await origin.execute("CREATE TABLE noted AS SELECT 1 AS n")
                for format in DumpFormat.allCases {
                    let scratch = try await ScratchRepository(for: origin)
                    let manifest = try await scratch.backup {
                        $0.globals = true
                        $0.format = format
                        $0.compression = format == .custom ? .gzip(level: 1) : .zstd(level: 1)
                    }
                    let folder = scratch.directory.path(of: scratch.file("", of: manifest.id))
                    let guide = String(decoding: try scratch.content("RESTORE.md", of: manifest), as: UTF8.self)
                    let blocks = shellBlocks(of: guide)
                    #expect(blocks.count == 5)
                    var environment = target.settings.environment
                    environment["PATH"] = "\(target.tools.directory):/usr/bin:/bin"
                    for block in blocks {
                        let done = try await runScript("set -e\n\(block)", environment: environment, directory: folder)
                        #expect(done.status == .exited(0), "\(block)\n\(done.errors)")
                    }
                    for name in names {
                        let original = try await SampleDatabase.contents(origin, origin.settings.with(database: name))
                        let restored = try await SampleDatabase.contents(target, target.settings.with(database: name))
                        #expect(restored == original, "\(format)")
                        try await target.execute("DROP DATABASE \(quoteIdentifier(name))")
                    }
                    #expect(try await target.firstValue("SELECT n FROM noted") == "1")
                    try await target.execute("DROP TABLE noted")
                    let owner = "SELECT rolpassword = (SELECT '\(try await password(origin))') FROM pg_authid"
                    #expect(try await target.firstValue("\(owner) WHERE rolname = 'the owner'") == "t")
                }
            }
        }

        private func password(_ server: PostgresCluster) async throws -> String {
            try await server.firstValue("SELECT rolpassword FROM pg_authid WHERE rolname = 'the owner'") ?? ""
        }

        /// The blocks of a Markdown text that are shell.
        private func shellBlocks(of text: String) -> [String] {
            var blocks: [String] = []
            var current: [Substring]?
            for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
                switch (current, line) {
                case (nil, "```sh"): current = []
                case (nil, _): continue
                case (let lines?, "```"):
                    blocks.append(lines.joined(separator: "\n"))
                    current = nil
                case (let lines?, _): current = lines + [line]
                }
            }
            return blocks
        }

        @Test func `roles that are missing are created, and those that exist are not altered`() async throws {
            try await withServers { origin, target in
                try await origin.execute(
                    """
                    CREATE ROLE keeper LOGIN PASSWORD 'of the origin' CREATEDB;
                    CREATE ROLE "New Role" LOGIN PASSWORD 'new' CONNECTION LIMIT 3 VALID UNTIL '2099-01-01';
                    ALTER ROLE "New Role" SET search_path = app, public;
                    COMMENT ON ROLE "New Role" IS 'made for a test';
                    CREATE ROLE team; GRANT team TO "New Role"; GRANT team TO keeper;
                    CREATE DATABASE app OWNER "New Role"
                    """.split(separator: "\n").filter { !$0.contains("CREATE DATABASE") }.joined(separator: "\n"))
                try await origin.execute("CREATE DATABASE app OWNER \"New Role\"")
                try await origin.execute(
                    "CREATE TABLE t AS SELECT 1 AS n; ALTER TABLE t OWNER TO keeper; GRANT SELECT ON t TO team",
                    in: origin.settings.with(database: "app"))
                let scratch = try await ScratchRepository(for: origin)
                _ = try await scratch.backup("app") { $0.globals = true }

                try await target.execute("CREATE ROLE keeper LOGIN PASSWORD 'of the target' CONNECTION LIMIT 9")
                let keeper = "SELECT r::text FROM pg_authid r WHERE rolname = 'keeper'"
                let before = try await target.firstValue(keeper)
                let result = try await scratch.restore(to: target.settings.withoutDatabase)
                #expect(result.plan.rolesToCreate.sorted() == ["New Role", "team"])
                #expect(try await target.firstValue(keeper) == before)

                let columns = "rolname, rolsuper, rolcreatedb, rolcanlogin, rolconnlimit, rolpassword, rolvaliduntil"
                let role = "SELECT concat_ws('|', \(columns)) FROM pg_authid WHERE rolname = 'New Role'"
                let restored = try await target.firstValue(role)
                #expect(try await origin.firstValue(role) == restored && restored?.contains("SCRAM-SHA-256") == true)
                let members = """
                    SELECT string_agg(m.rolname, ', ' ORDER BY m.rolname) FROM pg_auth_members a
                    JOIN pg_roles r ON r.oid = roleid JOIN pg_roles m ON m.oid = member WHERE r.rolname = 'team'
                    """
                #expect(try await target.firstValue(members) == "New Role, keeper")
                let settings = "SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = '\"New Role\"'::regrole"
                #expect(try await target.firstValue(settings) == "{\"search_path=app, public\"}")
                let comment = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'New Role'"
                #expect(try await target.firstValue(comment) == "made for a test")
                let app = target.settings.with(database: "app")
                #expect(
                    try await target.firstValue("SELECT tableowner FROM pg_tables WHERE tablename = 't'", in: app)
                        == "keeper")
                #expect(
                    try await target.firstValue("SELECT has_table_privilege('team', 't', 'SELECT')", in: app) == "t")

                let (_, again) = try await scratch.planRestore(to: target.settings.with(database: "second"))
                await again.close()
                #expect(again.plan.rolesToCreate.isEmpty)
                #expect(try scratch.directory.contents().allSatisfy { !$0.contains("secret") })
            }
        }

        @Test func `what was in a missing tablespace goes to the default one, and the plan says so`() async throws {
            try await withServers { origin, target in
                let place = "\(origin.server.directory)/data/elsewhere"
                try await runScript("mkdir \"$1\" && chown postgres: \"$1\"", place)
                try await origin.execute("CREATE TABLESPACE fast LOCATION \(quoteLiteral(place))")
                try await origin.execute("CREATE DATABASE app TABLESPACE fast TEMPLATE template0")
                let app = origin.settings.with(database: "app")
                try await origin.execute(
                    "CREATE TABLE t TABLESPACE pg_default AS SELECT 1 AS n; CREATE INDEX ON t (n)", in: app)
                try await origin.execute("CREATE DATABASE other TEMPLATE template0")
                let other = origin.settings.with(database: "other")
                try await origin.execute("CREATE TABLE u TABLESPACE fast AS SELECT 2 AS n", in: other)
                let scratch = try await ScratchRepository(for: origin)
                _ = try await scratch.backup("app", "other") { $0.globals = true }
                for jobs in 1...2 {
                    let result = try await scratch.restore(to: target.settings.withoutDatabase) { $0.jobs = jobs }
                    #expect(result.plan.warnings.contains { $0.contains("'fast'") && $0.contains("default") })
                    #expect(
                        try await target.firstValue("SELECT n FROM t", in: target.settings.with(database: "app")) == "1"
                    )
                    let other = target.settings.with(database: "other")
                    #expect(try await target.firstValue("SELECT n FROM u", in: other) == "2")
                    try await target.execute("DROP DATABASE app")
                    try await target.execute("DROP DATABASE other")
                }

                _ = try await scratch.backup("other") {
                    $0.globals = true
                    $0.format = .plain
                }
                let error = try await requireFailure { try await scratch.restore(to: target.settings.withoutDatabase) }
                #expect(error.code == .targetUnsuitable && error.message.contains("'fast'"), "\(error)")
                #expect(error.remedy.contains("CREATE TABLESPACE") && error.unchanged == "Nothing was changed.")
                let databases = try await target.databases()
                #expect(!databases.contains("other"))
            }
        }
    }

    @Suite(.timeLimit(.minutes(2))) struct `A database's properties` {
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
