import BackupModel
import FoundationEssentials
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `An attempt` {
        /// Restores as the command does: plan, confirmation and all else in one recorded run.
        @discardableResult
        private func attempt(
            _ scratch: ScratchRepository, to place: ConnectionSettings,
            _ configure: (inout RestoreRequest) -> Void = { _ in },
            accepting accept: @escaping @Sendable (RestorePlan) throws -> Void = { _ in }
        ) async throws -> RestoreResult {
            var request = RestoreRequest()
            request.bin = scratch.server.tools.directory
            request.spoolDirectory = scratch.directory.path
            configure(&request)
            let restore = LogicalRestore(repository: scratch.repository, request: request, connection: place)
            return try await onOwnThreads { try await restore.run(accepting: accept) }
        }

        @Test func `leaves a run record whatever became of it, and a plan alone leaves none`() async throws {
            try await withOneRow { server, scratch, place in
                func expect(_ state: RunLog.Entry.State, _ code: ErrorCode?) throws {
                    let last = try #require(try scratch.runs().last)
                    #expect(last.start?.operation == .restore && last.state == state, "\(last)")
                    #expect(last.end?.error?.code == code && last.end?.exitStatus == code?.exitStatus ?? 0)
                }
                let nobody = try ConnectionSettings(parsing: "host=/nowhere dbname=app")
                let unreachable = try await requireFailure { try await attempt(scratch, to: nobody) }
                #expect(unreachable.code == .serverUnreachable && "\(unreachable)".contains("/nowhere"))
                try expect(.failed, .serverUnreachable)
                _ = try await requireFailure { try await attempt(scratch, to: place) { $0.database = "lost" } }
                try expect(.refused, .usage)
                let early = Timestamp(microseconds: 0)
                _ = try await requireFailure { try await attempt(scratch, to: place) { $0.moment = .time(early) } }
                try expect(.refused, .momentUnreachable)
                let count = try scratch.runs().count
                let (_, prepared) = try await scratch.planRestore(to: place)
                await prepared.close()
                #expect(try scratch.runs().count == count)

                try await attempt(scratch, to: place)
                try expect(.succeeded, nil)
                _ = try await requireFailure { try await attempt(scratch, to: place) }
                try expect(.refused, .targetNotEmpty)
                let refusal = BackupError(.usage, "Not so.", remedy: "Say yes.")
                let overwrites = { (request: inout RestoreRequest) in request.overwrites = true }
                #expect(try await server.waitUntilUnused(place))
                let unconfirmed = try await requireFailure {
                    try await attempt(scratch, to: place, overwrites, accepting: { _ in throw refusal })
                }
                #expect(unconfirmed == refusal)
                try expect(.refused, .usage)
                #expect(try await server.waitUntilUnused(place))
                let stopped = try await requireFailure {
                    try await attempt(scratch, to: place, overwrites, accepting: { _ in throw CancellationError() })
                }
                #expect(stopped.code == .interrupted)
                try expect(.interrupted, .interrupted)
                let databases = try await server.databases()
                #expect(databases.filter { $0.hasPrefix(place.database ?? "") } == [place.database])
                #expect(try scratch.runs().count == count + 4)
            }
        }

        @Test func `by a role without the rights is refused before it has changed anything`() async throws {
            try await withOneRow { server, scratch, place in
                let name = try #require(place.database)
                let role = "modest_\(name)"
                try await server.execute("CREATE ROLE \(role) LOGIN")
                func login(_ database: String) throws -> ConnectionSettings {
                    try ConnectionSettings(parsing: server.url(database, user: role))
                }
                let error = try await requireFailure { try await attempt(scratch, to: try login(name)) }
                #expect(error.code == .permissionDenied && error.remedy.contains("CREATEDB"), "\(error)")
                #expect(error.message.contains("'\(role)'") && error.unchanged == "Nothing was changed.")
                #expect(try await !server.databases().contains(name))

                try await server.execute("ALTER ROLE \(role) CREATEDB")
                try await server.execute("CREATE DATABASE \(name) TEMPLATE template0")
                let foreign = try await requireFailure { try await attempt(scratch, to: try login(name)) }
                #expect(foreign.code == .permissionDenied && foreign.reason == "only its owner may", "\(foreign)")

                // Objects of its own it may restore; that those of others fail is said before.
                try await server.execute("CREATE DATABASE \(name)_own OWNER \(role) TEMPLATE template0")
                try await server.execute("CREATE TABLE mine AS SELECT 5 AS n", in: try login("\(name)_own"))
                _ = try await scratch.backup("\(name)_own")
                let result = try await attempt(scratch, to: try login("\(name)_copy"))
                #expect(result.plan.warnings.contains { $0.contains("'\(role)' is no superuser") })
                let copy = server.settings.with(database: "\(name)_copy")
                #expect(try await server.firstValue("SELECT n FROM mine", in: copy) == "5")
                for database in [name, "\(name)_own", "\(name)_copy"] {
                    try await server.execute("DROP DATABASE \(database) WITH (FORCE)")
                }
                try await server.execute("DROP ROLE \(role)")
            }
        }

        @Test func `plans with the room there is, and says what is missing`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withUnusedName { place in
                let name = try #require(place.database)
                try await server.execute("CREATE ROLE owner_\(name)")
                try await server.execute("CREATE DATABASE \(name) TEMPLATE template0")
                let table = "CREATE TABLE t AS SELECT 1 AS n; ALTER TABLE t OWNER TO owner_\(name)"
                try await server.execute(table, in: place)
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup(name)
                try await server.execute("DROP DATABASE \(name) WITH (FORCE)")
                try await server.execute("DROP ROLE owner_\(name)")

                func plan(_ configure: (inout RestoreRequest) -> Void = { _ in }) async throws -> RestorePlan {
                    let (_, prepared) = try await scratch.planRestore(to: place, configure)
                    await prepared.close()
                    return prepared.plan
                }
                let usual = try await plan { $0.jobs = 2 }
                #expect(usual.missingRoles == ["owner_\(name)"] && usual.spoolFreeBytes ?? 0 > 0)
                #expect(usual.warnings.contains { $0.contains("owner_\(name)") && $0.contains("stops there") })
                let data = "\(server.server.directory)/data"
                #expect((usual.targetFreeBytes ?? 0 > 0) == FileManager.default.isReadableFile(atPath: data))
                #expect(try await plan { $0.tables = ["t"] }.missingRoles == usual.missingRoles)
                // A file system that has no room for anything.
                let crowded = try await plan { ($0.jobs, $0.spoolDirectory) = (2, "/proc") }
                #expect(crowded.databases.first?.feed == .streamed && crowded.databases.first?.jobs == 1)
                #expect(crowded.warnings.contains { $0.contains("no room for a spool") && $0.contains("/proc") })
                let nowhere = try await plan { ($0.jobs, $0.spoolDirectory) = (2, "/no/such/place") }
                #expect(nowhere.databases.first?.feed == .streamed && nowhere.spoolFreeBytes == nil)
                #expect(nowhere.warnings.contains { $0.contains("/no/such/place; TMPDIR names another") })

                let failed = try await requireFailure { try await scratch.restore(to: place) }
                #expect(failed.code == .restoreFailed && "\(failed)".contains("owner_\(name)"), "\(failed)")
            }
        }

        @Test(.enabled("from 17 on servers know the setting") { try await PostgresCluster.shared().tools.major < 17 })
        func `with a dump of a newer pg_dump than the target takes is refused`() async throws {
            try await withOneRow { server, scratch, place in
                let manifest = try #require(try scratch.entries().first?.manifest)
                _ = try scratch.rewrite(manifest) { $0.tools["pg_dump"] = "17.2" }
                let newer = try await requireFailure { try await attempt(scratch, to: place) }
                #expect(newer.code == .targetUnsuitable && newer.message.contains("pg_dump 17"), "\(newer)")
                #expect(newer.reason?.contains("transaction_timeout") == true)
            }
        }

        @Test func `that finds the backup damaged takes earlier proofs away`() async throws {
            try await withOneRow { _, scratch, place in
                let manifest = try #require(try scratch.entries().first?.manifest)
                let dump = try #require(manifest.artefacts.first { $0.role == .dump })
                let file = scratch.file(dump.name, of: manifest.id)
                let whole = try scratch.directory.read(file)
                var flipped = whole
                flipped[flipped.count / 2] ^= 0x10
                for bytes in [flipped, Array(whole.dropLast())] {
                    try scratch.directory.write(whole, to: file)
                    _ = try await scratch.verify(.checksum)
                    #expect(try scratch.entries().first?.state == .verified)
                    try scratch.directory.write(bytes, to: file)
                    let error = try await requireFailure { try await attempt(scratch, to: place) { $0.jobs = 2 } }
                    #expect(error.code == .objectDamaged, "\(error)")
                    let entry = try #require(try scratch.entries().first)
                    #expect(entry.state == .committed && entry.failedVerification?.reason == error.message)
                    #expect(try entry.failedVerification?.run == scratch.runs().last?.id)
                }
            }
        }

        @Test func `that finds damage by what makes no sense says so once the digest has proved it`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute("CREATE TABLE t AS SELECT generate_series(1, 600000) AS n", in: database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(try #require(database.database)) { $0.compression = .none }
                let file = scratch.file(try #require(manifest.artefact(.dump)).name, of: manifest.id)
                let whole = try scratch.directory.read(file)
                try await server.withUnusedName { place in
                    // The version in the archive's header, which the plan reads, and lengths of rows.
                    for (range, value) in [(6..<7, UInt8(99)), (whole.count / 8..<whole.count / 8 + 64, 0)] {
                        try scratch.directory.write(whole, to: file)
                        _ = try await scratch.verify(.checksum)
                        var changed = whole
                        changed.replaceSubrange(range, with: repeatElement(value, count: range.count))
                        try scratch.directory.write(changed, to: file)
                        let error = try await requireFailure { try await attempt(scratch, to: place) { $0.jobs = 2 } }
                        #expect(error.code == .objectDamaged && "\(error)".contains("SHA-256"), "\(error)")
                        let entry = try #require(try scratch.entries().first)
                        #expect(entry.failedVerification?.reason == error.message, "\(range)")
                    }
                }
            }
        }

        @Test(arguments: [Artefact.Role.dump, .globals])
        func `that does not understand what was captured takes no proof away`(_ role: Artefact.Role) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(try #require(database.database)) { $0.globals = true }
                let name = try #require(manifest.artefact(role)).name
                let content = try scratch.content(name, of: manifest)
                var newer = content
                newer[6] = 99
                let cases: [(content: [UInt8], code: ErrorCode)] =
                    role == .globals
                    ? [(content.dropLast(50), .dumpIncomplete)]
                    : [
                        (newer, .toolFailed), (content.dropLast(20), .dumpIncomplete),
                        (content.prefix(99).map { $0 }, .dumpIncomplete),
                    ]
                try await server.withUnusedName { place in
                    for (changed, code) in cases {
                        let last = try #require(try scratch.entries().first?.manifest)
                        _ = try scratch.replace(name, of: last, with: Array(changed))
                        _ = try await scratch.verify(.checksum)
                        let error = try await requireFailure { try await attempt(scratch, to: place) { $0.jobs = 2 } }
                        #expect(error.code == code && error.unchanged != nil, "\(error)")
                        if code == .toolFailed {
                            let deep = try await requireFailure { try await scratch.verify(.deep) }
                            #expect(deep.code == code, "\(deep)")
                        }
                        let entry = try #require(try scratch.entries().first)
                        #expect(entry.state == .verified && entry.failedVerification == nil, "\(error)")
                    }
                }
            }
        }

        @Test func `does not look at what it does not need`() async throws {
            // The roles of a shared cluster, which would be restored too, come and go.
            try await PostgresCluster.with { cluster in
                try await withOneRow(on: cluster) { server, scratch, place in
                    let name = try #require(try scratch.entries().first?.manifest?.databases?.first?.name)
                    let manifest = try await scratch.backup(name, "postgres") { $0.globals = true }
                    let other = try #require(manifest.databases?.first { $0.name == "postgres" })
                    for lost in ["RESTORE.md", other.artefact] {
                        try FileManager.default.removeItem(
                            atPath: scratch.directory.path(of: scratch.file(lost, of: manifest.id)))
                    }
                    try await attempt(scratch, to: place) { $0.database = name }
                    #expect(try await server.firstValue("SELECT n FROM t", in: place) == "1")
                    let second = place.with(database: "\(try #require(place.database))_2")
                    let error = try await requireFailure {
                        try await attempt(scratch, to: second) { $0.database = "postgres" }
                    }
                    #expect(error.code == .objectMissing && error.unchanged == "Nothing was changed.", "\(error)")
                }
            }
        }

        @Test func `whose commit of the roles has no answer does not say that there are none`() async throws {
            // A commit waits for a standby that never comes, but for those of sessions that say otherwise: all, at first.
            let settings = ["synchronous_standby_names": "nobody", "synchronous_commit": "local"]
            try await PostgresCluster.with(configuration: settings) { server in
                try await server.execute("CREATE ROLE owner")
                try await server.execute("CREATE DATABASE app OWNER owner")
                let scratch = try await ScratchRepository(for: server)
                _ = try await scratch.backup("app") { $0.globals = true }
                try await server.execute("DROP DATABASE app")
                try await server.execute("DROP ROLE owner")
                // From the next session on the commit is done, and waits for a standby before it is acknowledged.
                try await server.execute("ALTER ROLE postgres SET synchronous_commit = on")
                let all = server.settings.withoutDatabase
                let running = Task { try await attempt(scratch, to: all) }
                let ended = try await eventually {
                    try await server.firstValue(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "t"
                }
                #expect(ended)
                let error = try await requireFailure { try await running.value }
                #expect(error.unchanged?.contains("Whether the roles were created is not known") == true, "\(error)")
                #expect(try await server.firstValue("SELECT count(*) FROM pg_roles WHERE rolname = 'owner'") == "1")
            }
        }
    }
}
