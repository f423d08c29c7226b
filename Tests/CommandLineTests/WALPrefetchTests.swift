import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

extension ArchivingCluster {
    /// Runs the tool as PostgreSQL does: as its user, in its data directory.
    func runInData(_ arguments: String...) async throws -> CommandLineTool.Output {
        var shell = tool
        shell.executable = "/usr/bin/env"
        shell.userName = "postgres"
        return try await shell.run(["-C", data, tool.executable] + arguments)
    }

    /// Has the running server look like one that recovers, or not any more.
    func setRecovery(_ isRecovery: Bool) async throws {
        var shell = tool
        shell.userName = "postgres"
        shell.executable = isRecovery ? "/usr/bin/touch" : "/bin/rm"
        try #require(try await shell.run("\(data)/recovery.signal").status == 0)
    }

    /// The workers of this cluster's repository, by the word that starts them.
    func workers(_ word: String) -> [ProcessSnapshot] {
        ProcessSnapshot.all(naming: policy).filter {
            $0.commandLine.starts(with: [tool.executable, "wal", word])
        }
    }

    func kill(_ worker: ProcessSnapshot) { Glibc.kill(worker.processIdentifier, SIGKILL) }

    /// The paths of the files in a server's spool.
    func spooled(_ purpose: String, in spool: String? = nil) -> [String] {
        let spool = spool ?? "\(data)/pg_wal/.apex-backup"
        let paths = try? FileManager.default.subpathsOfDirectory(atPath: spool)
        return (paths ?? []).filter { $0.hasPrefix("\(purpose)-") }.sorted().map { "\(spool)/\($0)" }
    }

    /// The paths of the segments that were read ahead.
    func readAhead(in spool: String? = nil) -> [String] {
        spooled("get", in: spool).filter { $0.wholeMatch(of: /.*\/[0-9A-F]{24}-\d+/) != nil }
    }

    func contentOfWAL(_ name: String) throws -> Data {
        try Data(contentsOf: URL(filePath: "\(data)/pg_wal/\(name)"))
    }
}

/// What `wal get` reads ahead.
@Suite(.serialized) struct `Reading WAL ahead` {
    /// Asks for a segment as a server does; returns the exit status and, with 0, whether the bytes are right.
    private func get(_ segment: String, _ place: ArchivingCluster, _ options: String...) async throws -> Int32? {
        let target = "pg_wal/BROUGHT"
        var arguments = ["-C", place.data, place.tool.executable, "wal", "get", "--policy", place.policy]
        arguments += ["--prefetch", "3", "--mode", "recovery"] + options + [segment, target]
        var shell = place.tool
        shell.executable = "/usr/bin/env"
        shell.userName = "postgres"
        let output = try await shell.run(arguments)
        if output.status == 0 {
            #expect(try Data(contentsOf: URL(filePath: "\(place.data)/\(target)")) == place.contentOfWAL(segment))
            try FileManager.default.removeItem(atPath: "\(place.data)/\(target)")
        }
        return output.status
    }

    private func expectReadAhead(_ segments: some Sequence<String>, _ place: ArchivingCluster) async throws {
        let names = Array(segments)
        let areThere = await eventually {
            place.readAhead().map { String($0.split(separator: "/").last?.prefix(24) ?? "") } == names
        }
        try #require(areThere, "\(place.readAhead()), not \(names)")
    }

    /// Asks for a segment until those behind it are read ahead: a worker is a hint, and one that ended is started again by
    /// the next one who asks.
    private func expectReadAhead(
        _ segments: some Sequence<String>, asking segment: String, _ place: ArchivingCluster
    ) async throws {
        let names = Array(segments)
        let areThere = try await eventually {
            guard try await get(segment, place) == 0 else { return false }
            return place.readAhead().map { String($0.split(separator: "/").last?.prefix(24) ?? "") } == names
        }
        try #require(areThere, "\(place.readAhead()), not \(names)")
    }

    /// Of workers that were started at once one stays, and it leaves what it has read ahead while it lives.
    private func expectOneWorker(_ place: ArchivingCluster) async {
        let isAlone = await eventually { place.workers("prefetch").count == 1 }
        #expect(isAlone && !place.readAhead().isEmpty)
    }

