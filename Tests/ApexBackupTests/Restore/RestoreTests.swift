import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// One at a time: each uses several processes and sessions of the shared server.
@Suite(.serialized) struct `Logical restore` {}

extension `Logical restore` {
    @Suite(.timeLimit(.minutes(30))) struct `The choice of what goes where` {
        private let properties = DatabaseProperties(
            owner: "postgres", encoding: "UTF8", collate: "C", ctype: "C", localeProvider: "c", locale: nil,
            icuRules: nil, collationVersion: nil, tablespace: "pg_default", connectionLimit: -1, comment: nil,
            grants: nil, settings: [])

        private func choose(
            _ names: [String], database: String? = nil, databases: [String]? = nil, into target: String?
        ) throws -> [String] {
            let records = names.enumerated().map { index, name in
                DatabaseRecord(
                    oid: UInt32(index), name: name, properties: properties,
                    snapshot: SnapshotPoint(
                        clock: Timestamp(microseconds: 0), lsn: LogSequenceNumber(position: 1),
                        timeline: 1),
                    extensions: [], schemaFingerprint: SHA256Digest(bytes: Array(repeating: 0, count: 32)),
                    format: .custom, artefact: "db-\(index).dump.gz", contentBytes: 0, tables: 0, rows: 0,
                    largeObjects: nil, seconds: 0)
            }
            var request = RestoreRequest()
            request.database = database
            request.databases = databases
            return try RestorePlanning.choose(
                among: records, request: request, into: target, newestHolding: { _ in nil }
            ).map { "\($0.source.name) → \($0.target)" }
        }

        @Test func `is one for a URL with a name: the one asked for, of the same name, or the only one`() throws {
            let several = ["app", "app_test", "postgres"]
            #expect(try choose(several, database: "app_test", into: "check") == ["app_test → check"])
            #expect(try choose(several, database: "app_test", into: "app") == ["app_test → app"])
            #expect(try choose(several, into: "app") == ["app → app"])
            #expect(try choose(several, into: "app_test") == ["app_test → app_test"])
            #expect(try choose(["app", "postgres"], into: "check") == ["app → check"])
            #expect(try choose(["postgres"], into: "check") == ["postgres → check"])
            #expect(try choose(["app"], into: "check") == ["app → check"])
        }

        @Test func `is all under their own names for a URL without one, or those asked for`() throws {
            let several = ["app", "app_test", "postgres"]
            #expect(try choose(several, into: nil) == several.map { "\($0) → \($0)" })
            #expect(try choose(several, database: "app", into: nil) == ["app → app"])
            #expect(
                try choose(several, databases: ["postgres", "app"], into: nil) == ["app → app", "postgres → postgres"])
        }

