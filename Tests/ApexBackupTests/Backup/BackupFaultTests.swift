import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical backup` {
    @Suite(.timeLimit(.minutes(30))) struct `A backup fails and leaves none` {
        /// One way in which one of PostgreSQL's programs can go wrong.
        struct Fault: Sendable, CustomTestStringConvertible {
            var what: String
            var tool = "pg_dump"
            var format = DumpFormat.custom
            var script: String
            var codes: Set<ErrorCode> = [.toolFailed]
            var says = ""
            var testDescription: String { "\(tool), \(format): \(what)" }

            static let all = [
                Fault(
                    what: "killed mid-way", script: #""$real" "$@" | head -c 20000; kill -KILL $$"#,
                    says: "pg_dump was ended by SIGKILL"),
                Fault(
                    what: "killed mid-way", format: .plain, script: #""$real" "$@" | head -c 20000; kill -KILL $$"#,
                    says: "pg_dump was ended by SIGKILL"),
                Fault(
                    what: "exit 1 after all output", script: #""$real" "$@"; echo "out of luck" >&2; exit 1"#,
                    says: "pg_dump failed with exit status 1"),
                Fault(
                    what: "exit 1 after all output", format: .plain, script: #""$real" "$@"; exit 1"#,
                    says: "pg_dump failed with exit status 1"),
                Fault(
                    what: "exit 0 without its trailer", format: .plain,
                    script: #""$real" "$@" | sed '/^-- PostgreSQL database dump complete/d'"#, codes: [.dumpIncomplete],
                    says: "database dump complete"),
                Fault(
                    what: "exit 0, cut short", script: #""$real" "$@" | head -c 20000"#,
                    codes: [.dumpIncomplete, .toolFailed]),
                Fault(
                    what: "exit 0, cut short", format: .plain, script: #""$real" "$@" | head -c 20000"#,
                    codes: [.dumpIncomplete]),
                Fault(
                    what: "exit 0, the last byte missing", script: #""$real" "$@" | head -c -1"#,
                    codes: [.dumpIncomplete, .toolFailed]),
                Fault(what: "exit 0 without output", script: "exit 0", codes: [.dumpIncomplete, .toolFailed]),
                Fault(what: "exit 0 with other output", script: "echo hello", codes: [.dumpIncomplete, .toolFailed]),
                Fault(
                    what: "cannot start", script: "exec /nowhere/pg_dump", says: "pg_dump failed with exit status 127"),
                Fault(
                    what: "exit 0 without its trailer", tool: "pg_dumpall",
                    script: #""$real" "$@" | sed '/cluster dump complete/d'"#, codes: [.dumpIncomplete],
                    says: "pg_dumpall ended without its last line"),
                Fault(
                    what: "killed", tool: "pg_dumpall", script: #""$real" "$@" | head -c 100; kill -KILL $$"#,
                    says: "pg_dumpall was ended by SIGKILL"),
                Fault(
                    what: "rejects the dump after reading it", tool: "pg_restore",
                    script: #"cat > /dev/null; echo "bad block" >&2; exit 1"#,
                    says: "pg_restore failed with exit status 1"),
                Fault(
                    what: "killed", tool: "pg_restore", script: "head -c 1000 > /dev/null; kill -KILL $$",
                    says: "pg_restore was ended by SIGKILL"),
            ]
        }

        /// A database of 3000 rows, more than any fault lets through, and a repository for it.
        private func withRows(_ body: (PostgresCluster, String, ScratchRepository) async throws -> Void) async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute(
                    "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 3000) AS n", in: database)
                try await body(server, try #require(database.database), try await ScratchRepository(for: server))
            }
        }

        @Test(arguments: Fault.all)
        func `when a program goes wrong, whatever the pipe's other end says`(_ fault: Fault) async throws {
            try await withRows { server, name, scratch in
                let earlier = try await scratch.backup("postgres")
                let tools = try StagedTools(for: server, replacing: [fault.tool: fault.script])
                let error = await #expect(throws: BackupError.self) {
                    try await scratch.backup(name, bin: tools.directory) {
                        $0.format = fault.format
                        $0.globals = fault.tool == "pg_dumpall"
                    }
                }
                let told = try #require(error)
                #expect(fault.codes.contains(told.code), "\(told)")
                #expect("\(told)".contains(fault.says), "\(told)")
                try await expectNoBackup(besides: earlier, in: scratch, because: told)
            }
        }

        /// The run is recorded with its error, nothing of it stays, and the earlier backup is sound.
        private func expectNoBackup(
            besides earlier: BackupManifest, in scratch: ScratchRepository, because error: BackupError
        ) async throws {
            #expect(error.unchanged == "No backup was committed; earlier backups were not touched.")
            #expect(try scratch.entries().map(\.id) == [earlier.id])
            let run = try #require(try scratch.runs().last)
            #expect(run.state == .failed)
            #expect(run.end?.error == error)
            #expect(run.end?.exitStatus == error.code.exitStatus)
            let left = try scratch.directory.contents().filter { $0.contains("backups/\(run.id)/") }
            #expect(left.isEmpty)
            #expect(try await scratch.verify(.checksum).map(\.succeeded) == [true])
        }

        @Test func `after all databases were tried, with the errors of each that failed`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { first in
                try await server.withDatabase { second in
                    let names = try [first, second].map { try #require($0.database) }
                    let tools = try StagedTools(
                        for: server,
                        replacing: [
                            "pg_dump": #"""
                            for last; do :; done
                            echo "$last" >> "$stage/tried"
                            case $last in *"dbname='postgres'"*) exec "$real" "$@" ;; *) echo "cannot: $last" >&2; exit 1 ;; esac
                            """#
                        ])
                    let scratch = try await ScratchRepository(for: server)
                    let earlier = try await scratch.backup("postgres")
                    let error = try await requireFailure {
                        try await scratch.backup(names[0], names[1], "postgres", bin: tools.directory)
                    }
                    #expect(error.code == .toolFailed && error.message == "2 of 3 databases could not be dumped.")
                    for name in names {
                        #expect(
                            error.reason?.contains("'\(name)'") == true && error.reason?.contains("cannot: ") == true)
                    }
                    #expect(tools.text("tried")?.split(separator: "\n").count == 3)
                    try await expectNoBackup(besides: earlier, in: scratch, because: error)

                    let one = try await requireFailure {
                        try await scratch.backup(names[0], "postgres", bin: tools.directory)
                    }
                    #expect("\(one)".contains("'\(names[0])'"), "\(one)")
                    #expect(tools.text("tried")?.split(separator: "\n").count == 5)
                    try await expectNoBackup(besides: earlier, in: scratch, because: one)
                }
            }
        }

        @Test func `when the rows captured are not those that the server counts`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute("CREATE TABLE t AS SELECT generate_series(100, 120) AS n", in: database)
                let scratch = try await ScratchRepository(for: server)
                let earlier = try await scratch.backup("postgres")
                let tools = try StagedTools(for: server, replacing: ["pg_dump": #""$real" "$@" | sed '/^110$/d'"#])
                let error = try await requireFailure {
                    try await scratch.backup(name, bin: tools.directory) {
                        $0.format = .plain
                        $0.counts = .server
                    }
                }
                #expect(error.code == .countMismatch && error.message.contains(name))
                #expect(error.reason == #""public"."t": captured 20, server 21"#)
                try await expectNoBackup(besides: earlier, in: scratch, because: error)
            }
        }

        @Test func `when the session that holds the snapshot ends before pg_dump does`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let scratch = try await ScratchRepository(for: server)
                let earlier = try await scratch.backup("postgres")
                let tools = try StagedTools(
                    for: server,
                    replacing: [
                        "pg_dump": """
                        "$real" "$@" || exit 9
                        for last; do :; done
                        "${real%/*}/psql" -X "$last" >&2 -c "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name = 'apex-backup snapshot'"
                        """
                    ])
                let error = try await requireFailure {
                    try await scratch.backup(try #require(database.database), bin: tools.directory)
                }
                #expect(error.code == .serverConnectionLost, "\(error)")
                try await expectNoBackup(besides: earlier, in: scratch, because: error)
            }
        }

        @Test func `when the server restarts mid-dump`() async throws {
            try await PostgresCluster.with { server in
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n")
                let scratch = try await ScratchRepository(for: server)
                let earlier = try await scratch.backup("postgres")
                let lock = try await server.session()
                try await lock.execute("BEGIN; LOCK TABLE t")
                let holder = try #require(try await lock.query("SELECT pg_backend_pid()").firstValue)
                let run = Task { try await scratch.backup("postgres") }
                #expect(try await eventually { try await server.isWaiting(in: "postgres") })
                // The death of one server process makes the server restart all of them.
                try await runScript("kill -KILL \"$1\"", holder)
                let error = try await requireFailure { try await run.value }
                #expect([.toolFailed, .serverConnectionLost].contains(error.code), "\(error)")
                #expect(await eventually { (try? await server.firstValue("SELECT 1")) == "1" })
                try await expectNoBackup(besides: earlier, in: scratch, because: error)
                await lock.close()
                #expect(try await scratch.backup("postgres").totals.rows == 1)
            }
        }

        @Test func `when the disk is full, and the earlier backup still restores`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.withDatabase { small in
                    try await withSmallDisk(megabytes: 2) { disk in
                        try await server.execute(
                            """
                            CREATE TABLE t AS SELECT gen_random_uuid() || md5(random()::text) AS x
                            FROM generate_series(1, 100000)
                            """, in: database)
                        try await server.execute("CREATE TABLE s AS SELECT 1 AS n", in: small)
                        // No heartbeat is due that would find the disk full, too.
                        let scratch = try await ScratchRepository(for: server, in: disk, leaseExpiry: .seconds(3600))
                        let earlier = try await scratch.backup(try #require(small.database))
                        let error = try await requireFailure {
                            try await scratch.backup(try #require(database.database))
                        }
                        #expect(error.code == .repositoryFull, "\(error)")
                        #expect(error.remedy.contains("prune"))
                        try await expectNoBackup(besides: earlier, in: scratch, because: error)
                        try await server.withUnusedName { place in
                            let restored = try await scratch.restore(to: place)
                            #expect(restored.databases.first?.rows == 1)
                        }
                    }
                }
            }
        }

        @Test func `with verify_dump list no pg_restore reads it, and a dump that is cut short is still found`()
            async throws
        {
            try await withRows { server, name, scratch in
                let idle = try StagedTools(for: server, replacing: ["pg_restore": "exit 1"])
                let manifest = try await scratch.backup(name, bin: idle.directory) { $0.verifyDump = .list }
                #expect(manifest.totals.rows == 3000)
                let cut = try StagedTools(for: server, replacing: ["pg_dump": #""$real" "$@" | head -c 20000"#])
                let error = try await requireFailure {
                    try await scratch.backup(name, bin: cut.directory) { $0.verifyDump = .list }
                }
                #expect(error.code == .dumpIncomplete)
            }
        }

        @Test func `when somebody keeps a table locked for longer than it waits`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                try await server.execute("CREATE TABLE held (n int)", in: database)
                let holder = try await server.session(database)
                try await holder.execute("BEGIN; LOCK TABLE held")
                let scratch = try await ScratchRepository(for: server)
                var settings = BackupPolicy.LogicalSettings()
                settings.databases = .named([try #require(database.database)])
                var request = LogicalBackup.Request(settings: settings, jobs: 1, bin: server.tools.directory)
                request.lockWait = .milliseconds(100)
                let backup = LogicalBackup(
                    repository: scratch.repository, connection: server.settings, request: request)
                let error = try await requireFailure { try await onOwnThreads { try await backup.run() } }
                await holder.close()
                #expect(error.code == .toolFailed && error.reason?.contains("held") == true, "\(error)")
                #expect(error.remedy.contains("pg_locks"))
                #expect(try scratch.entries().isEmpty)
            }
        }

        @Test func `and a full directory for temporary files is not told as a full repository`() async throws {
            try await withSmallDisk(megabytes: 1) { disk in
                let spool = Spool(directory: disk.path(of: "repository"), environment: BackupEnvironment())
                defer { spool.remove() }
                let error = try await requireFailure { try spool.write(String(repeating: "x", count: 4 << 20)) }
                #expect(error.code == .storageFailed && error.remedy.contains("TMPDIR"), "\(error)")
            }
        }

        /// Mounts a file system of its own in a temporary directory for `body`, and unmounts it afterwards.
        @Test func `whichever write of it fails, and the next one succeeds`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                // No heartbeat is due, which would be a write that comes or not.
                let scratch = try await ScratchRepository(for: server, leaseExpiry: .seconds(3600))
                var committed: [RunID] = []
                var failures = 0
                for number in 1... {
                    let faulty = FaultyStorage(scratch.repository.storage, failing: .publish, number: number)
                    let repository = try scratch.wrapping { _ in faulty }
                    do {
                        // Only the records around a backup may fail without failing it.
                        committed.append(try await scratch.backup(name, in: repository) { $0.globals = true }.id)
                    } catch let error as BackupError {
                        failures += 1
                        #expect(
                            error.code == FaultyStorage.fault.code
                                && error.message.hasSuffix(FaultyStorage.fault.message)
                                && error.reason == FaultyStorage.fault.reason, "write \(number): \(error)")
                    }
                    #expect(try scratch.entries().compactMap { $0.manifest?.id } == committed, "write \(number)")
                    // Where it was the release that failed, the next one would wait for the lease.
                    let epoch = try Lease.newestEpoch(of: .logical, in: scratch.repository)
                    if epoch > 0 {
                        try Lease(repository: scratch.repository, kind: .logical, epoch: epoch).release()
                    }
                    guard faulty.hasFailed else { break }
                    try #require(number < 40)
                }
                // The last one met no fault; the lease and the end of the run are recorded beside the backup.
                #expect(failures >= 1 && committed.count >= 2)
                #expect(try await scratch.verify(.checksum).allSatisfy(\.succeeded))
            }
        }

        @Test func `when it is asked to stop, at once and with its children`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                let scratch = try await ScratchRepository(for: server)
                let lock = try await server.session(database)
                try await lock.execute("BEGIN; LOCK TABLE t")
                let tools = try StagedTools(
                    for: server, replacing: ["pg_dump": #"echo $$ > "$stage/pid"; exec "$real" "$@""#])
                var settings = BackupPolicy.LogicalSettings()
                settings.databases = .named([name])
                let backup = LogicalBackup(
                    repository: scratch.repository, connection: server.settings,
                    request: LogicalBackup.Request(settings: settings, bin: tools.directory))
                let task = Task(executorPreference: ThreadedExecutor.shared) { try await backup.run() }
                #expect(try await eventually { try await server.isWaiting(in: name) })
                task.cancel()
                let error = try await requireFailure { try await task.value }
                #expect(error.code == .interrupted)
                #expect(try scratch.entries().isEmpty)
                #expect(try scratch.runs().map(\.state) == [.interrupted])
                let process = try #require(tools.text("pid"))
                #expect(try await runScript("kill -0 $1", process).status != .exited(0))
                await lock.close()
            }
        }

        @Test func `without telling the password to anybody`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                let connection = try ConnectionSettings(
                    parsing: "host=\(server.server.directory) user=postgres dbname=postgres password=hunter2-and-more")
                let scratch = try await ScratchRepository(for: server)
                let tools = try StagedTools(
                    for: server,
                    replacing: [
                        "pg_dump": """
                        tr '\\0' ' ' < /proc/$$/cmdline > "$stage/arguments"
                        echo "the password is $PGPASSWORD" >&2; exit 1
                        """
                    ])
                let error = try await requireFailure {
                    try await scratch.backup(name, bin: tools.directory, as: connection)
                }
                #expect(error.reason == "the password is ***")
                #expect(tools.text("arguments")?.contains("--dbname=") == true)
                #expect(tools.text("arguments")?.contains("hunter2") == false)
                let found = try await runScript("grep -r hunter2 \"$1\"", scratch.directory.path)
                #expect(found.status == .exited(1) && found.output.isEmpty)
            }
        }
    }
}
