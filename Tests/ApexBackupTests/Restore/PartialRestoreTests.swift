import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A part of a database` {
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
                let constraints =
                    "SELECT conname FROM pg_constraint WHERE conrelid = 'items'::regclass AND contype <> 'n'"
                #expect(try await server.firstValue(constraints, in: place) == "items_pkey")
                #expect(try await tables(server, place) == "public.items public.mine public.orders")
            }
        }

        @Test func `a table goes into a database though megabytes of others come after it in the dump`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(
                    """
                    CREATE TABLE a AS SELECT 1 AS n;
                    CREATE TABLE b AS SELECT n, repeat(md5(n::text), 50) AS t FROM generate_series(1, 4000) AS n;
                    """, in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(try #require(database.database))
                try await server.withUnusedName { place in
                    try await scratch.restore(to: place) { $0.tables = ["public.a"] }
                    try await server.execute("DROP TABLE a; CREATE TABLE mine ()", in: place)
                    let result = try await scratch.restore(to: place) { $0.tables = ["public.a"] }
                    #expect(result.plan.databases.first?.action == .addTables && result.databases.first?.rows == 1)
                    #expect(try await tables(server, place) == "public.a public.mine")
                }
            }
        }

        @Test func `a partitioned table brings its partitions, and a partition brings itself`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(
                    """
                    CREATE SCHEMA parts;
                    CREATE TABLE events (n int, at int) PARTITION BY RANGE (n);
                    CREATE TABLE parts.old PARTITION OF events FOR VALUES FROM (0) TO (10);
                    CREATE TABLE parts.new PARTITION OF events FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (at);
                    CREATE TABLE parts.newest PARTITION OF parts.new DEFAULT;
                    CREATE TABLE parts.other AS SELECT 1 AS n;
                    INSERT INTO events SELECT n, n FROM generate_series(0, 19) AS n
                    """, in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(try #require(database.database))
                try await server.withUnusedName { place in
                    let result = try await scratch.restore(to: place) { $0.tables = ["public.events"] }
                    #expect(result.databases.first?.rows == 20 && result.databases.first?.tables == 2)
                    #expect(try await server.firstValue("SELECT count(*) FROM events", in: place) == "20")
                    #expect(
                        try await tables(server, place)
                            == "parts.new parts.newest parts.old public.events")
                }
                try await server.withUnusedName { place in
                    try await server.execute("CREATE DATABASE \(try #require(place.database)) TEMPLATE template0")
                    try await server.execute("CREATE TABLE mine AS SELECT 1 AS n", in: place)
                    try await scratch.restore(to: place) { $0.tables = ["public.events"] }
                    // Statistics of the whole are gathered with the table that no dump holds rows of.
                    let analysed =
                        "SELECT string_agg(DISTINCT tablename, ' ' ORDER BY tablename) FROM pg_stats"
                        + " WHERE schemaname IN ('public', 'parts')"
                    #expect(try await server.firstValue(analysed, in: place) == "events new newest old")
                }
                try await server.withUnusedName { place in
                    let result = try await scratch.restore(to: place) { $0.tables = ["parts.newest"] }
                    #expect(result.databases.first?.rows == 10)
                    #expect(try await server.firstValue("SELECT count(*) FROM parts.newest", in: place) == "10")
                }
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
