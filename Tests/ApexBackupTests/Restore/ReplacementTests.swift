import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(2))) struct `Over an existing database` {
        /// A backup of a database with one row in `t`, and a place that exists with another table in it.
        private func withPlace(
            _ body: (PostgresCluster, ScratchRepository, ConnectionSettings) async throws -> Void
        ) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(try #require(database.database))
                try await server.withUnusedName { place in
                    try await server.execute("CREATE DATABASE \(try #require(place.database)) TEMPLATE template0")
                    try await server.execute("CREATE TABLE precious AS SELECT 7 AS n", in: place)
                    #expect(try await server.waitUntilUnused(place))
                    try await body(server, scratch, place)
                }
            }
        }

        private func expectPrecious(_ server: PostgresCluster, _ place: ConnectionSettings) async throws {
            #expect(try await server.firstValue("SELECT n FROM precious", in: place) == "7")
            let name = try #require(place.database)
            let databases = try await server.databases()
            #expect(databases.filter { $0.hasPrefix(name) } == [name])
        }

        @Test func `that is not empty a restore is refused`() async throws {
            try await withPlace { server, scratch, place in
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
                ("SELECT lo_create(7)", "SELECT lo_unlink(7)"),
            ]
            try await withPlace { server, scratch, place in
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
            try await withPlace { server, scratch, place in
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

        @Test func `the restored one takes its name and the old one is kept under a dated one`() async throws {
            try await withPlace { server, scratch, place in
                let name = try #require(place.database)
                let result = try await scratch.restore(to: place) { $0.overwrites = true }
                #expect(result.plan.databases.first?.action == .swap)
                let kept = try #require(result.databases.first?.keptAs)
                let year = scratch.repository.environment.clocks.wall().compact.prefix(8)
                #expect(kept.hasPrefix("\(name)_before_restore_\(year)"), "\(kept)")
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
            try await withPlace { server, scratch, place in
                let other = try await PostgresSession.connect(place, applicationName: "payroll", timeout: .seconds(20))
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
            try await withPlace { server, scratch, place in
                let (restore, prepared) = try await scratch.planRestore(to: place) { $0.overwrites = true }
                let other = try await PostgresSession.connect(place, applicationName: "payroll", timeout: .seconds(20))
                let error = try await requireFailure { try await onOwnThreads { try await restore.run(prepared) } }
                await prepared.close()
                #expect(error.code == .targetNotEmpty && error.reason?.contains("payroll") == true, "\(error)")
                #expect(try await other.query("SELECT n FROM precious").firstValue == "7")
                await other.close()
                try await expectPrecious(server, place)
            }
        }

        @Test func `lists the logical slots that name it, which refuse the swap`() async throws {
            try await PostgresCluster.with(configuration: ["wal_level": "logical"]) { server in
                try await server.execute("CREATE DATABASE app")
                let place = server.settings.with(database: "app")
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: place)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup("app")
                try await server.execute(
                    "SELECT pg_create_logical_replication_slot('to_warehouse', 'pgoutput')", in: place)
                #expect(try await server.waitUntilUnused(place))
                let (_, prepared) = try await scratch.planRestore(to: place) { $0.overwrites = true }
                await prepared.close()
                #expect(prepared.plan.warnings.contains { $0.contains("to_warehouse") }, "\(prepared.plan.warnings)")
            }
        }
    }

    @Suite(.timeLimit(.minutes(2))) struct `A part of a database` {
        /// A backup of two schemas with tables of the same names.
        private func withBackup(
            _ body: (PostgresCluster, ScratchRepository, ConnectionSettings) async throws -> Void
        ) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(
                    """
                    CREATE SCHEMA audit;
                    CREATE TABLE orders AS SELECT generate_series(1, 3) AS n;
                    CREATE TABLE items AS SELECT generate_series(1, 4) AS n;
                    ALTER TABLE items ADD PRIMARY KEY (n);
                    CREATE TABLE audit.orders AS SELECT generate_series(1, 5) AS n;
                    CREATE TABLE audit.items AS SELECT generate_series(1, 6) AS n;
                    CREATE TABLE "or*" AS SELECT 1 AS n;
                    """, in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(try #require(database.database))
                try await server.withUnusedName { place in try await body(server, scratch, place) }
            }
        }

        private func tables(_ server: PostgresCluster, _ place: ConnectionSettings) async throws -> String? {
            try await server.firstValue(
                """
                SELECT string_agg(format('%s.%s', schemaname, relname), ' ' ORDER BY 1) FROM (
                    SELECT schemaname, relname FROM pg_stat_user_tables ORDER BY 1, 2) AS found
                """, in: place)
        }

        @Test func `a table goes into a new database, and into one that exists`() async throws {
            try await withBackup { server, scratch, place in
                try await scratch.restore(to: place) { $0.tables = ["public.orders"] }
                #expect(try await tables(server, place) == "public.orders")
                #expect(try await server.firstValue("SELECT sum(n) FROM orders", in: place) == "6")
                try await server.execute("CREATE TABLE mine AS SELECT 1 AS n", in: place)
                let result = try await scratch.restore(to: place) { $0.tables = ["public.items"] }
                #expect(result.plan.databases.first?.action == .addTables)
                #expect(result.databases.first?.rows == 4 && result.databases.first?.tables == 1)
                let constraints = "SELECT conname FROM pg_constraint WHERE conrelid = 'items'::regclass"
                #expect(try await server.firstValue(constraints, in: place) == "items_pkey")
                #expect(try await tables(server, place) == "public.items public.mine public.orders")
            }
        }

        @Test func `tables of several schemas are these, and never others of the same names`() async throws {
            try await withBackup { server, scratch, place in
                let chosen = ["public.orders", "audit.items"]
                try await scratch.restore(to: place) { $0.tables = chosen }
                #expect(try await tables(server, place) == "audit.items public.orders")
                try await scratch.restore(to: place) { $0.tables = ["audit.orders"] }
                #expect(try await tables(server, place) == "audit.items audit.orders public.orders")
            }
        }

        @Test func `a name is a name, not a pattern`() async throws {
            try await withBackup { server, scratch, place in
                try await scratch.restore(to: place) { $0.tables = ["or*"] }
                #expect(try await tables(server, place) == "public.or*")
            }
        }

        @Test func `a schema is restored with all that is in it`() async throws {
            try await withBackup { server, scratch, place in
                try await scratch.restore(to: place) { $0.schemas = ["audit"] }
                #expect(try await tables(server, place) == "audit.items audit.orders")
            }
        }

        @Test func `that the backup does not hold is refused`() async throws {
            try await withBackup { server, scratch, place in
                for (tables, schemas) in [(["public.lost"], []), (["audit.or*"], []), ([], ["lost"])] {
                    let error = try await requireFailure {
                        try await scratch.restore(to: place) {
                            $0.tables = tables
                            $0.schemas = schemas
                        }
                    }
                    #expect("\(error)".contains((tables + schemas)[0]), "\(error)")
                    let databases = try await server.databases()
                    #expect(!databases.contains(place.database ?? ""))
                }
            }
        }

        @Test func `that exists already leaves the target as it was`() async throws {
            try await withBackup { server, scratch, place in
                try await server.execute("CREATE DATABASE \(try #require(place.database)) TEMPLATE template0")
                try await server.execute("CREATE TABLE items AS SELECT 1 AS n", in: place)
                let error = try await requireFailure {
                    try await scratch.restore(to: place) { $0.tables = ["public.items", "public.orders"] }
                }
                #expect(error.code == .restoreFailed && "\(error)".contains("already exists"), "\(error)")
                #expect(error.unchanged?.contains("one transaction") == true)
                #expect(try await tables(server, place) == "public.items")
                #expect(try await server.firstValue("SELECT count(*) FROM items", in: place) == "1")
            }
        }

        @Test func `cannot be taken from a plain dump`() async throws {
            let server = try await PostgresCluster.shared()
            let scratch = try await ScratchRepository(for: server)
            _ = try await scratch.backup("postgres") { $0.format = .plain }
            let error = try await requireFailure {
                try await scratch.planRestore(to: server.settings.with(database: "nowhere")) { $0.tables = ["t"] }
            }
            #expect(error.code == .usage && error.reason == nil && error.message.contains("plain SQL"))
        }
    }
}
