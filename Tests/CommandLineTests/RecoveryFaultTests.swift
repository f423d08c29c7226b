import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

/// Physical backups and recovery of servers that are made otherwise than usual, and onto hosts that are.
@Suite(.serialized, .needsPhysicalBackups) struct `Recovery where something is out of the ordinary` {
    @Test func `knows segments of 64 MB`() async throws {
        try await ArchivingCluster.with(initialization: ["--wal-segsize=64"]) { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int)")
            try await place.succeed("backup", "--kind", "physical")
            try await cluster.execute("INSERT INTO t VALUES (1)")
            let position = try #require(try await cluster.answer("SELECT pg_current_wal_insert_lsn()"))
            try await cluster.execute("INSERT INTO t VALUES (2)")
            let name = try #require(
                try await cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
            try await place.archiveAll()
            try await cluster.execute("INSERT INTO t VALUES (3)")
            try await place.archiveAll()
            let brought = "\(cluster.directory)/brought"
            try await place.succeed("wal", "get", name, brought)
            let bytes = try Data(contentsOf: URL(filePath: brought))
            #expect(bytes.count == 64 << 20)
            #expect(try bytes == Data(contentsOf: URL(filePath: "\(place.data)/pg_wal/\(name)")))
            #expect(try await place.recovered("--to", position, "--exclusive") == "1")
            #expect(try await place.recovered("--to", "latest", "--stage-wal") == "1 2 3")
            let status = try await place.succeed("wal", "status").standardOutput
            #expect(status.contains(": ok"), "\(status)")
            #expect(try await place.succeed("verify", "--all").standardOutput.contains("WAL of "))
        }
    }

    @Test func `includes what is exactly at a time, a position or a transaction, or leaves it out`() async throws {
        try await ArchivingCluster.with(configuration: ["track_commit_timestamp": "on"]) { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int)")
            let id = try #require(
                try await place.succeed("backup", "--kind", "physical", "--json").json()["id"]?.text)
            try await cluster.execute("INSERT INTO t VALUES (1)")
            let session = try await cluster.session()
            try await session.execute("BEGIN; INSERT INTO t VALUES (2)")
            let transaction = try #require(try await session.query("SELECT pg_current_xact_id()::text").firstValue)
            // Nobody else writes: the commit is the next record.
            let commit = try #require(try await session.query("SELECT pg_current_wal_insert_lsn()").firstValue)
            try await session.execute("COMMIT")
            await session.close()
            let time = try #require(
                try await cluster.answer(
                    """
                    SELECT to_char(pg_xact_commit_timestamp('\(transaction)'::xid) AT TIME ZONE 'UTC',
                        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                    """))
            try await cluster.execute("INSERT INTO t VALUES (3)")
            try await cluster.execute("SELECT pg_create_restore_point('here')")
            try await cluster.execute("INSERT INTO t VALUES (4)")
            try await place.archiveAll()
            for (moment, backup) in [(time, "latest"), (commit, "latest"), ("xid:\(transaction)", id)] {
                #expect(try await place.recovered(backup, "--to", moment) == "1 2", "\(moment)")
                #expect(try await place.recovered(backup, "--to", moment, "--exclusive") == "1", "\(moment)")
            }
            #expect(try await place.recovered("--to", "name:here") == "1 2 3")
            // PostgreSQL would pass over it.
            let target = "\(cluster.directory)/restored"
            for moment in ["name:here", "latest", "immediate"] {
                let refused = try await place.tool.run("restore", "--to", moment, "--exclusive", "--to", target)
                #expect(refused.status == 64 && refused.standardError.contains("--exclusive"), "\(moment)")
            }
            #expect(!FileManager.default.fileExists(atPath: target))
        }
    }

    @Test func `stops where PostgreSQL does when the clock went back and forth`() async throws {
        try await ArchivingCluster.with(archives: false) { place in
            try await place.cluster.execute("CREATE TABLE t (n int)")
            try place.moveClock(by: 0)
            try await place.cluster.server.stop()
            let settings = place.archiving.merging(["full_page_writes": "on", "autovacuum": "off"]) { $1 }
            try await place.cluster.withServer(on: place.data, settings, environment: place.movableClock) { server in
                let cluster = place.cluster
                let url = cluster.url("postgres", port: 5433)
                let taken = try await place.tool.run("backup", "--kind", "physical", url)
                try #require(taken.status == 0, "\(taken.standardError)")
                func insert(_ number: Int) async throws {
                    try await cluster.execute("INSERT INTO t VALUES (\(number))", in: server)
                }
                try await insert(1)
                let first = try await place.now(at: server)
                try place.moveClock(by: 3600)
                let isLater = try await eventually { try await place.now(at: server) > first }
                #expect(isLater)
                try await insert(2)
                let late = try await place.now(at: server)
                try #require(late > first)
                try place.moveClock(by: 0)
                try await insert(3)
                let back = try await place.now(at: server)
                try #require(back > first && back < late)
                try await insert(4)
                try place.moveClock(by: 7200)
                try await insert(5)
                let name = try #require(
                    try await cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())", at: server))
                try await cluster.execute("SELECT pg_switch_wal()", in: server)
                let isArchived = try await eventually { try place.stored().contains { $0.hasSuffix("/\(name).zst") } }
                try #require(isArchived)
                // Recovery ends at the first commit with a later time, in the order of the log: 3 and 4 have earlier
                // times than 2, and are behind it.
                #expect(try await place.recovered("--to", first) == "1")
                #expect(try await place.recovered("--to", back) == "1")
                #expect(try await place.recovered("--to", late) == "1 2 3 4")
                #expect(try await place.recovered("--to", "latest") == "1 2 3 4 5")
                let plan = try await place.succeed(
                    "restore", "--to", back, "--to", "\(cluster.directory)/restored", "--dry-run")
                #expect(plan.standardOutput.contains("just before the record"), "\(plan.standardOutput)")
            }
        }
    }

    @Test func `never writes into a tablespace's directory that its source made after the backup`() async throws {
        // Nobody looks at the tablespace while its directory is away.
        try await ArchivingCluster.with(configuration: ["autovacuum": "off"]) { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int)")
            try await place.succeed("backup", "--kind", "physical")
            let space = "\(cluster.directory)/space"
            try await shell("install -d -o postgres -g postgres -m 700 \"$1\"", space)
            try await cluster.execute("INSERT INTO t VALUES (1)")
            let before = try await place.now()
            try await cluster.execute("INSERT INTO t VALUES (2)")
            try await cluster.execute("CREATE TABLESPACE later LOCATION '\(space)'")
            try await cluster.execute("CREATE TABLE elsewhere TABLESPACE later AS SELECT generate_series(1, 1000) AS n")
            try await cluster.execute("INSERT INTO t VALUES (3)")
            try await place.archiveAll()
            let target = "\(cluster.directory)/restored"
            let refused = try await place.tool.run("restore", "--to", "latest", "--to", target)
            #expect(refused.status == 1 && refused.standardError.contains("(target-unsuitable)"), "\(refused)")
            #expect(refused.standardError.contains(space) && refused.standardError.contains("--as-primary"))
            #expect(!FileManager.default.fileExists(atPath: target))
            #expect(try await place.recovered("--to", before) == "1")

            // Where the source is not, the directory has to be made: the plan says so, and the server takes it.
            try await cluster.execute("CHECKPOINT")
            try await shell("mv \"$1\" \"$1.source\"", space)
            let plan = try await place.succeed("restore", "--to", "latest", "--to", target, "--dry-run")
            #expect(plan.standardOutput.contains("makes tablespace") && plan.standardOutput.contains(space))
            try await shell("install -d -o postgres -g postgres -m 700 \"$1\"", space)
            let rows = try await place.recovered("--to", "latest") { server async throws in
                #expect(try await cluster.answer("SELECT sum(n) FROM elsewhere", at: server) == "500500")
            }
            #expect(rows == "1 2 3")
            try await shell("rm -rf \"$1\"; mv \"$1.source\" \"$1\"", space)
            #expect(try await cluster.answer("SELECT sum(n) FROM elsewhere") == "500500")
            // A newer backup has the tablespace, and puts it where it is told.
            try await place.succeed("backup", "--kind", "physical")
            let spaces = "\(cluster.directory)/spaces"
            try await shell("install -d -o postgres -g postgres -m 700 \"$1\"", spaces)
            let moved = try await place.recovered("--to", "latest", "--tablespaces-into", spaces) { server in
                try await cluster.execute("INSERT INTO elsewhere VALUES (1)", in: server)
            }
            #expect(moved == "1 2 3")
            #expect(try await cluster.answer("SELECT count(*) FROM elsewhere") == "1000")
        }
    }

    @Test func `leaves nothing that starts on a target that is full, and says so`() async throws {
        try await PostgresCluster.with { cluster in
            let place = try Workplace(cluster, database: "postgres")
            try await place.succeed("init")
            try await place.succeed("backup", "--kind", "physical")
            let target = "\(cluster.directory)/small"
            // Room for every byte, and not for every file: that is seen only while they are made.
            try await shell(
                """
                install -d -o postgres -g postgres -m 700 "$1"
                mount -t tmpfs -o size=500m,nr_inodes=300,mode=700,uid=$(id -u postgres),gid=$(id -g postgres) tmpfs "$1"
                """, target)
            let full = try await place.tool.run("restore", "--to", "immediate", "--to", target)
            let hasControl = FileManager.default.fileExists(atPath: "\(target)/global/pg_control")
            try await shell("umount \"$1\"", target)
            #expect(full.status == 1 && full.standardError.contains("No space left"), "\(full.standardError)")
            #expect(full.standardError.contains("(target-full)") && !full.standardError.contains("prune"))
            #expect(full.standardError.contains("is not complete, and no server starts on it"))
            #expect(!hasControl)
            #expect(try await place.runs("restore") == ["failed"])
            try await place.succeed("restore", "--to", "immediate", "--to", target)
        }
    }

    /// Runs the tool until its `number`th system call of that name, at which it is killed.
    private func kill(
        _ place: Workplace, at call: String, _ number: Int, _ arguments: String...
    ) async throws -> CommandLineTool.Output {
        var strace = place.tool
        strace.executable = "/usr/bin/strace"
        return try await strace.run(
            [
                "-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)",
                "-e", "inject=\(call):signal=SIGKILL:when=\(number)", place.tool.executable,
            ] + arguments)
    }

    @Test func `finds no backup that was killed, and starts on no restore that was`() async throws {
        try await PostgresCluster.with { cluster in
            let place = try Workplace(cluster, database: "postgres", leaseExpiry: "400ms")
            try await place.succeed("init")
            let system = try #require(
                try await cluster.answer("SELECT system_identifier FROM pg_control_system()"))
            let packs = place.path("repository/clusters/apex/\(system)/packs")
            func begun() -> Int { (try? FileManager.default.contentsOfDirectory(atPath: packs).count) ?? 0 }
            var known = 0
            // Slow enough that a kill never comes too late.
            let policy = try String(contentsOfFile: place.path("policy.yaml"), encoding: .utf8)
            try place.write(
                policy.replacing("backup: {", with: "backup: {physical: {max_rate: 256KiB}, "), to: "policy.yaml")
            for _ in 0..<3 {
                let before = begun()
                let running = try await place.tool.start(["backup", "--kind", "physical", "--jobs", "2"])
                #expect(await eventually { begun() > before })
                running.send(SIGKILL)
                #expect(try await running.output().signal == SIGKILL)
                let listed = try await place.listed()
                #expect(listed.count == known || listed.count == known + 1)
                known = listed.count
                for report in try await place.array("verify", "--all") {
                    #expect(report["problems"]?.elements.isEmpty == true, "\(report)")
                }
                // The server lets its slot go.
                let isFree = try await eventually {
                    try await cluster.answer("SELECT count(*) FROM pg_replication_slots") == "0"
                }
                #expect(isFree)
            }
            #expect(try await place.runs("backup").contains("interrupted"))
            try place.writePolicy()
            try await place.succeed("backup", "--kind", "physical")
            let pruned = try await place.succeed("prune", "--apply", "--json").json()
            #expect(pruned["givenUp"]?.elements.isEmpty == false)
            try await place.succeed("verify", "--all", "--level", "deep")

            let target = "\(cluster.directory)/restored"
            // While files are written, before they are durable, and while settings are put in their place.
            for (call, number) in [("pwrite64", 5), ("syncfs", 1), ("renameat", 1)] {
                let killed = try await kill(place, at: call, number, "restore", "--to", "immediate", "--to", target)
                #expect(killed.signal == SIGKILL, "\(call): \(killed)")
                #expect(!FileManager.default.fileExists(atPath: "\(target)/global/pg_control"), "\(call)")
                let again = try await place.tool.run("restore", "--to", "immediate", "--to", target)
                #expect(again.status == 1 && again.standardError.contains("is not empty"), "\(call)")
                try FileManager.default.removeItem(atPath: target)
            }
            try await place.succeed("restore", "--to", "immediate", "--to", target)
        }
    }

    @Test func `tells which blocks of which files the source has damaged, with a status of its own`() async throws {
        try await PostgresCluster.with(configuration: ["autovacuum": "off"]) { cluster in
            let place = try Workplace(cluster, database: "postgres")
            try await place.succeed("init")
            var files: [String] = []
            for name in ["one", "two"] {
                try await cluster.execute("CREATE TABLE \(name) AS SELECT generate_series(1, 5000) AS n")
                files.append(try #require(try await cluster.answer("SELECT pg_relation_filepath('\(name)')")))
            }
            try await cluster.execute("CHECKPOINT")
            for file in files {
                try await shell(
                    "printf x | dd of=\"$1\" bs=1 seek=12000 conv=notrunc status=none",
                    "\(cluster.server.dataDirectory)/\(file)")
            }
            let taken = try await place.tool.run("backup", "--kind", "physical", "--json")
            #expect(taken.status == 4, "\(taken)")
            let id = try #require(try taken.json()["id"]?.text)
            let shown = try await place.succeed("show", id).standardOutput
            for file in files {
                #expect(
                    shown.split(separator: "\n").contains { $0.contains(file) && $0.contains("block 1") }, "\(shown)")
            }
            let refused = try await place.tool.run("restore", "--to", "\(cluster.directory)/restored")
            #expect(refused.status == 1 && refused.standardError.contains(id), "\(refused.standardError)")
        }
    }
}
