import BackupModel
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A database in another encoding` {
        @Test(arguments: [DumpFormat.custom, .plain])
        func `comes back with its names and texts, every row compared`(_ format: DumpFormat) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withUnusedName { database in
                let name = try #require(database.database)
                try await server.execute("CREATE DATABASE \(name) TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")
                try await server.execute(
                    "CREATE TABLE \"Köln\" AS SELECT 'Grüße'::text AS t", in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(name) { $0.format = format }
                try await server.withUnusedName { place in
                    let result = try await scratch.restore(to: place)
                    #expect(result.databases.first?.rows == 1 && result.databases.first?.isCompared == true)
                    #expect(try await server.firstValue("SELECT t FROM \"Köln\"", in: place) == "Grüße")
                    #expect(try await server.firstValue("SHOW server_encoding", in: place) == "LATIN1")
                }
            }
        }

        @Test func `a name of a quote with an accent on it is a name, wherever it stands`() async throws {
            let server = try await PostgresCluster.shared()
            let name = "x\"\u{301};'\u{301}\\\u{301}"
            try await server.withDatabase(named: name) { database in
                try await server.execute("CREATE TABLE \(quoteIdentifier(name)) AS SELECT 1 AS n", in: database)
                try await server.execute("COMMENT ON DATABASE \(quoteIdentifier(name)) IS \(quoteLiteral(name))")
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name) { $0.counts = .server }
                #expect(manifest.totals.rows == 1)
                try await server.withUnusedName { place in
                    let result = try await scratch.restore(to: place)
                    #expect(result.databases.first?.rows == 1)
                }
            }
        }
    }
}
