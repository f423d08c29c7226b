import FoundationEssentials
import Synchronization
import TestSupport
import Testing

/// `wal push --async`.
@Suite(.serialized) struct `Archiving WAL ahead` {
    /// Pushes a file as PostgreSQL does, which takes note of a success.
    private func push(
        _ name: String, _ place: ArchivingCluster, _ options: String...
    ) async throws -> CommandLineTool.Output {
        var shell = place.tool
        shell.executable = "/usr/bin/env"
        shell.userName = "postgres"
        let words = ["-C", place.data, place.tool.executable, "wal", "push", "--policy", place.policy]
        let output = try await shell.run(words + options + ["pg_wal/\(name)"])
        if output.status == 0 {
            let status = "\(place.data)/pg_wal/archive_status/\(name)"
            try? FileManager.default.moveItem(atPath: "\(status).ready", toPath: "\(status).done")
        }
        return output
    }

    private func acknowledged(_ place: ArchivingCluster) -> Set<String> {
        Set(
            place.spooled("push").compactMap { path in
                path.hasSuffix(".archived") ? path.split(separator: "/").last.map { String($0.dropLast(9)) } : nil
            })
    }

    @Test func `believes what a worker has archived, as long as it is the same file and the repository has it`()
        async throws
    {
        try await ArchivingCluster.with(archives: false, configuration: ["wal_keep_size": "1GB"]) { place in
            var segments: [String] = []
            for _ in 0..<7 { segments.append(try await place.writeSegment()) }
            // Nobody works ahead without being asked to.
            #expect(try await push(segments[6], place).status == 0)
            #expect(try place.stored().count == 1 && place.spooled("push").isEmpty)

            #expect(try await push(segments[0], place, "--async", "--jobs", "2").status == 0)
            #expect(await eventually { acknowledged(place).isSuperset(of: segments[1...5]) })
            #expect(await eventually { place.workers("push-ahead").isEmpty })
            #expect(try place.stored().count == 7)
            let taken = try await push(segments[1], place, "--async", "--json")
            #expect(try taken.status == 0 && taken.json()["wasPresent"] == .bool(true))
            #expect(!acknowledged(place).contains(segments[1]))

            // The file is another one by now: whoever asks for it meets what a push without a worker meets.
            let path = "\(place.data)/pg_wal/\(segments[2])"
            let bytes = try Data(contentsOf: URL(filePath: path))
            let change = CommandLineTool(executable: "/bin/sh")
            let flip =
                "printf '\\001' | dd of=\"$1\" bs=1 seek=16777215 conv=notrunc status=none; touch -r \"$2\" \"$1\""
            _ = try await change.run("-c", "cp -p \"$1\" \"$1.kept\"", "sh", path)
            _ = try await change.run("-c", flip, "sh", path, "\(path).kept")
            let conflict = try await push(segments[2], place, "--async")
            let alone = try await push(segments[2], place)
            #expect(conflict.status == 1 && conflict.standardError.contains("wal-conflict"))
            #expect(conflict.standardError == alone.standardError && alone.status == 1)
            _ = try await change.run("-c", "mv \"$1.kept\" \"$1\"", "sh", path)
            #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
            #expect(try await push(segments[2], place, "--async").status == 0)

            // The repository has lost it.
            try FileManager.default.removeItem(atPath: place.path(of: segments[3]))
            #expect(acknowledged(place).contains(segments[3]))
            #expect(try await push(segments[3], place, "--async").status == 0)
            #expect(try place.stored().count == 7)

            // Half an acknowledgement, as nobody writes it.
            let note = try #require(place.spooled("push").first { $0.hasSuffix("\(segments[4]).archived") })
            try Data("{\"name\"".utf8).write(to: URL(filePath: note))
            #expect(try await push(segments[4], place, "--async").status == 0)

            // An unreachable repository is told by whoever asks, and nothing is believed without it.
            try FileManager.default.moveItem(atPath: place.repository, toPath: "\(place.cluster.directory)/away")
            #expect(acknowledged(place).contains(segments[5]))
            let unreachable = try await push(segments[5], place, "--async")
            #expect(try await push(segments[5], place).standardError == unreachable.standardError)
            #expect(unreachable.status == 1 && acknowledged(place).contains(segments[5]))
            try FileManager.default.moveItem(atPath: "\(place.cluster.directory)/away", toPath: place.repository)
            #expect(try await push(segments[5], place, "--async").status == 0)
        }
    }

