import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// One at a time: each uses several processes and sessions of the shared server.
@Suite(.serialized) struct `Logical backup` {}

extension `Logical backup` {
    @Suite(.timeLimit(.minutes(30))) struct `What is captured` {
        @Test func `is a dump of each chosen database, row counts, globals and a guide`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { first in
                try await server.withDatabase { second in
                    try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: first)
                    let names = try [first, second].map { try #require($0.database) }
                    let scratch = try await ScratchRepository(for: server)
                    let manifest = try await scratch.backup(names[0], names[1]) { $0.globals = true }

                    #expect(
                        manifest.artefacts.map(\.role).sorted { $0.rawValue < $1.rawValue } == [
                            .dump, .dump, .globals, .guide, .tables,
                        ])
                    #expect(Set(manifest.databases?.map(\.name) ?? []) == Set(names))
                    #expect(manifest.totals.databases == 2 && manifest.totals.tables == 1 && manifest.totals.rows == 1)
                    #expect(manifest.totals.storedBytes == manifest.artefacts.reduce(0) { $0 + $1.storedBytes })
                    #expect(!manifest.passwordsMissing && manifest.warnings.isEmpty && manifest.kind == .logical)
                    #expect(manifest.phases.map(\.name) == ["connect", "globals", "dump", "commit"])
                    #expect(manifest.tools["pg_dump"]?.hasPrefix("\(manifest.server.major).") == true)
                    let snapshots = manifest.databases?.map(\.snapshot.clock) ?? []
                    #expect(manifest.recoveryPoint == snapshots.min())
                    #expect(manifest.startedAt <= manifest.finishedAt)

                    let entry = try #require(try scratch.entries().first)
                    #expect(entry.id == manifest.id && entry.state == .committed && entry.manifest == manifest)
                    let listing = BackupListing(entry)
                    #expect(listing.state == "committed" && listing.databases == 2 && listing.seconds ?? 0 > 0)
                    #expect(listing.storedBytes == manifest.totals.storedBytes && listing.bytesPerSecond ?? 0 > 0)
                    let run = try #require(try scratch.runs().first)
                    #expect(run.state == .succeeded && run.id == manifest.id && run.start?.operation == .backup)
                    #expect(run.end?.exitStatus == 0)
                    #expect(try scratch.repository.storage.info(scratch.repository.layout.running(manifest.id)) == nil)
                }
            }
        }

        @Test func `has the rows of every table as the server counts them, and the value of every sequence`()
            async throws
        {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await SampleDatabase.fill(server, database)
                let scratch = try await ScratchRepository(for: server)
                let expected = try await tables(in: database, of: server)
                for format in DumpFormat.allCases {
                    let manifest = try await scratch.backup(try #require(database.database)) { $0.format = format }
                    let artefact = try #require(manifest.artefact(.tables))
                    let record = try #require(manifest.databases?.first)
                    let lines = try StoredArtefact(artefact, of: manifest.id, in: scratch.repository)
                        .tableLines(of: record.oid)
                    let counted = lines.compactMap { line in line.table.map { ("\(line.schema).\($0)", line.rows) } }
                    #expect(Dictionary(uniqueKeysWithValues: counted) == expected, "\(format)")
                    #expect(lines.first { $0.sequence == "tickets" }?.lastValue == 110)
                    #expect(lines.contains { $0.sequence == "tasks_id_seq" && $0.lastValue == 3000 })
                    #expect(record.largeObjects == (format == .custom ? 1 : nil))
                    #expect(record.extensions.map(\.name) == ["pg_trgm", "plpgsql"])
                }
            }
        }

        /// Of ordinary tables whose data is dumped.
        private func tables(in database: ConnectionSettings, of server: PostgresCluster) async throws -> [String:
            Int64?]
        {
            let session = try await server.session(database)
            var found: [String: Int64?] = [:]
            let names = try await session.query(
                """
                SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
                """)
            for row in names.rows {
                let schema = row[0] ?? ""
                let table = row[1] ?? ""
                let count = try await session.query(
                    "SELECT count(*) FROM ONLY \(quoteIdentifier(schema)).\(quoteIdentifier(table))"
                ).firstValue
                found["\(schema).\(table)"] = count.flatMap { Int64($0) }
            }
            await session.close()
            return found
        }

        @Test func `shows the moment of the snapshot, not what was committed while pg_dump ran`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute("CREATE TABLE t AS SELECT generate_series(1, 7) AS n", in: database)
                let tools = try StagedTools(
                    for: server,
                    replacing: [
                        "pg_dump": """
                        for last; do :; done
                        "${real%/*}/psql" -X "$last" -c 'INSERT INTO t VALUES (8)' >/dev/null || exit 9
                        exec "$real" "$@"
                        """
                    ])
                let scratch = try await ScratchRepository(for: server)
                let before = try await server.firstValue("SELECT pg_current_wal_lsn()", in: database)
                let manifest = try await scratch.backup(try #require(database.database), bin: tools.directory) {
                    $0.counts = .server
                }
                #expect(try await server.firstValue("SELECT count(*) FROM t", in: database) == "8")
                #expect(manifest.totals.rows == 7)
                let point = try #require(manifest.databases?.first?.snapshot)
                #expect(
                    point.timeline == 1 && before.flatMap { LogSequenceNumber(parsing: $0) } ?? point.lsn <= point.lsn)
                #expect(manifest.startedAt.since(point.clock) < .seconds(1) && point.clock <= manifest.finishedAt)
            }
        }

        @Test func `comes with what pg_dump said of it although it succeeded, without statements and secrets`()
            async throws
        {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                let said = """
                    echo 'pg_dump: warning: there are circular foreign-key constraints among these tables:' >&2
                    echo 'pg_dump: detail: t' >&2; echo 'Command was: CREATE t' >&2; echo 'pg_dump: hint: hunter2' >&2
                    exec "$real" "$@"
                    """
                let tools = try StagedTools(
                    for: server,
                    replacing: [
                        "pg_dump": said,
                        "pg_dumpall": "i=0; while [ $i -lt 999 ]; do i=$((i+1)); echo a long line $i >&2; done\n"
                            + #"exec "$real" "$@""#,
                    ])
                let connection = try ConnectionSettings(
                    parsing: "host=\(server.server.directory) user=postgres dbname=postgres password=hunter2")
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name, bin: tools.directory, as: connection) {
                    $0.globals = true
                }
                #expect(manifest.warnings.count == 2)
                #expect(manifest.warnings.first?.hasPrefix("pg_dumpall said: … ") == true, "\(manifest.warnings)")
                #expect(manifest.warnings.first?.hasSuffix("a long line 999") == true)
                #expect(manifest.warnings.allSatisfy { $0.utf8.count < 1200 })
                #expect(
                    manifest.warnings.last
                        == "pg_dump of '\(name)' said: pg_dump: warning: there are circular foreign-key constraints "
                        + "among these tables:\npg_dump: detail: t\npg_dump: hint: ***")
            }
        }

        @Test func `is not cut short by the server's time-outs`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                try await server.execute("ALTER DATABASE \(name) SET idle_in_transaction_session_timeout = 1")
                try await server.execute("ALTER DATABASE \(name) SET lock_timeout = 1")
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name)
                #expect(manifest.totals.rows == 1)
            }
        }

        @Test func `names the manifest of the backup before it, and fits 64 KiB with very many settings`() async throws
        {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute(
                    """
                    DO $do$ BEGIN FOR n IN 1..30 LOOP
                        EXECUTE format('ALTER DATABASE \(name) SET app.s%s = %L', n, repeat('x', 3000));
                    END LOOP; END $do$
                    """)
                let scratch = try await ScratchRepository(for: server)
                let first = try await scratch.backup(name)
                let second = try await scratch.backup(name)
                #expect(first.previousManifest == nil)
                let stored = try #require(
                    try scratch.repository.storage.readAll(
                        scratch.repository.layout.manifest(first.id), limit: BackupSet.largestManifest))
                #expect(second.previousManifest == SHA256.digest(of: stored.span))
                #expect(first.databases == nil && first.artefact(.databases)?.name == "databases.jsonl.zst")
                let (databases, artefacts) = try Catalogue(scratch.repository).databases(of: first)
                #expect(databases.map(\.name) == [name] && databases.first?.properties.settings.count == 30)
                #expect(artefacts.contains { $0.role == .dump })
                #expect(try await scratch.verify(.checksum).allSatisfy(\.succeeded))
                try await server.withUnusedName { place in
                    try await scratch.restore(to: place) { $0.backup = first.id.text }
                    let count = "SELECT count(*) FROM pg_db_role_setting, unnest(setconfig) WHERE setdatabase = "
                    let oid = "(SELECT oid FROM pg_database WHERE datname = current_database())"
                    #expect(try await server.firstValue(count + oid, in: place) == "30")
                }
            }
        }
    }

    @Suite(.timeLimit(.minutes(30))) struct `The choice of databases` {
        private let all = ["app", "app_test", "audit", "postgres"].enumerated().map {
            DatabaseEntry(oid: UInt32($0.offset), name: $0.element, sizeBytes: nil)
        }

        private func choose(_ databases: BackupPolicy.DatabaseChoice, excluding exclude: [String] = []) throws
            -> [String]
        {
            var settings = BackupPolicy.LogicalSettings()
            settings.databases = databases
            settings.exclude = exclude
            return try DumpSource.choose(settings, among: all).map(\.name)
        }

        @Test func `takes names literally, leaves out what is excluded, and is never empty`() throws {
            #expect(try choose(.all) == ["app", "app_test", "audit", "postgres"])
            #expect(try choose(.all, excluding: ["postgres", "ap"]) == ["app", "app_test", "audit"])
            #expect(try choose(.named(["app"])) == ["app"])
            #expect(try choose(.named(["audit", "app"]), excluding: ["app"]) == ["audit"])
            let none = #expect(throws: BackupError.self) { try choose(.named(["app"]), excluding: ["app"]) }
            #expect(none?.code == .settings && none?.message == "No database is left to dump.")
            let unknown = #expect(throws: BackupError.self) { try choose(.named(["app", "App"])) }
            #expect(unknown?.code == .serverRefused)
            #expect(unknown?.message.contains("'App'") == true && unknown?.message.contains("'app'") == false)
            #expect(unknown?.reason?.contains("app_test") == true)
        }

        @Test func `all has neither templates nor what takes no connections`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { closed in
                let name = try #require(closed.database)
                let session = try await server.session()
                #expect(try await session.databases().contains { $0.name == name })
                try await session.execute("ALTER DATABASE \(name) ALLOW_CONNECTIONS false")
                let names = try await session.databases().map(\.name)
                #expect(!names.contains(name) && names.contains("postgres"))
                #expect(!names.contains { $0.hasPrefix("template") })
                await session.close()
            }
        }
    }

    @Suite(.timeLimit(.minutes(30))) struct `The format` {
        struct Choice: Sendable, CustomTestStringConvertible {
            var format: DumpFormat
            var compression: Compression
            var name: String
            var reader: String
            var testDescription: String { "\(format), \(compression)" }

            static let all = [
                Choice(format: .custom, compression: .gzip(level: 1), name: "dump.gz", reader: "gunzip -c"),
                Choice(format: .custom, compression: .zstd(level: 3), name: "dump.zst", reader: "zstd -dcq"),
                Choice(format: .custom, compression: .none, name: "dump", reader: "cat"),
                Choice(format: .plain, compression: .gzip(level: 6), name: "sql.gz", reader: "gunzip -c"),
                Choice(format: .plain, compression: .zstd(level: 1), name: "sql.zst", reader: "zstd -dcq"),
                Choice(format: .plain, compression: .none, name: "sql", reader: "cat"),
            ]
        }

        @Test(arguments: Choice.all)
        func `is read by stock tools, proved by its digests, and restored whole`(_ choice: Choice) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await SampleDatabase.fill(server, database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(try #require(database.database)) {
                    $0.format = choice.format
                    $0.compression = choice.compression
                    $0.counts = .server
                }
                let record = try #require(manifest.databases?.first)
                let artefact = try #require(manifest.artefact(.dump))
                #expect(artefact.name == "db-\(record.oid).\(choice.name)" && record.artefact == artefact.name)
                let path = scratch.directory.path(of: scratch.file(artefact.name, of: manifest.id))
                let stock = try await runScript(
                    "\(choice.reader) \"$1\" | sha256sum; sha256sum < \"$1\"; stat -c %s \"$1\"", path)
                #expect(
                    stock.output.split(separator: "\n").map { $0.prefix { $0 != " " } } == [
                        "\(artefact.contentSHA256)", "\(artefact.volumes[0].sha256)", "\(artefact.storedBytes)",
                    ])

                try await server.withUnusedName { place in
                    let result = try await scratch.restore(to: place)
                    #expect(
                        result.databases.first?.rows == record.rows && result.databases.first?.tables == record.tables)
                    let origin = try await SampleDatabase.contents(server, database)
                    #expect(try await SampleDatabase.contents(server, place) == origin)
                    #expect(origin["schema"] == "\(record.schemaFingerprint)")
                    let analyzed = "SELECT reltuples FROM pg_class WHERE oid = 'tasks'::regclass"
                    #expect(try await server.firstValue(analyzed, in: place) == "3000")
                    let inherited = "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'events' AND inherited"
                    #expect(try await server.firstValue(inherited, in: place) == "t")
                }
                #expect(try scratch.entries().first?.state == .restored)
                #expect(try scratch.runs().map(\.state) == [.succeeded, .succeeded])
            }
        }
    }
}
