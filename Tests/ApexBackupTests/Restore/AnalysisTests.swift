import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A table that cannot be analysed` {
        /// Tables of which `t` and `part_a` have statistics by a function that runs `body`.
        private static func tables(_ body: String) -> String {
            """
            CREATE TABLE lookup AS SELECT 1 AS n;
            CREATE FUNCTION looked_up(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN \(body) END';
            CREATE TABLE t AS SELECT generate_series(1, 100) AS n;
            CREATE STATISTICS of_t ON (looked_up(n)) FROM t;
            CREATE TABLE parts (n int) PARTITION BY RANGE (n);
            CREATE TABLE part_a PARTITION OF parts FOR VALUES FROM (0) TO (100);
            CREATE TABLE part_b PARTITION OF parts FOR VALUES FROM (100) TO (200);
            INSERT INTO parts SELECT generate_series(0, 199);
            CREATE STATISTICS of_part_a ON (looked_up(n)) FROM part_a
            """
        }

        /// What fails where no schema is searched, as in every session of a restore.
        private static let unqualified = "RETURN n + (SELECT count(*) FROM lookup);"

        private func withBackup(
            computing body: String = unqualified,
            _ test: (PostgresCluster, ScratchRepository, ConnectionSettings, _ name: String) async throws -> Void
        ) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute(Self.tables(body), in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(name)
                try await server.withUnusedName { place in try await test(server, scratch, place, name) }
            }
        }

        private func analysed(_ server: PostgresCluster, _ place: ConnectionSettings) async throws -> String? {
            try await server.firstValue(
                """
                SELECT string_agg(DISTINCT tablename, ' ' ORDER BY tablename) FROM pg_stats
                WHERE schemaname = 'public'
                """, in: place)
        }

        @Test func `because it has foreign tables below it is named, and their servers are not asked`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(
                    """
                    CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
                    CREATE TABLE parts (n int) PARTITION BY RANGE (n);
                    CREATE TABLE part_a PARTITION OF parts FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (n);
                    CREATE TABLE part_aa PARTITION OF part_a DEFAULT;
                    CREATE FOREIGN TABLE part_f PARTITION OF parts FOR VALUES FROM (100) TO (200) SERVER nowhere;
                    CREATE TABLE old (n int); CREATE TABLE old_a () INHERITS (old);
                    CREATE FOREIGN TABLE old_f () INHERITS (old) SERVER nowhere;
                    INSERT INTO parts SELECT generate_series(0, 99); INSERT INTO old_a SELECT generate_series(0, 99)
                    """, in: database)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(try #require(database.database))
                try await server.withUnusedName { place in
                    let result = try await scratch.restore(to: place)
                    let told = result.warnings.filter { $0.contains("ANALYZE") }
                    #expect(
                        told.count == 1 && told[0].contains("no ANALYZE of public.parts, public.old, which"), "\(told)")
                    #expect(try await analysed(server, place) == "old_a part_a part_aa")
                }
            }
        }

        private func expectTold(_ warnings: [String], of tables: [String]) {
            let told = warnings.filter { $0.contains("ANALYZE") }
            #expect(told.count == 1, "\(warnings)")
            for table in tables {
                let words = "\(table) (42P01: relation \"lookup\" does not exist)"
                #expect(told.first?.contains(words) == true, "\(warnings)")
            }
            #expect(told.first?.contains("run ANALYZE by hand") == true, "\(warnings)")
        }

        @Test func `is told of by a restore that has all data, and all others are analysed`() async throws {
            try await withBackup { server, scratch, place, _ in
                for jobs in [1, 2] {
                    let result = try await scratch.restore(to: place) {
                        $0.jobs = jobs
                        $0.overwrites = true
                    }
                    expectTold(result.warnings, of: ["public.t", "public.part_a"])
                    #expect(result.databases.map(\.rows) == [301] && result.databases.map(\.isCompared) == [true])
                    #expect(try await analysed(server, place) == "lookup part_b parts")
                    #expect(try await server.waitUntilUnused(place))
                }
                #expect(try scratch.entries().first?.state == .restored)

                try await server.execute("DROP TABLE t", in: place)
                let part = try await scratch.restore(to: place) { $0.tables = ["public.t"] }
                #expect(part.plan.databases.first?.action == .addTables && part.databases.first?.rows == 100)
                expectTold(part.warnings, of: ["public.t"])
            }
        }

        @Test func `is told of by the restore of a dump file`() async throws {
            try await withBackup { server, scratch, place, name in
                let file = scratch.directory.path(of: "made.sql")
                let dumped = try await runScript(
                    "exec \"$1\" --file=\"$2\"", server.tools.path(of: "pg_dump"), file,
                    environment: server.settings.with(database: name).environment)
                try #require(dumped.status == .exited(0), "\(dumped.errors)")
                let restore = try DumpFileRestore(
                    path: file, url: place.redacted, environment: scratch.repository.environment, jobs: 2,
                    bin: server.tools.directory)
                _ = try await onOwnThreads { try await restore.run(restore.plan()) }
                expectTold(scratch.warnings, of: ["public.t", "public.part_a"])
                #expect(try await analysed(server, place) == "lookup part_b parts")
            }
        }

        @Test func `is a deviation in the report of a drill, which proves the backup all the same`() async throws {
            try await withBackup { _, scratch, _, _ in
                let text = """
                    apiVersion: apex-backup/v1
                    kind: DrillPolicy
                    metadata: {name: test, owner: platform-team}
                    objectives: {rto: 1h, rpo: 1h}
                    checks: [{id: rows, type: rows}]
                    """
                let environment = scratch.repository.environment
                let run = DrillRun(
                    repository: scratch.repository, policy: try DrillPolicyFile.parse(text, fileName: "p"),
                    policyDigest: SHA256.digest(of: [UInt8]().span),
                    settings: try EffectivePolicy.load(.init(), environment: environment))
                let outcome = try await onOwnThreads { try await run.run() }
                #expect(outcome.verdict == .pass, "\(outcome.report.reasons)")
                expectTold(outcome.report.deviations, of: ["public.t", "public.part_a"])
            }
        }

        enum Disturbance: CaseIterable { case sessionEnded, cancelled }

        @Test(arguments: Disturbance.allCases)
        func `is another thing than a restore that is disturbed while it analyses`(by: Disturbance) async throws {
            try await withBackup(computing: "PERFORM pg_sleep(600); RETURN n;") { server, scratch, place, _ in
                let name = try #require(place.database)
                let (restore, prepared) = try await scratch.planRestore(to: place)
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await restore.run(prepared) }
                let analysing = "FROM pg_stat_activity WHERE datname ^@ '\(name)' AND wait_event = 'PgSleep'"
                #expect(
                    try await eventually { try await server.firstValue("SELECT count(*) \(analysing)") != "0" })
                switch by {
                case .sessionEnded: try await server.execute("SELECT pg_terminate_backend(pid) \(analysing)")
                case .cancelled: running.cancel()
                }
                let error = try await requireFailure { try await running.value }
                await prepared.close()
                #expect(error.code == (by == .cancelled ? .interrupted : .serverConnectionLost), "\(error)")
                #expect(error.unchanged?.contains("was dropped") == true, "\(error)")
                let databases = try await server.databases()
                #expect(!databases.contains { $0.hasPrefix(name) })
            }
        }
    }
}
