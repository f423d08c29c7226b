import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(10))) struct `A swap that is disturbed` {
        /// Runs a swap that waits for a session of somebody else, and `disturb` while the old database is closed.
        private func disturbedSwap(
            on server: PostgresCluster? = nil,
            _ disturb:
                @escaping @Sendable (PostgresCluster, Task<RestoreResult, any Error>) async throws -> Void
        ) async throws {
            try await withOneRowAndPlace(on: server) { server, scratch, place in
                let name = try #require(place.database)
                let (restore, prepared) = try await scratch.planRestore(to: place) { $0.overwrites = true }
                let other = try await PostgresSession.connect(
                    place, applicationName: "payroll", timeout: .seconds(60))
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await restore.run(prepared) }
                let closed = try await eventually {
                    try await server.firstValue("SELECT datallowconn FROM pg_database WHERE datname = '\(name)'") == "f"
                }
                #expect(closed)
                try await disturb(server, running)
                let error = try await requireFailure { try await running.value }
                await prepared.close()
                await other.close()
                #expect(error.unchanged?.contains("'\(name)' is as it was") == true, "\(error)")
                try await expectPrecious(server, place)
            }
        }

        @Test func `by the loss of its session leaves the old database open and nothing behind`() async throws {
            // A cluster of its own, as the restores of other tests have the same name.
            try await PostgresCluster.with { cluster in
                try await disturbedSwap(on: cluster) { server, _ in
                    let ended = try await server.firstValue(
                        """
                        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE application_name = 'apex-backup restore'
                        """)
                    #expect(ended != "0")
                }
            }
        }

        @Test func `by a signal to stop leaves the old database open and nothing behind`() async throws {
            try await disturbedSwap { _, running in running.cancel() }
        }
    }

    @Suite(.timeLimit(.minutes(10))) struct `A restore that is stopped` {
        @Test func `drops what it has made and says so`() async throws {
            try await withOneRow { server, scratch, place in
                let tools = try StagedTools(
                    for: server, replacing: ["pg_restore": "touch \"$stage/begun\"; sleep 60"])
                let (restore, prepared) = try await scratch.planRestore(to: place) {
                    $0.bin = tools.directory
                    $0.jobs = 2
                }
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await restore.run(prepared) }
                #expect(try await eventually { tools.text("begun") != nil })
                running.cancel()
                let error = try await requireFailure { try await running.value }
                await prepared.close()
                #expect(error.code == .interrupted && error.unchanged?.contains("was dropped") == true, "\(error)")
                let name = try #require(place.database)
                let databases = try await server.databases()
                #expect(!databases.contains { $0.hasPrefix(name) })
                #expect(try !scratch.directory.contents().contains { $0.contains("spool") })
            }
        }

        @Test func `with kill -9 has its spool removed by the next`() async throws {
            let directory = try TemporaryDirectory()
            let host = HostFacts.name
            let alive = HostFacts.currentProcess
            let here = try #require(alive.namespace)
            let names = [
                "apex-backup-spool-\(host)-\(here)-1999999999-5-20260101T000000Z-0001",
                "apex-backup-spool-\(host)-\(here)-\(alive.pid)-\(alive.startTicks)-20260101T000000Z-0002",
                "apex-backup-spool-other-\(host)-\(here)-1999999999-5-20260101T000000Z-0003",
                "apex-backup-spool-\(host)-\(here + 1)-1999999999-5-20260101T000000Z-0004",
                "apex-backup-spool-\(host)-notes",
            ]
            for name in names { try directory.write([1], to: name) }
            Spool.sweep(directory.path, host: host)
            #expect(Set(try directory.contents()) == Set(names.dropFirst()))
        }
    }
}