    @Test(.needsPhysicalBackups)
    func `delivers what it proved, and never a file that is not that any more`() async throws {
        try await ArchivingCluster.with(configuration: ["wal_keep_size": "1GB"]) { place in
            var segments: [String] = []
            for _ in 0..<10 { segments.append(try await place.writeSegment()) }
            try await place.waitUntilArchived(segments[9])
            // Only a recovery asks for the next ones.
            #expect(try await get(segments[0], place) == 0)
            #expect(place.spooled("get").isEmpty && place.workers("prefetch").isEmpty)
            try await place.setRecovery(true)
            // What somebody else has left there is cleaned.
            let stranger = "\(place.data)/pg_wal/.apex-backup/get-0123456789abcdef"
            try FileManager.default.createDirectory(atPath: stranger, withIntermediateDirectories: true)
            try Data("x".utf8).write(to: URL(filePath: "\(stranger)/\(segments[1])-1"))
            let chown = CommandLineTool(executable: "/bin/chown")
            _ = try await chown.run("-R", "--reference", place.data, "\(place.data)/pg_wal/.apex-backup")
            #expect(try await get(segments[0], place) == 0)
            try await expectReadAhead(segments[1...3], place)
            #expect(!FileManager.default.fileExists(atPath: stranger))
            await expectOneWorker(place)

            // It is the spool's that is delivered: the archive no longer has it.
            let stored = try place.path(of: segments[1])
            try FileManager.default.moveItem(atPath: stored, toPath: "\(place.cluster.directory)/away")
            #expect(try await get(segments[1], place) == 0)
            #expect(try await get(segments[1], place) == 126)
            try FileManager.default.moveItem(atPath: "\(place.cluster.directory)/away", toPath: stored)
            try await expectReadAhead(segments[2...4], place)

            // A flipped byte in the middle, a cut, another segment, and one that says that it was proved.
            let shell = CommandLineTool(executable: "/bin/sh")
            let damage = """
                printf X | dd of="$1" bs=1 seek=9000000 conv=notrunc status=none && truncate -s 1M "$2" && rm "$3" \
                && cp -p "$5" "${3%/*}/new" && mv "${3%/*}/new" "${3%/*}/$4-$(stat -c %.9Y "${3%/*}/new" | tr -d .)"
                """
            let other = "\(place.data)/pg_wal/\(segments[9])"
            let damaged = try await shell.run(["-c", damage, "sh"] + place.readAhead() + [segments[4], other])
            #expect(damaged.status == 0, "\(damaged.standardError)")
            for segment in segments[2...5] { #expect(try await get(segment, place) == 0, "\(segment)") }

            // A worker that was killed leaves files behind; another goes on.
            try await expectReadAhead(segments[6...8], asking: segments[5], place)
            for worker in place.workers("prefetch") { place.kill(worker) }
            #expect(await eventually { place.workers("prefetch").isEmpty })
            try await expectReadAhead(segments[7...9], asking: segments[6], place)
            await expectOneWorker(place)

            // It ends by itself, and leaves nothing but what somebody announces while it starts.
            for worker in place.workers("prefetch") { place.kill(worker) }
            #expect(await eventually { place.workers("prefetch").isEmpty })
            let folder = try #require(
                place.readAhead().first.map { $0.prefix(through: $0.lastIndex(of: "/") ?? $0.startIndex) })
            let unfinished = ["asked", segments[9]].map { "\(folder)\($0).unfinished" }
            for path in unfinished { try Data("x".utf8).write(to: URL(filePath: path)) }
            let idle = try await place.runInData(
                "wal", "prefetch", "--policy", place.policy, "--prefetch", "3", "--idle", "1")
            #expect(idle.status == 0 && place.readAhead().isEmpty, "\(idle.standardError)")
            #expect(unfinished.map { FileManager.default.fileExists(atPath: $0) } == [true, false])
            try await expectReadAhead(segments[7...9], asking: segments[6], place)
            try await place.setRecovery(false)
            #expect(await eventually { place.workers("prefetch").isEmpty && place.readAhead().isEmpty })

            // A base backup never holds any of it.
            #expect(FileManager.default.fileExists(atPath: "\(place.data)/pg_wal/.apex-backup"))
            try await place.succeed("backup", "--kind", "physical")
            try await place.succeed("restore", "--to", "immediate", "--to", "\(place.cluster.directory)/restored")
            #expect(
                !FileManager.default.fileExists(atPath: "\(place.cluster.directory)/restored/pg_wal/.apex-backup"))
        }
    }

    @Test func `changes nothing in what is called absent and what is not known`() async throws {
        try await ArchivingCluster.with(configuration: ["wal_keep_size": "1GB"]) { place in
            var segments: [String] = []
            for _ in 0..<6 { segments.append(try await place.writeSegment()) }
            try await place.waitUntilArchived(segments[5])
            try await place.setRecovery(true)
            #expect(try await get(segments[4], place) == 0)
            try await expectReadAhead(segments[5...5], place)
            #expect(try await get(segments[5], place) == 0)
            // Absence is not remembered, neither by the worker.
            let next = try #require(
                try await place.cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
            for _ in 0..<2 { #expect(try await get(next, place) == 1) }
            #expect(try await place.writeSegment() == next)
            try await place.waitUntilArchived(next)
            #expect(try await get(next, place) == 0)
            // Holes, damage and a repository that is not there.
            try await expectReadAhead(segments[1...3], asking: segments[0], place)
            let hidden = try place.path(of: segments[4])
            let bytes = try Data(contentsOf: URL(filePath: hidden))
            try FileManager.default.removeItem(atPath: hidden)
            for segment in segments[1...3] { #expect(try await get(segment, place) == 0) }
            #expect(try await get(segments[4], place) == 126)
            var flipped = bytes
            flipped[bytes.count / 2] ^= 1
            try flipped.write(to: URL(filePath: hidden))
            #expect(try await get(segments[3], place) == 0)
            #expect(try await get(segments[4], place) == 126)
            try bytes.write(to: URL(filePath: hidden))
            #expect(try await get(segments[4], place) == 0)
            try FileManager.default.moveItem(atPath: place.repository, toPath: "\(place.cluster.directory)/away")
            #expect(try await get("000000010000000000000077", place) == 126)
            try FileManager.default.moveItem(atPath: "\(place.cluster.directory)/away", toPath: place.repository)
            #expect(try await get(segments[5], place, "--prefetch", "65") == 126)
        }
    }

    @Test func `keeps two servers apart in one spool on another file system`() async throws {
        let spool = PostgresCluster.temporaryPath("spool")
        try FileManager.default.createDirectory(
            atPath: spool, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o777])
        defer { try? FileManager.default.removeItem(atPath: spool) }
        _ = try await CommandLineTool(executable: "/bin/chmod").run("777", spool)
        try await ArchivingCluster.with(configuration: ["wal_keep_size": "1GB"]) { first in
            try await ArchivingCluster.with(configuration: ["wal_keep_size": "1GB"]) { second in
                var asked: [String] = []
                for place in [first, second] {
                    var segments: [String] = []
                    for _ in 0..<3 { segments.append(try await place.writeSegment()) }
                    try await place.waitUntilArchived(segments[2])
                    try await place.setRecovery(true)
                    asked.append(segments[0])
                }
                // A worker whose server asks for nothing for a while ends, and leaves none of what it has read ahead.
                let areThere = try await eventually {
                    for (segment, place) in zip(asked, [first, second]) {
                        guard try await get(segment, place, "--spool", spool) == 0 else { return false }
                    }
                    return first.readAhead(in: spool).count == 4
                }
                #expect(areThere)
                let names = first.readAhead(in: spool).compactMap { $0.split(separator: "/").last?.prefix(24) }
                for place in [first, second] {
                    for segment in Set(names).sorted() {
                        #expect(try await get(String(segment), place, "--spool", spool) == 0)
                    }
                }
            }
        }
    }

    @Test(.needsPhysicalBackups)
    func `brings a server that recovers to the end, and is there before it asks`() async throws {
        try await ArchivingCluster.with { place in
            let folder = place.cluster.directory
            _ = try await place.writeSegment(rows: 1)
            try await place.succeed("backup", "--kind", "physical")
            let session = try await place.cluster.session()
            var last = ""
            for _ in 0..<64 {
                try await session.execute("INSERT INTO t VALUES (1)")
                last = try #require(
                    try await session.query("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").firstValue)
                try await session.execute("SELECT pg_switch_wal()")
            }
            await session.close()
            try await place.waitUntilArchived(last)
            try await place.succeed("restore", "--to", "\(folder)/restored")
            var course = try await recover(place, from: "\(folder)/restored", killing: false)
            // A worker that began late, on a machine that is busy, has found little left to read ahead.
            for _ in 0..<4 where 3 * course.fetched >= course.found {
                course = try await recover(place, from: "\(folder)/restored", killing: false)
            }
            #expect(3 * course.fetched < course.found, "\(course.fetched) segments were not there")
            _ = try await recover(place, from: "\(folder)/restored", killing: true)
        }
    }

    /// Recovers a copy of what was restored, while workers are killed or not; returns how many segments the server had
    /// to fetch, and how many it found.
    private func recover(
        _ place: ArchivingCluster, from restored: String, killing kills: Bool
    ) async throws -> (fetched: Int, found: Int) {
        let copy = "\(place.cluster.directory)/copy"
        let cp = CommandLineTool(executable: "/bin/cp")
        #expect(try await cp.run("-a", restored, copy).status == 0)
        let log = "\(copy)/outcomes"
        let get = place.command("wal get --json --mode recovery --policy \(place.policy) %f %p")
        let killer = Task {
            while kills, !Task.isCancelled {
                for worker in place.workers("prefetch") { place.kill(worker) }
                try? await Task.sleep(for: .milliseconds(150))
            }
        }
        defer { killer.cancel() }
        try await place.cluster.withServer(on: copy, ["restore_command": "\(get) >> \(log)", "fsync": "off"]) {
            server in
            let isPromoted = try await eventually {
                try await place.cluster.answer("SELECT pg_is_in_recovery()", at: server) == "f"
            }
            #expect(isPromoted)
            #expect(try await place.cluster.answer("SELECT count(*) FROM t", at: server) == "65")
        }
        killer.cancel()
        await killer.value
        let outcomes = try String(contentsOfFile: log, encoding: .utf8)
        let fetched = outcomes.matches(of: /"delivered"/).count
        let found = outcomes.matches(of: /"readAhead"/).count
        #expect(fetched + found >= 64)
        // The worker ends with the server.
        #expect(await eventually { place.workers("prefetch").isEmpty })
        try FileManager.default.removeItem(atPath: copy)
        return (fetched, found)
    }
}
