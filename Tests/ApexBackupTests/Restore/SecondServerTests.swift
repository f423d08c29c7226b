import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `Into another server` {
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

                #expect(try await target.waitUntilUnused(target.settings.with(database: "a=b")))
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
                        let done = try await runScript(
                            "exec bash -e -c \"$1\"", block, environment: environment, directory: folder)
                        #expect(done.status == .exited(0), "\(block)\n\(done.errors)")
                    }
                    for name in names {
                        let original = try await SampleDatabase.contents(origin, origin.settings.with(database: name))
                        let restored = try await SampleDatabase.contents(target, target.settings.with(database: name))
                        #expect(restored == original, "\(format)")
                        try await target.dropDatabase(name)
                    }
                    #expect(try await target.firstValue("SELECT n FROM noted") == "1")
                    try await target.execute("DROP TABLE noted")
                    let owner = "SELECT rolpassword = (SELECT '\(try await password(origin))') FROM pg_authid"
                    #expect(try await target.firstValue("\(owner) WHERE rolname = 'the owner'") == "t")
                }
            }
        }

        @Test func `its own guide does not take a dump that breaks off for a whole one`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withUnusedName { place in
                let name = try #require(place.database)
                try await server.execute("CREATE DATABASE \(name) TEMPLATE template0")
                try await server.execute("CREATE TABLE t AS SELECT generate_series(1, 9999) AS n", in: place)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name) { $0.format = .plain }
                try await server.dropDatabase(name)
                let guide = String(decoding: try scratch.content("RESTORE.md", of: manifest), as: UTF8.self)
                let block = try #require(shellBlocks(of: guide).last)
                var environment = server.settings.environment
                environment["PATH"] = "\(server.tools.directory):/usr/bin:/bin"
                let dump = scratch.file(try #require(manifest.databases?.first?.artefact), of: manifest.id)
                try scratch.directory.write(Array(try scratch.directory.read(dump).dropLast(8)), to: dump)
                let folder = scratch.directory.path(of: scratch.file("", of: manifest.id))
                let done = try await runScript(
                    "exec bash -e -c \"$1\"", block, environment: environment, directory: folder)
                #expect(done.status == .exited(1) && done.errors.contains("unexpected end of file"), "\(done)")
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

        /// A backup of `app` and `other`, which use the tablespace `fast` in two ways, and of `third`, which does not.
        private func fillWithTablespace(_ origin: PostgresCluster) async throws -> (ScratchRepository, place: String) {
            let place = "\(origin.server.directory)/data/elsewhere"
            try await runScript("mkdir \"$1\" && chown postgres: \"$1\"", place)
            try await origin.execute("CREATE TABLESPACE fast LOCATION \(quoteLiteral(place))")
            try await origin.execute("CREATE DATABASE app TABLESPACE fast TEMPLATE template0")
            try await origin.execute(
                "CREATE TABLE t TABLESPACE pg_default AS SELECT 1 AS n; CREATE INDEX ON t (n)",
                in: origin.settings.with(database: "app"))
            for (name, option) in [("other", "TABLESPACE fast"), ("third", "")] {
                try await origin.execute("CREATE DATABASE \(name) TEMPLATE template0")
                let sql = "CREATE TABLE u \(option) AS SELECT 2 AS n; CREATE TABLE v AS SELECT 3 AS n"
                try await origin.execute(sql, in: origin.settings.with(database: name))
            }
            let scratch = try await ScratchRepository(for: origin)
            _ = try await scratch.backup("app", "other", "third") { $0.globals = true }
            return (scratch, place)
        }

        private func plan(
            _ scratch: ScratchRepository, to target: ConnectionSettings, _ configure: (inout RestoreRequest) -> Void
        ) async throws -> RestorePlan {
            let (_, prepared) = try await scratch.planRestore(to: target, configure)
            await prepared.close()
            return prepared.plan
        }

        @Test func `a missing tablespace is refused with what is in it, or everything goes where it was said`()
            async throws
        {
            try await withServers { origin, target in
                let (scratch, place) = try await fillWithTablespace(origin)
                let all = target.settings.withoutDatabase
                let before = try await target.databases()
                for names in [["app"], ["other"], ["app", "other", "third"]] {
                    let error = try await requireFailure { try await scratch.restore(to: all) { $0.databases = names } }
                    #expect(error.code == .targetUnsuitable && error.message.contains("'fast'"), "\(error)")
                    #expect(error.reason?.contains(place) == true && error.unchanged == "Nothing was changed.")
                    #expect(error.remedy.contains("CREATE TABLESPACE") && error.remedy.contains("--tablespace"))
                }
                let unknown = try await requireFailure {
                    try await scratch.restore(to: all) { $0.tablespace = "slow" }
                }
                #expect(unknown.message.contains("'slow'") && unknown.reason == "it has 'pg_default'", "\(unknown)")
                #expect(try await target.databases() == before)

                // What is not in it is not asked for it, neither a database nor a part of one.
                #expect(try await plan(scratch, to: all) { $0.databases = ["third"] }.mappedTablespaces.isEmpty)
                func part(_ table: String, _ tablespace: String? = nil) async throws -> RestorePlan {
                    try await plan(scratch, to: target.settings.with(database: "x")) {
                        ($0.database, $0.tables, $0.tablespace) = ("other", [table], tablespace)
                    }
                }
                await #expect(throws: BackupError.self) { try await part("u") }
                #expect(try await part("u", "pg_default").databases.count == 1)

                for jobs in 1...2 {
                    let result = try await scratch.restore(to: all) {
                        $0.jobs = jobs
                        $0.tablespace = "pg_default"
                    }
                    #expect(result.plan.mappedTablespaces == [.init(source: "fast", target: "pg_default")])
                    for (name, sql) in [("app", "SELECT n FROM t"), ("other", "SELECT n - 1 FROM u")] {
                        #expect(try await target.firstValue(sql, in: target.settings.with(database: name)) == "1")
                    }
                    for name in ["app", "other", "third"] { try await target.dropDatabase(name) }
                }
                try await expectOwnTablespace(scratch, target)
                try await expectScriptRefused(scratch, origin, target)
            }
        }

        /// With a tablespace of that name, wherever it is, things go into it; parts only where their database is.
        private func expectOwnTablespace(_ scratch: ScratchRepository, _ target: PostgresCluster) async throws {
            let place = "\(target.server.directory)/data/here"
            try await runScript("mkdir \"$1\" && chown postgres: \"$1\"", place)
            try await target.execute("CREATE TABLESPACE fast LOCATION \(quoteLiteral(place))")
            let result = try await scratch.restore(to: target.settings.withoutDatabase)
            #expect(result.plan.mappedTablespaces.isEmpty)
            let database =
                "SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname"
            #expect(try await target.firstValue("\(database) = 'app'") == "fast")
            let table = "SELECT tablespace FROM pg_tables WHERE tablename = 'u'"
            #expect(try await target.firstValue(table, in: target.settings.with(database: "other")) == "fast")
            let error = try await requireFailure {
                try await plan(scratch, to: target.settings.with(database: "third")) {
                    ($0.database, $0.tables, $0.tablespace) = ("other", ["u"], "fast")
                }
            }
            #expect(error.code == .usage && error.remedy.contains("--tablespace pg_default"), "\(error)")
        }

        /// A script may name each tablespace of its server.
        private func expectScriptRefused(
            _ scratch: ScratchRepository, _ origin: PostgresCluster, _ target: PostgresCluster
        ) async throws {
            let place = "\(origin.server.directory)/data/cold"
            try await runScript("mkdir \"$1\" && chown postgres: \"$1\"", place)
            try await origin.execute("CREATE TABLESPACE cold LOCATION \(quoteLiteral(place))")
            _ = try await scratch.backup("third") {
                $0.globals = true
                $0.format = .plain
            }
            let error = try await requireFailure {
                try await scratch.restore(to: target.settings.with(database: "script"))
            }
            #expect(error.code == .targetUnsuitable && error.message.contains("'cold'"), "\(error)")
            #expect(error.remedy.contains("CREATE TABLESPACE") && error.unchanged == "Nothing was changed.")
            #expect(try await !target.databases().contains("script"))
        }
    }
}
