import BackupModel
import BackupStorage
import FoundationEssentials
import Glibc
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A swap that is disturbed` {
        /// Runs a swap that waits for a session of somebody else, and `disturb` while the old database is closed.
        private func disturbedSwap(
            on server: PostgresCluster? = nil,
            _ disturb:
                @escaping @Sendable (PostgresCluster, Task<RestoreResult, any Error>) async throws -> Void
        ) async throws {
            try await withOneRowAndPlace(on: server) { server, scratch, place in
                let name = try #require(place.database)
                let isDisturbed = Atomic(false)
                let repository = try scratch.withoutTimePassing(until: { isDisturbed.load(ordering: .relaxed) })
                let (restore, prepared) = try await scratch.planRestore(to: place, in: repository) {
                    $0.overwrites = true
                }
                let other = try await PostgresSession.connect(
                    place, applicationName: "payroll", timeout: .seconds(60))
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await restore.run(prepared) }
                let closed = try await eventually {
                    try await server.firstValue("SELECT datallowconn FROM pg_database WHERE datname = '\(name)'") == "f"
                }
                #expect(closed)
                try await disturb(server, running)
                isDisturbed.store(true, ordering: .relaxed)
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

    @Suite(.timeLimit(.minutes(30))) struct `A restore that is stopped` {
        @Test func `drops what it has made and says so`() async throws {
            try await withOneRow { server, scratch, place in
                let tools = try StagedTools(
                    for: server, replacing: ["pg_restore": "touch \"$stage/begun\"; sleep 600"])
                let (restore, prepared) = try await scratch.planRestore(to: place) {
                    $0.bin = tools.directory
                    $0.jobs = 2
                }
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await restore.run(prepared) }
                #expect(await eventually { tools.text("begun") != nil })
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

        @Test func `with kill -9 has its spool removed by the next, which tells of those that it cannot judge`()
            async throws
        {
            let directory = try TemporaryDirectory()
            let warned = Mutex<[String]>([])
            let environment = BackupEnvironment(events: { event in
                if case .warning(let text) = event { warned.withLock { $0.append(text) } }
            })
            let prefix = "apex-backup-spool"
            let host = environment.host
            let inUse = Spool(directory: directory.path, environment: environment)
            try inUse.write("data")
            let left = "\(prefix)-\(host)-20260101T000000Z-0001"
            let notes = "\(prefix)-\(host)-notes"
            let elsewhere = "\(prefix)-other-\(host)-20260101T000000Z-0002"
            let unreadable = "\(prefix)-\(host)-20260101T000000Z-0003"
            for name in [left, notes, elsewhere] { try directory.write([1], to: name) }
            try FileManager.default.createSymbolicLink(
                atPath: directory.path(of: unreadable), withDestinationPath: directory.path(of: notes))

            Spool.sweep(directory.path, environment: environment)
            let kept = [
                directory.path(of: elsewhere), inUse.path, directory.path(of: notes), directory.path(of: unreadable),
            ]
            #expect(try Set(directory.contents().map(directory.path(of:))) == Set(kept))
            let texts = warned.withLock { $0 }
            #expect(texts.count == 2)
            #expect(
                texts.contains { $0.contains("'\(directory.path(of: elsewhere))'") && $0.contains("the host 'other-") })
            #expect(texts.contains { $0.contains("'\(directory.path(of: unreadable))'") })
            inUse.remove()
            #expect(try directory.contents().count == 3)
        }

        @Test func `with kill -9 in another container has its spool removed by the next, but not before`() async throws
        {
            let directory = try TemporaryDirectory()
            let environment = BackupEnvironment()
            let spool = "apex-backup-spool-\(environment.host)-20260101T000000Z-0001"
            let script = "exec flock \"$1\" sh -c 'touch \"$1.held\"; exec sleep 600' sh \"$1\""
            let holder = try await CommandLineTool(executable: "/usr/bin/unshare").start(
                ["--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", directory.path(of: spool)])
            #expect(try await eventually { try directory.contents() == [spool, "\(spool).held"] })
            Spool.sweep(directory.path, environment: environment)
            #expect(try directory.contents().count == 2)
            holder.send(SIGKILL)
            #expect(
                try await eventually {
                    Spool.sweep(directory.path, environment: environment)
                    return try directory.contents() == ["\(spool).held"]
                })
        }
    }
}