    @Test(.needsPhysicalBackups)
    func `loses nothing of a busy server when its worker is killed at any moment`() async throws {
        let settings = ["wal_keep_size": "4GB", "max_wal_size": "4GB"]
        try await ArchivingCluster.with(archives: false, configuration: settings) { place in
            try await place.succeed("backup", "--kind", "physical")
            let first = try await place.writeSegment(rows: 1)
            let outcomes = "\(place.data)/outcomes"
            let push = place.command("wal push --async --jobs 2 --json --policy \(place.policy) %p >> \(outcomes)")
            func setArchiving(_ command: String) async throws {
                try await place.cluster.execute("ALTER SYSTEM SET archive_command = '\(command)'")
                try await place.cluster.execute("SELECT pg_reload_conf()")
            }
            let killed = Mutex(0)
            let isKilling = Mutex(false)
            let killer = Task {
                while !Task.isCancelled {
                    // Half of them get further.
                    for worker in place.workers("push-ahead") where isKilling.withLock({ $0 }) && Bool.random() {
                        place.kill(worker)
                        killed.withLock { $0 += 1 }
                    }
                    try? await Task.sleep(for: .milliseconds(.random(in: 5...100)))
                }
            }
            defer { killer.cancel() }
            var last = ""
            var rounds = 0
            var found = 0
            repeat {
                // In a round without kills a worker is of use also where a busy machine lets none begin in time.
                isKilling.withLock { $0 = rounds % 3 != 1 }
                // A backlog, as after an outage, and then a server that is busy.
                try await setArchiving("")
                for _ in 0..<12 { last = try await place.writeSegment(rows: 1000) }
                try await setArchiving(push)
                for _ in 0..<8 { last = try await place.writeSegment(rows: 20_000) }
                try await place.waitUntilArchived(last)
                rounds += 1
                let done = try String(contentsOfFile: outcomes, encoding: .utf8)
                found = done.matches(of: /"wasPresent"\s*:\s*true/).count
            } while rounds < 3 || (killed.withLock { $0 } < 3 || found < 6) && rounds < 12
            killer.cancel()
            await killer.value
            #expect(killed.withLock { $0 } >= 3)
            #expect(await eventually { place.workers("push-ahead").isEmpty })
            // Every segment is stored, byte for byte.
            let compare = """
                cd "$1/pg_wal" && n=0; for f in ????????????????????????; do
                [ "$f" \\< "$3" ] && continue; [ "$f" \\> "$4" ] && continue
                zstd -dqc "$(find "$2" -name "$f.zst")" | cmp - "$f" || exit 1; n=$((n+1)); done; echo $n
                """
            let compared = try await CommandLineTool(executable: "/bin/bash").run(
                "-c", compare, "bash", place.data, place.repository, first, last)
            #expect(compared.status == 0, "\(compared.standardError)")
            #expect(Int(compared.standardOutput.filter(\.isNumber)) ?? 0 > 20 * rounds, "\(compared.standardOutput)")
            let status = try await place.succeed("wal", "status", "--json").json()
            #expect(status.elements.first?["status"]?["gaps"]?.elements.isEmpty == true, "\(status)")
            // Workers were of use: PostgreSQL found files archived when it asked for them.
            #expect(found >= 6)
            #expect(try await place.cluster.answer("SELECT failed_count FROM pg_stat_archiver") == "0")
        }
    }
}
