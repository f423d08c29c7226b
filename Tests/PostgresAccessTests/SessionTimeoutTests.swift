import BackupModel
import PostgresAccess
import TestSupport
import Testing

@Suite struct `Time-outs of a role` {
    @Test func `do not end our sessions`() async throws {
        let cluster = try await PostgresCluster.shared()
        let role = "hasty_\(UInt32.random(in: .min ... .max))"
        // The first statements of a session are still under it.
        try await cluster.execute("CREATE ROLE \(role) LOGIN; ALTER ROLE \(role) SET statement_timeout = '300s'")
        let settings = try ConnectionSettings(
            parsing: "host=\(cluster.server.directory) user=\(role) dbname=postgres")
        let session = try await PostgresSession.connect(settings, applicationName: "tests", timeout: .seconds(60))
        // The role's own setting is in force where nothing turns it off.
        #expect(
            try await session.query("SELECT reset_val FROM pg_settings WHERE name = 'statement_timeout'").firstValue
                == "300000")
        let timeouts = try await session.query(
            "SELECT name, setting FROM pg_settings WHERE name ~ '^(statement|lock|idle.*session)_timeout'")
        #expect(timeouts.rows.count == 4)
        #expect(timeouts.rows.allSatisfy { $0[1] == "0" }, "\(timeouts.rows)")
        await session.close()
        try await cluster.execute("DROP ROLE \(role)")
    }
}
