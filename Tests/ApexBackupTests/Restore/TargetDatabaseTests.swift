import BackupModel
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `A change of names` {
        @Test func `is not taken for done when the restored database is gone`() async throws {
            try await withOneRowAndPlace { server, _, place in
                let name = try #require(place.database)
                let target = try await TargetServer.open(server.settings, replacing: [], clocks: .system)
                let renaming = try await requireFailure { try await target.rename("\(name)_gone", to: "\(name)_new") }
                #expect(renaming.reason?.contains("\(name)_gone") == true, "\(renaming)")
                let swapping = try await requireFailure {
                    try await target.swap("\(name)_gone", into: name, keeping: "\(name)_old", disconnecting: false)
                }
                await target.close()
                #expect(swapping.reason?.contains("\(name)_gone") == true, "\(swapping)")
                try await expectPrecious(server, place)
            }
        }

        @Test func `that cannot be undone is not told as if nothing had happened`() async throws {
            try await withOneRowAndPlace { server, scratch, place in
                let name = try #require(place.database)
                let role = "former_\(name)"
                try await server.execute("CREATE ROLE \(role) LOGIN SUPERUSER")
                try await server.execute("CREATE DATABASE \(name)_own OWNER \(role) TEMPLATE template0")
                _ = try await scratch.backup("\(name)_own")
                let login = try ConnectionSettings(parsing: server.url(name, user: role))
                let isForbidden = Atomic(false)
                let repository = try scratch.withoutTimePassing(until: { isForbidden.load(ordering: .relaxed) })
                let (restore, prepared) = try await scratch.planRestore(to: login, in: repository) {
                    ($0.database, $0.overwrites) = ("\(name)_own", true)
                }
                let other = try await server.session(place)
                let watching = try await server.session()
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await restore.run(prepared) }
                let isOpen = "SELECT datallowconn FROM pg_database WHERE datname = $1"
                #expect(try await eventually { try await watching.query(isOpen, [name]).firstValue == "f" })
                // From here on it may not change the database any more.
                try await watching.execute("ALTER ROLE \(role) NOSUPERUSER")
                isForbidden.store(true, ordering: .relaxed)
                let error = try await requireFailure { try await running.value }
                await prepared.close()
                await other.close()
                #expect(error.message.contains("could not be undone"), "\(error)")
                #expect(error.remedy.contains("ALLOW_CONNECTIONS true"))
                let unchanged = error.unchanged ?? ""
                #expect(unchanged.contains("was dropped.") && !unchanged.contains("'\(name)' is as it was"), "\(error)")
                #expect(!unchanged.contains("Nothing else"), "\(error)")
                try await watching.execute("ALTER DATABASE \(name) ALLOW_CONNECTIONS true")
                try await watching.execute("DROP DATABASE \(name)_own WITH (FORCE)")
                try await watching.execute("DROP ROLE \(role)")
                await watching.close()
                try await expectPrecious(server, place)
            }
        }

        @Test func `gives sessions that end the time in which the host ran, not that in which it stood still`()
            async throws
        {
            try await withOneRowAndPlace { server, _, place in
                let other = try await server.session(place)
                // Stands still for an hour at each of the first looks; then no time passes.
                let looks = Atomic(0)
                var clocks = Clocks.system
                clocks.monotonic = {
                    .seconds(3600 * min(looks.wrappingAdd(1, ordering: .relaxed).newValue, 8))
                }
                let target = try await TargetServer.open(server.settings, replacing: [], clocks: clocks)
                let name = try #require(place.database)
                let waiting = Task { try await target.sessions(in: name) }
                #expect(await eventually { looks.load(ordering: .relaxed) > 8 })
                await other.close()
                #expect(try await waiting.value == [])
                await target.close()
            }
        }

        @Test func `that has to wait for somebody's lock is given up, with the database open`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { old in
                try await server.withDatabase { new in
                    let (name, restored) = (try #require(old.database), try #require(new.database))
                    let target = try await TargetServer.open(
                        old, replacing: [name], clocks: .system)
                    #expect(try await target.session.query("SHOW lock_timeout").firstValue == "30s")
                    try await target.session.execute("SET lock_timeout = '3s'")
                    let other = try await server.session(server.settings)
                    try await other.execute("BEGIN")
                    try await other.execute("COMMENT ON DATABASE \(name) IS 'busy'")
                    let error = try await requireFailure {
                        try await target.swap(restored, into: name, keeping: "\(name)_kept", disconnecting: false)
                    }
                    #expect(error.sqlstate == "55P03" && error.remedy.contains("pg_locks"), "\(error)")
                    try await other.execute("ROLLBACK")
                    await other.close()
                    await target.close()
                    let state = "SELECT datallowconn FROM pg_database WHERE datname IN ('\(name)', '\(name)_kept')"
                    #expect(try await server.firstValue(state) == "t")
                }
            }
        }

        @Test func `leaves a database whose name is recognised, however long the first one was`() async throws {
            try await withOneRow { server, scratch, place in
                let name = try #require(place.database) + String(repeating: "ä", count: 16)
                let kept = name.asIdentifier(endingIn: "\(WorkingName.keptMark)20260101t000000z")
                #expect(!kept.hasPrefix(name))
                try await server.execute(
                    "CREATE DATABASE \(quoteIdentifier(kept)) TEMPLATE template0 ALLOW_CONNECTIONS false")
                let (_, prepared) = try await scratch.planRestore(to: place.with(database: name))
                await prepared.close()
                try await server.execute("DROP DATABASE \(quoteIdentifier(kept))")
                #expect(
                    prepared.plan.warnings.contains { $0.contains("'\(kept)', kept by an earlier restore") },
                    "\(prepared.plan.warnings)")
            }
        }
    }

    @Suite struct `The version of a server` {
        @Test func `is 14 or newer, or it is refused`() throws {
            let settings = try ConnectionSettings(parsing: "host=db dbname=app")
            try settings.requireSupported(versionNumber: 140_000)
            let old = #expect(throws: BackupError.self) { try settings.requireSupported(versionNumber: 130_022) }
            #expect(old?.code == .serverUnsupported && old?.message.contains("PostgreSQL 13") == true)
        }
    }
}