        @Test func `is refused with a list when it is not clear`() {
            let unclear = #expect(throws: BackupError.self) { try choose(["app", "app_test"], into: "App") }
            #expect(unclear?.code == .usage && unclear?.reason == "it holds 'app', 'app_test'")
            #expect(unclear?.remedy.contains("--database") == true && unclear?.unchanged == "Nothing was changed.")
            let unknown = #expect(throws: BackupError.self) { try choose(["app"], database: "ap", into: "x") }
            #expect(unknown?.code == .usage && unknown?.message.contains("'ap'") == true)
            #expect(throws: BackupError.self) { try choose(["app"], databases: ["app", "lost"], into: nil) }
        }
    }

    @Suite(.timeLimit(.minutes(30))) struct `A plan` {
        @Test func `says what will be done, from what, and changes nothing`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                let name = try #require(database.database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name)
                try await server.withUnusedName { place in
                    let before = try scratch.directory.contents()
                    let (_, prepared) = try await scratch.planRestore(to: place) { $0.jobs = 2 }
                    await prepared.close()
                    let plan = prepared.plan
                    #expect(plan.backup == manifest.id && plan.recoveryPoint == manifest.recoveryPoint)
                    #expect(plan.ageSeconds > 0 && plan.moment == nil && plan.estimatedSeconds == nil)
                    #expect(plan.sourceVersion == plan.targetVersion && plan.rolesToCreate.isEmpty)
                    #expect(plan.target == place.redacted && plan.warnings.isEmpty)
                    let entry = try #require(plan.databases.first)
                    #expect(entry.source == name && entry.target == place.database && entry.action == .create)
                    #expect(entry.feed == .spooled && entry.jobs == 2 && entry.rows == 1)
                    #expect(plan.spoolBytes == entry.contentBytes && plan.databases.count == 1)
                    #expect(try scratch.directory.contents() == before)
                    let databases = try await server.databases()
                    #expect(!databases.contains(entry.target))

                    let (_, streamed) = try await scratch.planRestore(to: place) { $0.jobs = 1 }
                    await streamed.close()
                    #expect(streamed.plan.databases.first?.feed == .streamed && streamed.plan.spoolBytes == 0)
                    #expect(streamed.plan.warnings.contains { $0.contains("restored by one job") })
                    try await scratch.restore(to: place) { $0.jobs = 1 }
                    #expect(try await server.waitUntilUnused(place))
                    try await scratch.restore(to: place) {
                        $0.jobs = 2
                        $0.overwrites = true
                    }
                    #expect(try await server.waitUntilUnused(place))
                    let (_, estimated) = try await scratch.planRestore(to: place) { $0.overwrites = true }
                    await estimated.close()
                    #expect(estimated.plan.estimatedSeconds ?? 0 > 0)
                    #expect(try !scratch.directory.contents().contains { $0.contains("spool") })
                }
            }
        }

        @Test func `is refused before anything is created when the target lacks an extension`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(try #require(database.database))
                _ = try scratch.rewrite(manifest) {
                    $0.databases?[0].extensions.append(ExtensionRecord(name: "no_such_extension", version: "1"))
                }
                try await server.withUnusedName { place in
                    let error = try await requireFailure { try await scratch.restore(to: place) }
                    #expect(error.code == .targetUnsuitable && error.message.contains("no_such_extension"))
                    #expect(error.unchanged == "Nothing was changed.")
                    let databases = try await server.databases()
                    #expect(!databases.contains(place.database ?? ""))
                }
            }
        }

        @Test func `is refused when no program here reads a dump of that version`() async throws {
            let server = try await PostgresCluster.shared()
            let scratch = try await ScratchRepository(for: server)
            let manifest = try await scratch.backup("postgres")
            _ = try scratch.rewrite(manifest) { $0.server.versionNumber = 990_001 }
            let error = try await requireFailure {
                try await scratch.planRestore(to: server.settings.with(database: "nowhere"))
            }
            #expect(error.code == .toolTooOld, "\(error)")
            let (_, prepared) = try await {
                _ = try scratch.rewrite(manifest) { $0.server.versionNumber = manifest.server.versionNumber }
                return try await scratch.planRestore(to: server.settings.with(database: "nowhere"))
            }()
            await prepared.close()
            #expect(prepared.plan.databases.first?.action == .create)
        }

        @Test func `needs a backup`() async throws {
            let server = try await PostgresCluster.shared()
            let scratch = try await ScratchRepository(for: server)
            let none = try await requireFailure { try await scratch.restore(to: server.settings) }
            #expect(none.code == .backupMissing && none.remedy.contains("apex-backup backup"))
            let unknown = try await requireFailure {
                try await scratch.restore(to: server.settings) { $0.backup = "20250101T000000Z-0000" }
            }
            #expect(unknown.code == .backupMissing && unknown.message.contains("20250101T000000Z-0000"))
        }

        @Test func `for a moment takes the newest backup before it, and says what the difference is`() async throws {
            let server = try await PostgresCluster.shared()
            let scratch = try await ScratchRepository(for: server)
            let first = try await scratch.backup("postgres")
            let second = try await scratch.backup("postgres")
            let third = try await scratch.backup("postgres")
            func plan(_ moment: RestoreMoment, nearest: Bool) async throws -> RestorePlan {
                let (_, prepared) = try await scratch.planRestore(to: server.settings.with(database: "nowhere")) {
                    $0.moment = moment
                    $0.acceptsNearest = nearest
                }
                await prepared.close()
                return prepared.plan
            }
            let between = third.recoveryPoint.advanced(by: .milliseconds(-1))
            let chosen = try await plan(.time(between), nearest: true)
            #expect(chosen.backup == second.id && chosen.moment == between)
            #expect(chosen.momentDifferenceSeconds == between.since(second.recoveryPoint).seconds)
            let refused = try await requireFailure { try await plan(.time(between), nearest: false) }
            #expect(refused.code == .momentUnreachable && refused.remedy.contains("--nearest"))
            #expect(refused.reason?.contains(second.id.text) == true)
            #expect(refused.reason?.contains("\(third.recoveryPoint)") == true, "the next one is named")
            #expect(try await plan(.time(first.recoveryPoint), nearest: false).backup == first.id)
            #expect(try await plan(.time(third.finishedAt.advanced(by: .seconds(9))), nearest: true).backup == third.id)
            #expect(try await plan(.latest, nearest: false).backup == third.id)
            let early = first.recoveryPoint.advanced(by: .milliseconds(-1))
            let nothing = try await requireFailure { try await plan(.time(early), nearest: true) }
            #expect(nothing.code == .momentUnreachable && nothing.remedy.contains("\(first.recoveryPoint)"))
            for moment in [RestoreMoment.immediate, .transaction(7), .restorePoint("x")] {
                let error = try await requireFailure { try await plan(moment, nearest: true) }
                #expect(error.code == .momentUnreachable)
            }
        }
    }

    @Suite(.timeLimit(.minutes(30))) struct `A restore that fails` {
        struct Fault: Sendable, CustomTestStringConvertible {
            var what: String
            var tool: String
            var format = DumpFormat.custom
            var jobs = 1
            var script: String
            var code = ErrorCode.restoreFailed
            var says: String
            var testDescription: String { "\(tool), \(jobs) jobs: \(what)" }

            static let all = [
                Fault(
                    what: "exit 1 after all was done", tool: "pg_restore", script: #""$real" "$@"; exit 1"#,
                    says: "pg_restore failed with exit status 1"),
                Fault(
                    what: "exit 1 after all was done", tool: "pg_restore", jobs: 2, script: #""$real" "$@"; exit 1"#,
                    says: "pg_restore failed with exit status 1"),
                Fault(
                    what: "killed", tool: "pg_restore", script: "head -c 5000 >/dev/null; kill -KILL $$",
                    says: "pg_restore was ended by SIGKILL"),
                Fault(
                    what: "exit 0 without the data", tool: "pg_restore",
                    script: #""$real" --schema-only "$@"; cat > /dev/null; exit 0"#, code: .countMismatch,
                    says: "captured"),
                Fault(
                    what: "killed", tool: "psql", format: .plain, script: "head -c 5000 >/dev/null; kill -KILL $$",
                    says: "psql was ended by SIGKILL"),
                Fault(
                    what: "an error of the server", tool: "psql", format: .plain,
                    script: #"sed 's/^SET default_table_access_method.*/SELECT 1\/0;/' | "$real" "$@""#,
                    says: "psql failed with exit status 3"),
                Fault(
                    what: "a row lost", tool: "pg_restore",
                    script:
                        #""$real" "$@" && for last; do :; done && "${real%/*}/psql" -Xq "$last" -c 'DELETE FROM t WHERE n = 7'"#,
                    code: .countMismatch, says: #""public"."t": captured 2000, restored 1999"#),
                Fault(
                    what: "a table emptied", tool: "psql", format: .plain,
                    script: #""$real" "$@" && for last; do :; done && "$real" -Xq "$last" -c 'TRUNCATE t'"#,
                    code: .countMismatch, says: #""public"."t": captured 2000, restored 0"#),
            ]
        }

        @Test(arguments: Fault.all)
        func `leaves no database behind, or the old one as it was`(_ fault: Fault) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(
                    "CREATE TABLE t AS SELECT generate_series(1, 2000) AS n, repeat('x', 20) AS filler", in: database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(try #require(database.database)) { $0.format = fault.format }
                let tools = try StagedTools(for: server, replacing: [fault.tool: fault.script])
                try await server.withUnusedName { place in
                    let name = try #require(place.database)
                    let fresh = try await requireFailure {
                        try await scratch.restore(to: place) {
                            $0.bin = tools.directory
                            $0.jobs = fault.jobs
                        }
                    }
                    #expect(fresh.code == fault.code && "\(fresh)".contains(fault.says), "\(fresh)")
                    #expect(fresh.unchanged?.contains("was dropped. Nothing else was changed.") == true)
                    var databases = try await server.databases()
                    #expect(!databases.contains { $0.hasPrefix(name) })

                    try await server.execute("CREATE DATABASE \(name) TEMPLATE template0")
                    try await server.execute("CREATE TABLE precious AS SELECT 1 AS n", in: place)
                    #expect(try await server.waitUntilUnused(place))
                    let over = try await requireFailure {
                        try await scratch.restore(to: place) {
                            $0.bin = tools.directory
                            $0.jobs = fault.jobs
                            $0.overwrites = true
                        }
                    }
                    #expect(over.code == fault.code && over.unchanged?.contains("is as it was") == true, "\(over)")
                    databases = try await server.databases()
                    #expect(databases.filter { $0.hasPrefix(name) } == [name])
                    #expect(try await server.firstValue("SELECT n FROM precious", in: place) == "1")
                }
                #expect(try scratch.entries().first?.state == .committed)
                let runs = try scratch.runs()
                #expect(runs.map(\.state) == [.succeeded, .failed, .failed])
                #expect(runs.first?.id == manifest.id && runs.last?.start?.operation == .restore)
            }
        }

        @Test func `to create its database does not drop one that somebody else made meanwhile`() async throws {
            let server = try await PostgresCluster.shared()
            let scratch = try await ScratchRepository(for: server)
            _ = try await scratch.backup("postgres")
            try await server.withUnusedName { place in
                let (restore, prepared) = try await scratch.planRestore(to: place)
                try await server.execute("CREATE DATABASE \(try #require(place.database)) TEMPLATE template0")
                try await server.execute("CREATE TABLE precious AS SELECT 1 AS n", in: place)
                let error = try await requireFailure { try await onOwnThreads { try await restore.run(prepared) } }
                await prepared.close()
                #expect("\(error)".contains("already exists"), "\(error)")
                #expect(try await server.firstValue("SELECT n FROM precious", in: place) == "1")
            }
        }
    }
}
