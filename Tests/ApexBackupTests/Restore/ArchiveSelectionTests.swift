import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `The choice of tables and schemas` {
        private let schema = """
            CREATE SCHEMA shop; CREATE SCHEMA audit;
            CREATE TYPE shop.mood AS ENUM ('good', 'bad');
            CREATE TABLE shop.customers (id serial PRIMARY KEY, mood shop.mood);
            CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                customer int REFERENCES shop.customers, note text CHECK (note <> ''));
            CREATE INDEX orders_note ON shop.orders (note);
            COMMENT ON TABLE shop.orders IS 'what was sold';
            CREATE TABLE audit.orders AS SELECT generate_series(1, 5) AS n;
            CREATE TABLE audit.customers AS SELECT generate_series(1, 6) AS n;
            CREATE TABLE shop."with space" AS SELECT 1 AS n;
            INSERT INTO shop.customers (mood) VALUES ('good'), ('bad');
            INSERT INTO shop.orders (customer, note) VALUES (1, 'a'), (2, 'b'), (2, 'c');
            """

        private func withBackup(
            _ body: (PostgresCluster, ScratchRepository, ConnectionSettings) async throws -> Void
        ) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(schema, in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(try #require(database.database))
                try await server.withUnusedName { place in try await body(server, scratch, place) }
            }
        }

        private func relations(_ server: PostgresCluster, _ place: ConnectionSettings) async throws -> String? {
            try await server.firstValue(
                """
                SELECT string_agg(format('%s.%s', nspname, relname), ' ' ORDER BY nspname, relname)
                FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
                """, in: place)
        }

        @Test func `brings tables of two schemas and none of the same names elsewhere`() async throws {
            try await withBackup { server, scratch, place in
                let result = try await scratch.restore(to: place) { $0.tables = ["shop.customers", "audit.orders"] }
                #expect(
                    try await relations(server, place)
                        == "audit.orders shop.customers shop.customers_id_seq shop.customers_pkey")
                #expect(result.databases.first?.rows == 7 && result.databases.first?.tables == 2)
                #expect(try await server.firstValue("SELECT nextval('shop.customers_id_seq')", in: place) == "3")
            }
        }

        @Test func `brings indexes and constraints, and leaves out references to what is not chosen`() async throws {
            try await withBackup { server, scratch, place in
                let result = try await scratch.restore(to: place) { $0.tables = ["shop.orders", "with space"] }
                let found = try await relations(server, place)
                #expect(found == "shop.orders shop.orders_id_seq shop.orders_note shop.orders_pkey shop.with space")
                #expect((result.plan.warnings + result.warnings).contains { $0.contains("orders_customer_fkey") })
                #expect(result.databases.first?.rows == 4 && result.databases.first?.isCompared == true)
                let comment = "SELECT obj_description('shop.orders'::regclass)"
                #expect(try await server.firstValue(comment, in: place) == "what was sold")
            }
        }

        @Test func `brings a whole schema into a new database and into one that exists`() async throws {
            try await withBackup { server, scratch, place in
                try await scratch.restore(to: place) { $0.schemas = ["shop"] }
                let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
                #expect(try await server.firstValue(keys, in: place) == "1")
                let result = try await scratch.restore(to: place) { $0.schemas = ["audit"] }
                #expect(result.plan.databases.first?.action == .addTables && result.databases.first?.rows == 11)
                #expect(try await server.firstValue("SELECT sum(n) FROM audit.orders", in: place) == "15")
            }
        }

        @Test func `is refused for names that the backup does not hold or holds twice`() async throws {
            try await withBackup { server, scratch, place in
                for (tables, schemas) in [(["shop.lost"], []), (["orders"], []), (["with"], []), ([], ["lost"])] {
                    let error = try await requireFailure {
                        try await scratch.planRestore(to: place) {
                            $0.tables = tables
                            $0.schemas = schemas
                        }
                    }
                    #expect(error.code == .usage && error.message.contains("'\((tables + schemas)[0])'"), "\(error)")
                    #expect(error.unchanged == "Nothing was changed.")
                }
            }
        }

        @Test func `does not count as a restore of the whole backup`() async throws {
            try await withBackup { server, scratch, place in
                try await scratch.restore(to: place) { $0.schemas = ["audit"] }
                let entry = try #require(try scratch.entries().first)
                #expect(entry.state == .committed)
                #expect(entry.facts.contains { $0.kind == .restored && $0.partial == true })
                #expect(try await server.waitUntilUnused(place))
                let (_, prepared) = try await scratch.planRestore(to: place) { $0.overwrites = true }
                await prepared.close()
                #expect(prepared.plan.estimatedSeconds == nil && !prepared.plan.isPartial)
            }
        }
    }

    @Suite struct `A script for psql's restricted mode` {
        private func restricted(_ script: String, chunk: Int) throws -> String {
            let result = CollectingSink(limit: 1 << 30)
            let sink = RestrictedScriptSink(token: "ours", into: result)
            let bytes = Array(script.utf8)
            for start in stride(from: 0, to: bytes.count, by: chunk) {
                try sink.write(Array(bytes[start..<min(start + chunk, bytes.count)]).span)
            }
            try sink.finish()
            return String(decoding: result.bytes, as: UTF8.self)
        }

        @Test(arguments: [1, 100, 5000, 1 << 20])
        func `loses its own restriction at head and tail alone`(_ chunk: Int) throws {
            let body = String(repeating: "INSERT INTO t VALUES (1);\n", count: 2000)
            let own = "--\n-- dump\n\n\\restrict abc\n\(body)\\unrestrict abc\n\n"
            #expect(
                try restricted(own, chunk: chunk) == "\\restrict ours\n--\n-- dump\n\n\(body)\n\n\\unrestrict ours\n")
            let inside = "-- dump\nCREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\n\\restrict abc\n$$;\n\(body)"
            #expect(try restricted(inside, chunk: chunk) == "\\restrict ours\n\(inside)\n\\unrestrict ours\n")
        }
    }
}
