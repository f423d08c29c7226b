import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `Over an existing database` {
        @Test func `that is not empty a restore is refused`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                let error = try await requireFailure { try await scratch.restore(to: place) }
                let name = try #require(place.database)
                #expect(error.code == .targetNotEmpty && error.message.contains(name))
                #expect(error.remedy.contains("--overwrite") && error.unchanged == "Nothing was changed.")
                try await expectPrecious(server, place)
            }
        }

        @Test func `a single object makes it not empty`() async throws {
            let objects = [
                ("CREATE TABLE x (n int)", "DROP TABLE x"), ("CREATE VIEW x AS SELECT 1 AS n", "DROP VIEW x"),
                ("CREATE SEQUENCE x", "DROP SEQUENCE x"), ("CREATE SCHEMA x", "DROP SCHEMA x"),
                ("CREATE TYPE x AS ENUM ('a')", "DROP TYPE x"), ("CREATE DOMAIN x AS int", "DROP DOMAIN x"),
                ("CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION x"),
                ("SELECT lo_create(7)", "SELECT lo_unlink(7)"), ("CREATE PUBLICATION x", "DROP PUBLICATION x"),
                ("CREATE COLLATION x FROM \"C\"", "DROP COLLATION x"),
            ]
            try await withOneRowAndPlace { server, scratch, place in
                try await server.execute("DROP TABLE precious", in: place)
                for (create, drop) in objects {
                    try await server.execute(create, in: place)
                    let error = try await requireFailure { try await scratch.planRestore(to: place) }
                    #expect(error.code == .targetNotEmpty, "\(create)")
                    try await server.execute(drop, in: place)
                }
                #expect(try await server.waitUntilUnused(place))
                let (_, prepared) = try await scratch.planRestore(to: place)
                await prepared.close()
                #expect(prepared.plan.databases.first?.action == .replaceEmpty)
            }
        }

        @Test func `that is empty the restored one takes its place`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                for _ in 0..<3 {
                    try await server.execute("DROP TABLE IF EXISTS precious, t", in: place)
                    #expect(try await server.waitUntilUnused(place))
                    let result = try await scratch.restore(to: place)
                    #expect(result.plan.databases.first?.action == .replaceEmpty)
                    #expect(result.databases.first?.keptAs == nil && result.databases.first?.rows == 1)
                    #expect(try await server.firstValue("SELECT n FROM t", in: place) == "1")
                }
                let name = try #require(place.database)
                let databases = try await server.databases()
                #expect(databases.filter { $0.hasPrefix(name) } == [name])
            }
        }

        @Test func `that was empty and was filled while it was restored is kept`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                try await server.execute("DROP TABLE precious", in: place)
                let (restore, prepared) = try await scratch.planRestore(to: place)
                #expect(prepared.plan.databases.first?.action == .replaceEmpty)
                try await server.execute("CREATE TABLE precious AS SELECT 7 AS n", in: place)
                #expect(try await server.waitUntilUnused(place))
                let result = try await onOwnThreads { try await restore.run(prepared) }
                await prepared.close()
                let kept = try #require(result.databases.first?.keptAs)
                #expect(try await server.firstValue("SELECT n FROM precious", in: place.with(database: kept)) == "7")
                #expect(result.warnings.contains { $0.contains(kept) })
            }
        }

        @Test func `the restored one takes its name and the old one is kept under a dated one`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                let name = try #require(place.database)
                func prefix() -> String {
                    "\(name)_before_restore_\(scratch.repository.environment.clocks.wall().compact.prefix(8))"
                }
                let before = prefix()
                let result = try await scratch.restore(to: place) { $0.overwrites = true }
                #expect(result.plan.databases.first?.action == .swap)
                let kept = try #require(result.databases.first?.keptAs)
                #expect(kept.hasPrefix(before) || kept.hasPrefix(prefix()), "\(kept)")
                #expect(try await server.firstValue("SELECT n FROM t", in: place) == "1")
                #expect(try await server.firstValue("SELECT n FROM precious", in: place.with(database: kept)) == "7")
                let databases = try await server.databases()
                #expect(Set(databases.filter { $0.hasPrefix(name) }) == [name, kept])

                #expect(try await server.waitUntilUnused(place))
                let dropped = try await scratch.restore(to: place) {
                    $0.overwrites = true
                    $0.dropsOld = true
                }
                #expect(dropped.databases.first?.keptAs == nil)
                let after = try await server.databases()
                #expect(Set(after.filter { $0.hasPrefix(name) }) == [name, kept])
            }
        }

        @Test func `with sessions in it is refused by name, and works when they may be ended`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                let other = try await PostgresSession.connect(place, applicationName: "payroll", timeout: .seconds(60))
                let error = try await requireFailure {
                    try await scratch.restore(to: place) { $0.overwrites = true }
                }
                #expect(error.code == .targetNotEmpty && error.reason?.contains("payroll (postgres, local)") == true)
                #expect(error.remedy.contains("--disconnect"))
                #expect(try await other.query("SELECT n FROM precious").firstValue == "7")
                try await scratch.restore(to: place) {
                    $0.overwrites = true
                    $0.disconnects = true
                }
                #expect(try await server.firstValue("SELECT n FROM t", in: place) == "1")
                await #expect(throws: BackupError.self) { try await other.query("SELECT 1") }
                await other.close()
            }
        }

        @Test func `a session that comes while it is restored stops the swap, and goes on`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                let (restore, prepared) = try await scratch.planRestore(to: place) { $0.overwrites = true }
                let other = try await PostgresSession.connect(place, applicationName: "payroll", timeout: .seconds(60))
                let error = try await requireFailure { try await onOwnThreads { try await restore.run(prepared) } }
                await prepared.close()
                #expect(error.code == .targetNotEmpty && error.reason?.contains("payroll") == true, "\(error)")
                #expect(try await other.query("SELECT n FROM precious").firstValue == "7")
                await other.close()
                try await expectPrecious(server, place)
            }
        }

        @Test func `names what knows it elsewhere before anything is done, and needs no database postgres`()
            async throws
        {
            let settings = ["wal_level": "logical", "max_prepared_transactions": "2"]
            try await PostgresCluster.with(configuration: settings) { server in
                let template = server.settings.with(database: "template1")
                try await server.execute("CREATE DATABASE app")
                let place = server.settings.with(database: "app")
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: place)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup("app")
                let slot = "SELECT pg_create_logical_replication_slot('to_warehouse', 'pgoutput')"
                try await server.execute(slot, in: place)
                let subscription =
                    "CREATE SUBSCRIPTION from_shop CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)"
                try await server.execute(subscription, in: place)
                try await server.execute("BEGIN; CREATE TABLE u (n int); PREPARE TRANSACTION 'half done'", in: place)
                #expect(try await server.waitUntilUnused(place))
                let error = try await requireFailure {
                    try await scratch.planRestore(to: place) {
                        $0.overwrites = true
                        $0.disconnects = true
                    }
                }
                #expect(error.code == .targetNotEmpty && error.reason == "'half done'", "\(error)")
                try await server.execute("ROLLBACK PREPARED 'half done'", in: place)

                try await server.execute("DROP DATABASE postgres WITH (FORCE)", in: template)
                let other = try await PostgresSession.connect(place, applicationName: "payroll", timeout: .seconds(60))
                let (restore, prepared) = try await scratch.planRestore(to: place) {
                    $0.overwrites = true
                    $0.disconnects = true
                }
                for word in ["'to_warehouse'", "'from_shop'", "poolers", "payroll (postgres, local)"] {
                    #expect(prepared.plan.warnings.contains { $0.contains(word) }, "\(word): \(prepared.plan.warnings)")
                }
                let result = try await onOwnThreads { try await restore.run(prepared) }
                await prepared.close()
                await other.close()
                let kept = try #require(result.databases.first?.keptAs)
                let owner = "SELECT database FROM pg_replication_slots WHERE slot_name = 'to_warehouse'"
                #expect(try await server.firstValue(owner, in: template) == kept)
                #expect(try await server.firstValue("SELECT n FROM t", in: place) == "1")
            }
        }

        @Test func `gives both databases their names or neither`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withUnusedName { place in
                let name = try #require(place.database)
                let role = "owner_of_\(name)"
                let statements = [
                    "CREATE ROLE \(role) LOGIN CREATEDB", "CREATE DATABASE \(name) OWNER \(role) TEMPLATE template0",
                    "CREATE DATABASE \(name)_new TEMPLATE template0",
                ]
                for statement in statements { try await server.execute(statement) }
                let login = try ConnectionSettings(parsing: server.url(name, user: role))
                let target = try await TargetServer.open(login, replacing: [], clocks: .system)
                // The first rename is allowed to this role, the second is not.
                let error = try await requireFailure {
                    try await target.swap("\(name)_new", into: name, keeping: "\(name)_old", disconnecting: false)
                }
                await target.close()
                #expect(error.code == .permissionDenied, "\(error)")
                let found = try await server.databases().filter { $0.hasPrefix(name) }
                #expect(found == [name, "\(name)_new"])
                let isOpen = "SELECT datallowconn FROM pg_database WHERE datname = '\(name)'"
                #expect(try await server.firstValue(isOpen) == "t")
                try await server.execute("ALTER DATABASE \(name) OWNER TO postgres")
                try await server.execute("DROP ROLE \(role)")
            }
        }
    }
}
