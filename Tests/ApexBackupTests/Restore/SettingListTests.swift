import BackupModel
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A setting that is a list of names` {
        private static let attack = "x;ALTER/**/ROLE/**/eve/**/SUPERUSER"

        /// What gives a database this setting; `nil` if nothing does.
        private func statement(_ name: String, _ value: String) -> String? {
            let properties = DatabaseProperties(
                owner: "postgres", encoding: "UTF8", collate: "C", ctype: "C", localeProvider: "c", locale: nil,
                icuRules: nil, collationVersion: nil, tablespace: "pg_default", connectionLimit: -1, comment: nil,
                grants: nil, settings: [.init(role: nil, name: name, value: value)])
            return properties.statements(for: "d").first?.sql
        }

        @Test(arguments: [
            ("", "''"), (#""""#, "''"), ("public", "'public'"), (#""$user", public"#, "'$user', 'public'"),
            (#""Odd, ""Name""","",x"#, #"'Odd, "Name"', '', 'x'"#), (" user ,\tRaw\n", "'user', 'raw'"),
            ("it's", "'it''s'"), (#"back\slash"#, #"E'back\\slash'"#), ("日本,É", "'日本', 'É'"),
            (attack, "'x;alter/**/role/**/eve/**/superuser'"),
        ])
        func `is given name by name, each quoted`(stored: String, given: String) {
            #expect(statement("search_path", stored) == "ALTER DATABASE \"d\" SET \"search_path\" TO \(given)")
        }

        @Test func `keeps the case where the names are of files`() {
            let libraries = statement("local_preload_libraries", "$libdir/Plugins/x")
            #expect(libraries?.hasSuffix("TO '$libdir/Plugins/x'") == true)
        }

        @Test(arguments: ["a b", #""a"#, #""a"b"#, "a,,b", "a,", ","])
        func `is left out where PostgreSQL could not read it`(stored: String) {
            #expect(statement("local_preload_libraries", stored) == nil)
        }

        @Test func `comes back as one, also where it was stored as somebody wrote it`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                let eve = "eve_\(name)"
                try await server.execute("CREATE ROLE \(eve) LOGIN")
                try await server.execute("ALTER DATABASE \(name) OWNER TO \(eve)")
                let attack = Self.attack.replacing("eve", with: eve)
                let session = try await server.session(try ConnectionSettings(parsing: server.url(name, user: eve)))
                for (value, subject) in [
                    (attack, "DATABASE \(name)"), ("user, Public", "ROLE \(eve) IN DATABASE \(name)"),
                ] {
                    _ = try await session.query("SELECT set_config('search_path', $1, false)", [value])
                    try await session.execute("ALTER \(subject) SET search_path FROM CURRENT")
                }
                await session.close()
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name)
                let stored = Set(manifest.databases?.first?.properties.settings.map(\.value) ?? [])
                #expect(stored == [attack, "user, Public"])
                try await server.withUnusedName { place in
                    try await scratch.restore(to: place)
                    let isSuper = "SELECT rolsuper FROM pg_roles WHERE rolname = '\(eve)'"
                    #expect(try await server.firstValue(isSuper) == "f")
                    #expect(try await server.firstValue("SHOW search_path", in: place) == "\"\(attack.lowercased())\"")
                    let own = try ConnectionSettings(parsing: server.url(place.database, user: eve))
                    #expect(try await server.firstValue("SHOW search_path", in: own) == "\"user\", public")
                }
                try await server.execute("DROP DATABASE \(name) WITH (FORCE)")
                try await server.execute("DROP ROLE \(eve)")
            }
        }

        @Test func `of a database there does not lead the restore to objects of its owner`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                let statements = [
                    "CREATE SCHEMA evil",
                    "CREATE FUNCTION evil.act() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''acted''; END'",
                    "CREATE VIEW evil.pg_namespace AS SELECT * FROM pg_catalog.pg_namespace WHERE evil.act()",
                    "ALTER DATABASE \(try #require(place.database)) SET search_path = evil, pg_catalog",
                ]
                for statement in statements { try await server.execute(statement, in: place) }
                let error = try await requireFailure { try await scratch.restore(to: place) }
                #expect(error.code == .targetNotEmpty, "\(error)")
            }
        }
    }
}
