import BackupModel
import PostgresAccess
import TestSupport
import Testing

@Suite struct `Server facts` {
    @Test func `are told to a role without privileges`() async throws {
        let cluster = try await PostgresCluster.shared()
        try await cluster.withDatabase { settings in
            let name = try #require(settings.database)
            try await cluster.execute("CREATE ROLE \(name) LOGIN")
            let superuser = try await cluster.session(settings)
            let ordinary = try await cluster.session(
                try ConnectionSettings(parsing: "host=\(cluster.server.directory) user=\(name) dbname=\(name)"))
            let all = try await superuser.serverFacts()
            let own = try await ordinary.serverFacts()
            #expect(all.isSuperuser && all.canReadRolePasswords)
            #expect(!own.isSuperuser && !own.canReadRolePasswords)
            #expect(own.systemIdentifier == all.systemIdentifier)
            #expect(UInt64(own.systemIdentifier) != nil)
            #expect(own.major == own.versionNumber / 10_000 && own.version.hasPrefix("\(own.major)."))
            #expect(!own.inRecovery && own.timeline == 1 && own.dataChecksums && own.encoding == "UTF8")
            #expect(own.currentLSN >= all.currentLSN && own.clock >= all.clock)
            await superuser.close()
            await ordinary.close()
            try await cluster.execute("DROP ROLE \(name)")
        }
    }

    @Test func `of a standby are of what it replayed, and its conflicts are explained`() async throws {
        try await PostgresCluster.with(configuration: ["autovacuum": "off"]) { primary in
            try await primary.withStandby { settings in
                let session = try await primary.session(settings)
                let origin = try await primary.session()
                // Nothing is replayed yet: the clock of its data is not its own clock.
                let begun = try await session.serverFacts()
                #expect(try await session.currentPoint().clock < begun.clock)
                try await origin.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
                let written = try await origin.serverFacts()
                let caughtUp = try await eventually { try await session.serverFacts().currentLSN >= written.currentLSN }
                #expect(caughtUp)
                let facts = try await session.serverFacts()
                let replayed = try await session.query(
                    "SELECT (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint")
                #expect(
                    try await session.currentPoint().clock.microseconds == replayed.firstValue.flatMap { Int64($0) })
                #expect(facts.inRecovery && facts.timeline == 1 && facts.systemIdentifier == written.systemIdentifier)

                try await session.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
                try await session.execute("SELECT pg_reload_conf()")
                try await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
                try await origin.execute("DELETE FROM t")
                let error = await #expect(throws: BackupError.self) {
                    let hasConflict = try await eventually {
                        // A vacuum removes nothing while somebody else still sees it.
                        try await origin.execute("VACUUM t")
                        return try await session.query("SELECT count(*) FROM t").rows.isEmpty
                    }
                    #expect(!hasConflict)
                }
                #expect(error?.remedy.contains("max_standby_streaming_delay") == true, "\(String(describing: error))")
                await session.close()
                await origin.close()
            }
        }
    }

    @Test func `are not asked through a pooler in transaction mode`() async throws {
        try await PostgresCluster.with { cluster in
            let directory = cluster.server.directory
            let lines = [
                "[databases]", "* = host=\(directory) port=5432 user=postgres", "[pgbouncer]", "listen_port = 6432",
                "unix_socket_dir = \(directory)", "auth_type = any", "pool_mode = transaction",
            ]
            let values = lines.map { "(\(quoteLiteral($0)))" }.joined(separator: ", ")
            try await cluster.execute("COPY (VALUES \(values)) TO \(quoteLiteral("\(directory)/pgbouncer.ini"))")
            let pgbouncer = ChildCommand(
                "/usr/sbin/pgbouncer", arguments: ["\(directory)/pgbouncer.ini"], environment: ["LC_ALL": "C"],
                workingDirectory: "/", userName: "postgres")
            let pooler = Task { try await run(pgbouncer) { _ in } }
            defer { pooler.cancel() }
            let settings = try ConnectionSettings(
                parsing: "host=\(directory) port=6432 user=postgres dbname=postgres")
            #expect(await eventually { (try? await cluster.session(settings).close()) != nil })
            let pooled = try await cluster.session(settings)
            let error = await #expect(throws: BackupError.self) { try await pooled.serverFacts() }
            #expect(error?.code == .pooledConnection)
            await pooled.close()
            let direct = try await cluster.session()
            try await direct.requireDirectConnection()
            await direct.close()
        }
    }
}
