import BackupModel
import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

/// `wal receive` with real servers: what it stores, and what it survives.
@Suite(.serialized, .needsPhysicalBackups) struct `wal receive` {
    @Test func `stores a commit within seconds, and says no more than that`() async throws {
        try await ReceivingPlace.with { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int)")
            let output = try await place.receiving {
                try await place.archiving.succeed("backup", "--kind", "physical")
                for number in 1...20 {
                    try await cluster.execute("INSERT INTO t VALUES (\(number))")
                    // What is reported first is stored when it is looked at.
                    let flushed = try await place.reportedPosition()
                    #expect(try place.storedEnd() >= flushed)
                }
                try await place.waitUntilStored()
                #expect(try await place.restored(asking: "SELECT max(n) FROM t") == "20")
                let written = try await cluster.answer("SELECT pg_current_wal_flush_lsn()") ?? ""
                let isReported = try await eventually {
                    try await cluster.answer("SELECT flush_lsn >= '\(written)' FROM pg_stat_replication") == "t"
                }
                #expect(isReported)
                let applied = try await cluster.answer(
                    "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn IS NOT NULL")
                #expect(applied == "0")
                let segments = try await place.archiving.succeed("wal", "status").standardOutput
                #expect(segments.contains("received     up to"), "\(segments)")
            }
            #expect(output.standardOutput.contains("Stored up to 0/"))
            #expect(output.standardError.contains("receiving WAL from 0/"))
            // What another process goes on from is not sent again.
            let again = try await place.receiving { try await place.waitUntilStored() }
            #expect(again.standardOutput.contains(" 0 segments"), "\(again.standardOutput)")
        }
    }

    @Test func `writes heartbeats, which the segments say`() async throws {
        try await ReceivingPlace.with { place in
            try await place.archiving.succeed("wal", "heartbeat")
            let written = try await place.archiving.succeed("wal", "heartbeat", "--json").json()
            #expect(written["lsn"]?.text?.contains("/") == true && written["at"]?.text != nil)
            let segment = try await place.archiving.writeSegment()
            try await place.receiving {
                try await place.waitUntilStored()
                #expect(
                    try await eventually { try place.archiving.stored().contains { $0.hasSuffix("/\(segment).zst") } })
            }
            func beats(_ segment: String) throws -> Int {
                let bytes = try Data(contentsOf: URL(filePath: place.archiving.path(of: segment)))
                return String(decoding: bytes.suffix(4096), as: UTF8.self).ranges(of: "\\\"at\\\"").count
            }
            #expect(try beats(segment) == 2)
            // The receiver's own.
            try await place.receiving {
                let isBeating = try await eventually {
                    let name = try await place.archiving.writeSegment()
                    try await place.waitUntilStored()
                    return try beats(name) > 0
                }
                #expect(isBeating)
            }
            // Those of backups: in which segment depends on where the server goes on to the next.
            func allBeats() throws -> Int {
                let names = try place.archiving.stored().compactMap { $0.split(separator: "/").last?.dropLast(4) }
                return try names.filter { $0.count == 24 }.reduce(0) { try $0 + beats(String($1)) }
            }
            try await place.receiving("--heartbeat", "0s") {
                for arguments in [[], ["--kind", "physical"]] {
                    _ = try await place.archiving.writeSegment()
                    try await place.waitUntilStored()
                    let before = try allBeats()
                    let backup = try await place.archiving.tool.run(["backup"] + arguments)
                    #expect(backup.status == 0, "\(backup.standardError)")
                    _ = try await place.archiving.writeSegment()
                    try await place.waitUntilStored()
                    #expect(try allBeats() > before, "\(arguments)")
                }
            }
        }
    }

    @Test func `goes on where it was killed, whatever dies`() async throws {
        try await ReceivingPlace.with { place in
            try await place.archiving.succeed("backup", "--kind", "physical")
            try await place.cluster.execute("CREATE TABLE t (n int, x text)")
            var generator = SeededGenerator(seed: 20_261_201)
            var rows = 0
            func write(segments: Int) async throws {
                for _ in 0..<segments {
                    rows += 100
                    try await place.cluster.execute(
                        "INSERT INTO t SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 100) n")
                    if Bool.random(using: &generator) { try await place.cluster.execute("SELECT pg_switch_wal()") }
                }
            }
            for round in 0..<6 {
                let running = try await place.start()
                // The first ones may die before they have begun.
                if round > 1 { try await place.waitUntilStreaming() }
                try await write(segments: 2)
                // What is tested is a moment, so it has to be waited for.
                try await Task.sleep(for: .milliseconds(Int.random(in: 0...400, using: &generator)))
                running.send(SIGKILL)
                _ = try await running.output()
                try await write(segments: 1)
            }
            let running = try await place.start()
            try await place.waitUntilStreaming()
            // Its WAL sender.
            try await place.cluster.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
            try await write(segments: 2)
            try await place.waitUntilStored()
            // The server: the death of one process makes it end all others and recover from a crash.
            let checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
            let process = try #require(try await place.cluster.answer(checkpointer).flatMap { Int32($0) })
            kill(process, SIGKILL)
            #expect(
                await eventually {
                    guard let now = try? await place.cluster.answer(checkpointer) else { return false }
                    return now != "\(process)"
                })
            try await write(segments: 2)
            try await place.waitUntilStored()
            running.send(SIGTERM)
            let output = try await running.output()
            #expect(output.status == 0 && output.standardError.contains("Trying again in"), "\(output.standardError)")

            #expect(try await place.compareSegments(with: place.archiving.data) > 6)
            let status = try await place.archiving.succeed("wal", "status").standardOutput
            #expect(status.contains(": ok") && !status.contains("missing"), "\(status)")
            // No pieces stay of what is whole, and the rest is used.
            let folders = Set(
                try place.archiving.stored().filter { $0.contains("/partial/") }.map {
                    $0.split(separator: "/").dropLast().last.map(String.init) ?? ""
                })
            #expect(folders.count <= 1, "\(folders)")
            #expect(try await place.restored(asking: "SELECT count(*) FROM t") == "\(rows)")
        }
    }

    @Test func `lets a commit wait until the repository has it, and no longer`() async throws {
        try await ReceivingPlace.with { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int)")
            try await place.archiving.succeed("backup", "--kind", "physical")
            let running = try await place.start("--interval", "1h")
            try await place.waitUntilStreaming()
            try await cluster.execute("ALTER SYSTEM SET synchronous_standby_names = 'apex_backup_apex'")
            try await cluster.execute("SELECT pg_reload_conf()")
            let isSynchronous = try await eventually {
                try await cluster.answer("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
            }
            #expect(isSynchronous)
            for number in 1...30 { try await cluster.execute("INSERT INTO t VALUES (\(number))") }
            // Everything dies as soon as the server has said that it is committed.
            running.send(SIGKILL)
            kill(cluster.server.processIdentifier, SIGKILL)
            _ = try await running.output()
            #expect(try await place.restored(asking: "SELECT max(n) FROM t") == "30")
        }
    }

    @Test func `refuses to be waited for by commits that want to be applied`() async throws {
        try await ReceivingPlace.with(configuration: ["synchronous_standby_names": "*"]) { place in
            let cluster = place.cluster
            for statement in [
                "ALTER SYSTEM SET synchronous_commit = 'remote_apply'",
                "ALTER ROLE postgres SET synchronous_commit = remote_apply",
            ] {
                let session = try await cluster.session()
                try await session.execute("SET synchronous_commit = local")
                try await session.execute(statement)
                try await session.execute("SELECT pg_reload_conf()")
                #expect(try await eventually { try await cluster.answer("SHOW synchronous_commit") == "remote_apply" })
                let refused = try await place.archiving.tool.run("wal", "receive")
                #expect(refused.status == 1 && refused.standardError.contains("never does"), "\(refused.standardError)")
                try await session.execute("ALTER SYSTEM RESET synchronous_commit")
                try await session.execute("ALTER ROLE postgres RESET synchronous_commit")
                try await session.execute("SELECT pg_reload_conf()")
                await session.close()
                #expect(try await eventually { try await cluster.answer("SHOW synchronous_commit") == "on" })
            }
            // Without it, it is a synchronous standby at once.
            try await place.receiving {
                try await cluster.execute("CREATE TABLE t (n int)")
            }
        }
    }

    @Test func `refuses it whose commits these are`() async throws {
        try await ReceivingPlace.with(configuration: ["synchronous_standby_names": "*"]) { place in
            let cluster = place.cluster
            let session = try await cluster.session()
            try await session.execute("SET synchronous_commit = local")
            try await session.execute("CREATE ROLE writer")
            try await session.execute("ALTER ROLE writer SET synchronous_commit = remote_apply")
            await session.close()
            let running = try await place.archiving.tool.start(["wal", "receive"])
            let isOver = try await eventually {
                if running.hasEnded { return true }
                return try await cluster.answer("SELECT count(*) FROM pg_stat_replication") != "0"
            }
            #expect(isOver && running.hasEnded, "it streams")
            running.send(SIGKILL)
            let refused = try await running.output()
            #expect(refused.status == 1 && refused.standardError.contains("never does"), "\(refused.standardError)")
        }
    }

    @Test func `says once and clearly what a server refuses`() async throws {
        try await ReceivingPlace.with(configuration: ["max_replication_slots": "1", "max_wal_senders": "2"]) { place in
            let tool = place.archiving.tool
            func refused(_ words: String..., by arguments: [String]) async throws {
                var output = try await tool.run(["wal", "receive"] + arguments)
                // A stream that has just ended takes the room of one until the server has missed it.
                let hasRoom = try await eventually {
                    if words.contains("53300") || !output.standardError.contains("53300") { return true }
                    output = try await tool.run(["wal", "receive"] + arguments)
                    return false
                }
                #expect(hasRoom && output.status == 1, "\(output.standardError)")
                for word in words { #expect(output.standardError.contains(word), "\(output.standardError)") }
            }
            try await place.receiving {
                try await refused("is in use", "--slot", "55006", by: [])
                try await refused("53400", "max_replication_slots", by: ["--slot", "second"])
                let busy = try await tool.run("wal", "receive", "--drop-slot")
                #expect(busy.status == 1 && busy.standardError.contains("was not dropped"), "\(busy.standardError)")
            }
            #expect(try await place.cluster.answer("SELECT slot_name FROM pg_replication_slots") == ReceivingPlace.slot)
            try await place.waitUntilFree()
            let dropped = try await place.archiving.succeed("wal", "receive", "--drop-slot")
            #expect(dropped.standardOutput == "Dropped the replication slot 'apex_backup_apex'.\n")
            #expect(try await place.cluster.answer("SELECT count(*) FROM pg_replication_slots") == "0")
            let again = try await place.archiving.succeed("wal", "receive", "--drop-slot", "--json").json()
            #expect(again["wasThere"] == .bool(false))

            try await refused("cluster-not-registered", by: ["--cluster", "other"])
            try await place.cluster.execute("CREATE ROLE plain LOGIN; CREATE ROLE many REPLICATION LOGIN")
            let own = try String(contentsOf: URL(filePath: place.archiving.policy), encoding: .utf8)
            func policy(for role: String) throws -> String {
                let path = "\(place.cluster.directory)/\(role).yaml"
                let url = place.cluster.url("postgres", user: role)
                try Data(own.replacing(place.cluster.url("postgres"), with: url).utf8).write(to: URL(filePath: path))
                return path
            }
            try await refused("ALTER ROLE … REPLICATION", by: ["--policy", try policy(for: "plain")])
            let hba = URL(filePath: "\(place.archiving.data)/pg_hba.conf")
            let rules = try String(contentsOf: hba, encoding: .utf8)
            try Data(("local replication many reject\n" + rules).utf8).write(to: hba)
            try await place.cluster.execute("SELECT pg_reload_conf()")
            let many = try ConnectionSettings(parsing: place.cluster.url("postgres", user: "many"))
            let isRejected = await eventually {
                do {
                    try await ReplicationSession.connect(
                        many, applicationName: "test", timeout: .seconds(60)
                    ).close()
                    return false
                } catch { return (error as? BackupError)?.code == .authenticationFailed }
            }
            try #require(isRejected)
            try await refused("pg_hba.conf", "replication", by: ["--policy", try policy(for: "many")])
            // Two streams are all that it lets in, also if one has just ended.
            let senders = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'"
            #expect(try await eventually { try await place.cluster.answer(senders) == "0" })
            let first = try await place.start()
            try await place.waitUntilStreaming()
            let copy = CommandLineTool(
                executable: "\(place.cluster.programs)/pg_receivewal",
                environment: ["LD_LIBRARY_PATH": "\(place.cluster.programs)/../lib"])
            let arguments = ["-D", place.cluster.directory, "-h", place.cluster.directory, "-U", "postgres"]
            var other = try await copy.start(arguments)
            #expect(
                try await eventually {
                    // It ends when it is not let in.
                    if other.hasEnded { other = try await copy.start(arguments) }
                    return try await place.cluster.answer("SELECT count(*) FROM pg_stat_replication") == "2"
                })
            try await refused("53300", "max_wal_senders", by: ["--slot", "third"])
            other.send(SIGKILL)
            first.send(SIGTERM)
            #expect(try await first.output().status == 0)
        }
    }

    @Test func `follows a standby that is promoted in mid-segment`() async throws {
        try await ReceivingPlace.with { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int)")
            try await cluster.withStandby { standby in
                // The standby has no WAL from before it was made, so that what is received before must reach up to there.
                try await place.receiving {
                    try await place.archiving.succeed("backup", "--kind", "physical")
                    try await place.waitUntilStored()
                }
                let path = "\(cluster.directory)/standby.yaml"
                let policy = try String(contentsOf: URL(filePath: place.archiving.policy), encoding: .utf8)
                try Data(
                    policy.replacing(cluster.url("postgres"), with: cluster.url("postgres", port: 5433)).utf8
                ).write(to: URL(filePath: path))
                let output = try await place.receiving("--policy", path, from: standby) {
                    try await cluster.execute("INSERT INTO t VALUES (1)")
                    try await place.waitUntilStored()
                    #expect(try await cluster.answer("SELECT pg_promote(true, 600)", at: standby) == "t")
                    try await cluster.execute("INSERT INTO t VALUES (2)", in: standby)
                    try await place.waitUntilStored(timeline: 2, port: 5433)
                    try await cluster.execute("SELECT pg_switch_wal()", in: standby)
                    try await cluster.execute("INSERT INTO t VALUES (3)", in: standby)
                    try await place.waitUntilStored(timeline: 2, port: 5433)
                }
                #expect(output.standardError.contains("going on with timeline 2"), "\(output.standardError)")
                // It goes on there in another process too.
                try await place.receiving("--policy", path, from: standby) {
                    try await cluster.execute("INSERT INTO t VALUES (4)", in: standby)
                    try await place.waitUntilStored(timeline: 2, port: 5433)
                }
                #expect(try place.archiving.stored().contains { $0.hasSuffix("/00000002.history.zst") })
                #expect(
                    try await place.restored(
                        "--timeline", "2", asking: "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t")
                        == "1 2 3 4")
            }
        }
    }
}
