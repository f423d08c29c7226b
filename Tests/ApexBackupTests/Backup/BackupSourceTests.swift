import BackupModel
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical backup` {
    @Suite(.timeLimit(.minutes(30))) struct `A source` {
        @Test func `that is a standby gives what it has replayed, and says what it cannot give`() async throws {
            try await PostgresCluster.with { primary in
                try await primary.execute(
                    "CREATE TABLE t AS SELECT generate_series(1, 7) AS n; CREATE UNLOGGED TABLE u AS SELECT 1 AS n")
                let scratch = try await ScratchRepository(for: primary)
                try await primary.withStandby { standby in
                    try await primary.execute("INSERT INTO t VALUES (8)")
                    let session = try await primary.session(standby)
                    func standbySays(_ sql: String, _ answer: String) async throws -> Bool {
                        try await eventually { try await session.query(sql).firstValue == answer }
                    }
                    #expect(try await standbySays("SELECT count(*) FROM t", "8"))
                    try await session.execute("SELECT pg_wal_replay_pause()")
                    #expect(try await standbySays("SELECT pg_get_wal_replay_pause_state()", "paused"))
                    try await primary.execute("INSERT INTO t VALUES (9)")

                    let manifest = try await scratch.backup("postgres", as: standby)
                    #expect(manifest.server.inRecovery && manifest.totals.rows == 8)
                    let replayed = try await session.query(
                        """
                        SELECT (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint,
                            pg_last_wal_replay_lsn()
                        """)
                    let point = try #require(manifest.databases?.first?.snapshot)
                    #expect(point.clock.microseconds == replayed.value(0, 0).flatMap { Int64($0) })
                    #expect(point.lsn == replayed.value(0, 1).flatMap { LogSequenceNumber(parsing: $0) })
                    #expect(point.timeline == 1 && manifest.recoveryPoint == point.clock)
                    #expect(
                        manifest.warnings == [
                            "data missing: a standby has no rows of unlogged tables: 'postgres': public.u"
                        ])
                    await session.close()
                }
            }
        }

        /// A `pg_dump` that notes when it begins and ends, and waits at first for as many others as `together` says.
        private func watchedDump(together: Int, of server: PostgresCluster) throws -> StagedTools {
            try StagedTools(
                for: server,
                replacing: [
                    "pg_dump": """
                    echo + >> "$stage/log"; n=0
                    while [ "$(grep -c + "$stage/log")" -lt \(together) ] && [ $n -lt 6000 ]; do sleep 0.05; n=$((n+1)); done
                    "$real" "$@"; status=$?; echo - >> "$stage/log"; exit $status
                    """
                ])
        }

        private func mostAtOnce(_ tools: StagedTools) -> Int {
            var running = 0
            var most = 0
            for mark in (tools.text("log") ?? "").split(separator: "\n") {
                running += mark == "+" ? 1 : -1
                most = max(most, running)
            }
            return most
        }

        @Test func `is asked for as many dumps at once as jobs say, and as there is memory for`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { first in
                try await server.withDatabase { second in
                    let names = try [first, second].map { try #require($0.database) } + ["postgres"]
                    let scratch = try await ScratchRepository(for: server)
                    let pair = try watchedDump(together: 2, of: server)
                    _ = try await scratch.backup(names[0], names[1], names[2], bin: pair.directory)
                    #expect(mostAtOnce(pair) == 2)

                    let single = try watchedDump(together: 1, of: server)
                    var settings = BackupPolicy.LogicalSettings()
                    settings.databases = .named(names)
                    settings.globals = false
                    let backup = LogicalBackup(
                        repository: scratch.repository, connection: server.settings,
                        request: .init(settings: settings, jobs: 3, memory: 50 << 20, bin: single.directory))
                    _ = try await onOwnThreads { try await backup.run() }
                    #expect(mostAtOnce(single) == 1)
                    #expect(scratch.notes == ["backup.memory has room for 1 of 3 dumps at once"])
                }
            }
        }

        @Test func `that will not fit is refused by what its databases took before, and no other is`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name)
                _ = try scratch.rewrite(manifest) { changed in
                    for index in changed.artefacts.indices where changed.artefacts[index].role == .dump {
                        changed.artefacts[index].volumes[0].bytes = 1 << 37
                        let volume = changed.artefacts[index].volumes[0]
                        changed.artefacts[index].volumes = Array(repeating: volume, count: 1 << 11)
                    }
                }
                let error = try await requireFailure { try await scratch.backup(name) }
                #expect(
                    error.code == .repositoryFull && error.message.contains("will need about 281.6 TiB"), "\(error)")
                #expect(error.remedy.contains("prune"))
                _ = try await scratch.backup("postgres")
                _ = try await scratch.backup(name)
            }
        }
    }
}
