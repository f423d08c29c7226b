import FoundationEssentials
import TestSupport
import Testing

/// What befalls archived WAL, and whoever archives it.
@Suite(.serialized) struct `WAL that is archived while things go wrong` {
    private func content(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

    @Test func `is whole or absent, wherever a push is killed, and the next push completes it`() async throws {
        try await ArchivingCluster.with(archives: false) { place in
            var strace = place.tool
            strace.executable = "/usr/bin/strace"
            let brought = "\(place.cluster.directory)/brought"
            // From the first byte to the last step, which makes the name durable.
            let moments = [("write", 2, false), ("fsync", 1, false), ("linkat", 1, false), ("unlinkat", 1, true)]
            for (call, number, isStored) in moments {
                let name = try await place.writeSegment(rows: 20_000)
                let path = "\(place.data)/pg_wal/\(name)"
                let killed = try await strace.run([
                    "-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)",
                    "-e", "inject=\(call):signal=SIGKILL:when=\(number)", place.tool.executable, "wal", "push", path,
                ])
                #expect(killed.signal == 9, "\(call): \(killed)")
                #expect(try place.stored().contains { $0.hasSuffix("/\(name).zst") } == isStored, "\(call)")
                let got = try await place.tool.run("wal", "get", "--mode", "recovery", name, brought)
                #expect(got.status == (isStored ? 0 : 1), "\(call): \(got.standardError)")
                let trace = "\(place.cluster.directory)/trace"
                let again = try await strace.run([
                    "-f", "-y", "-qq", "-o", trace, "-e", "trace=fsync", place.tool.executable, "wal", "push", "--json",
                    path,
                ])
                #expect(try again.status == 0 && again.json()["wasPresent"] == .bool(isStored), "\(call): \(again)")
                if isStored {
                    // Whoever named it died before that was durable.
                    let stored = try place.path(of: name)
                    let folder = stored.dropLast(name.count + 5)
                    let calls = String(decoding: try content(trace), as: UTF8.self)
                    #expect(calls.contains("<\(stored)>") && calls.contains("<\(folder)>"), "\(calls)")
                }
                try await place.succeed("wal", "get", name, brought)
                #expect(try content(brought) == content(path), "\(call)")
            }
        }
    }

    @Test func `is archived in the end by a server whose archive_command a signal ends`() async throws {
        try await ArchivingCluster.with(archives: false) { place in
            // The first command ends by a signal, and PostgreSQL's archiver with it.
            let count = "\(place.cluster.directory)/count"
            let script = """
                #!/bin/sh
                echo x >>\(count)
                [ $(wc -l <\(count)) -gt 1 ] || kill -9 $$
                exec "$@"
                """
            let wrapper = "\(place.cluster.directory)/wrapper"
            try await shell("printf %s \"$2\" >\"$1\"; chmod 755 \"$1\"", wrapper, script)
            try await place.startArchiving(through: "exec \(wrapper) /usr/bin/env ")
            let name = try await place.writeSegment()
            try await place.waitUntilArchived(name)
            let log = String(decoding: try content("\(place.cluster.directory)/server.log"), as: UTF8.self)
            #expect(log.contains("archive command was terminated by signal 9"), "\(log)")
            let brought = "\(place.cluster.directory)/brought"
            try await place.succeed("wal", "get", name, brought)
            #expect(try content(brought) == content("\(place.data)/pg_wal/\(name)"))
        }
    }

    @Test func `stays with the server while the repository is full, and comes when there is room`() async throws {
        try await ArchivingCluster.with(archives: false) { place in
            try await shell(
                """
                cp -a "$1" "$1.kept"
                mount -t tmpfs -o size=5m,mode=700 tmpfs "$1"
                cp -a "$1.kept/." "$1/"
                chown --reference="$1.kept" "$1"
                """, place.repository)
            let result: Result<Void, any Error>
            do { result = .success(try await fill(place)) } catch { result = .failure(error) }
            try await shell("umount -l \"$1\"", place.repository)
            try result.get()
        }
    }

    private func fill(_ place: ArchivingCluster) async throws {
        try await place.startArchiving()
        try await place.waitUntilArchived(try await place.writeSegment())
        try await place.cluster.execute(
            "CREATE TABLE noise AS SELECT md5(random()::text) AS a, md5(random()::text) AS b FROM generate_series(1, 100000)"
        )
        let name = try await place.writeSegment()
        let hasFailed = try await eventually {
            try await place.cluster.answer("SELECT failed_count > 0 FROM pg_stat_archiver") == "t"
        }
        #expect(hasFailed)
        let segment = "\(place.data)/pg_wal/\(name)"
        let refused = try await place.tool.run("wal", "push", segment)
        #expect(refused.status == 1 && refused.standardError.contains("(repository-full)"), "\(refused.standardError)")
        #expect(refused.standardError.contains("was not archived; PostgreSQL keeps it"))
        #expect(FileManager.default.fileExists(atPath: segment))
        #expect(try place.stored().allSatisfy { !$0.hasSuffix("/\(name).zst") })
        // What the archiver is trying just now apart, nothing is left of what did not fit.
        try await place.cluster.execute("ALTER SYSTEM SET archive_command = ''")
        try await place.cluster.execute("SELECT pg_reload_conf()")
        let isClean = await eventually {
            let paths = try? FileManager.default.subpathsOfDirectory(atPath: place.repository)
            return paths?.allSatisfy { !$0.contains(".tmp-") } == true
        }
        #expect(isClean)
        try await shell("mount -o remount,size=64m \"$1\"", place.repository)
        try await place.startArchiving()
        try await place.waitUntilArchived(name)
        let brought = "\(place.cluster.directory)/brought"
        try await place.succeed("wal", "get", name, brought)
        #expect(try content(brought) == content(segment))
    }

    @Test(.needsPhysicalBackups)
    func `is never recovered from when it is missing, cut off, flipped or another's, and verify names it`() async throws
    {
        try await ArchivingCluster.with { place in
            try await place.succeed("backup", "--kind", "physical")
            var names: [String] = []
            for _ in 0..<4 { names.append(try await place.writeSegment()) }
            try await place.waitUntilArchived(names[3])
            let path = try place.path(of: names[1])
            let sound = try content(path)
            let strangers = try await stored(ofAnotherClusterAs: names[1], place)
            var cases: [(what: String, bytes: Data?)] = [
                ("missing", nil), ("empty", Data()), ("cut off", sound.dropLast(1)),
                ("its own half", sound.prefix(sound.count / 2)),
                ("the next segment", try content(place.path(of: names[2]))), ("another cluster's", strangers),
            ]
            for (what, offset) in [("header", 9), ("content", sound.count / 2), ("trailer", sound.count - 40)] {
                var flipped = sound
                flipped[offset] ^= 1
                cases.append(("flipped in its \(what)", flipped))
            }
            let target = "\(place.cluster.directory)/restored"
            let brought = "\(place.cluster.directory)/brought"
            for (what, bytes) in cases {
                try FileManager.default.removeItem(atPath: path)
                if let bytes { try Data(bytes).write(to: URL(filePath: path)) }
                let got = try await place.tool.run("wal", "get", "--mode", "recovery", names[1], brought)
                #expect(got.status == 126 && got.standardError.contains(names[1]), "\(what): \(got.standardError)")
                #expect(!FileManager.default.fileExists(atPath: brought), "\(what)")
                if bytes != nil {
                    let verified = try await place.tool.run("verify", "--all")
                    #expect(
                        verified.status == 1 && verified.standardError.contains(names[1]), "\(what): \(verified)")
                } else {
                    let status = try await place.tool.run("wal", "status")
                    // It may still come.
                    #expect(status.status == 0 && status.standardOutput.contains(names[1]), "\(status.standardOutput)")
                    // Now it is not there.
                    let verified = try await place.tool.run("verify", "--all")
                    let hole = "missing      \(names[1]) to \(names[1]), 1 segments: backup "
                    #expect(
                        verified.status == 1 && verified.standardOutput.contains(hole)
                            && verified.standardOutput.contains("INCOMPLETE"), "\(verified)")
                }
                // What only reading all of it shows is found when it is put beside the data, or by the server.
                let restored = try await place.tool.run("restore", "--to", "latest", "--to", target, "--stage-wal")
                #expect(
                    restored.status == 1 && restored.standardError.contains(names[1]),
                    "\(what): \(restored.standardError)")
                #expect(!FileManager.default.fileExists(atPath: "\(target)/global/pg_control"), "\(what)")
                try? FileManager.default.removeItem(atPath: target)
                // The way to a moment before it is open all the same.
                let earlier = try await place.tool.run("restore", "--to", "immediate", "--to", target, "--dry-run")
                #expect(earlier.status == 0, "\(what): \(earlier.standardError)")
                try sound.write(to: URL(filePath: path))
            }
            let whole = try await place.succeed("verify", "--all")
            #expect(whole.standardOutput.contains("WAL of ") && !whole.standardOutput.contains("DAMAGED"))
        }
    }

    /// What is stored of the segment of that name by a cluster of its own.
    private func stored(ofAnotherClusterAs name: String, _ place: ArchivingCluster) async throws -> Data {
        var bytes = Data()
        try await ArchivingCluster.with(archives: false) { other in
            var segment = ""
            while segment < name { segment = try await other.writeSegment(rows: 1) }
            try await other.succeed("wal", "push", "\(other.data)/pg_wal/\(segment)")
            bytes = try content(other.path(of: segment))
        }
        return bytes
    }

    @Test(.needsPhysicalBackups) func `of a copy of the server under the same name is refused, or told of`()
        async throws
    {
        // Nobody writes while the data directory is copied.
        let settings = ["autovacuum": "off", "checkpoint_timeout": "1h"]
        try await ArchivingCluster.with(configuration: settings) { place in
            _ = try await place.writeSegment()
            try await place.succeed("backup", "--kind", "physical")
            // A copy of the data directory that goes on by itself writes the same names.
            let twin = "\(place.cluster.directory)/twin"
            try await place.waitUntilArchived(try await place.writeSegment())
            try await place.succeed(
                "restore", "--to", "latest", "--to", "\(place.cluster.directory)/clone", "--as-primary")
            try await copyServer(place, to: twin)
            try await place.cluster.withServer(on: twin, place.archiving) { copy in
                // Both go on, each its own way.
                try await place.cluster.execute("INSERT INTO t VALUES (1)")
                try await place.waitUntilArchived(try await place.writeSegment(rows: 7))
                let ours = try place.stored()
                try await place.cluster.execute("INSERT INTO t VALUES (2)", in: copy)
                try await place.cluster.execute("SELECT pg_switch_wal()", in: copy)
                let isRefused = try await eventually {
                    try await place.cluster.answer("SELECT failed_count > 0 FROM pg_stat_archiver", at: copy) == "t"
                }
                #expect(isRefused)
                #expect(try place.stored() == ours)
            }
            #expect(
                String(decoding: try content("\(place.cluster.directory)/server.log"), as: UTF8.self)
                    .contains("wal-conflict") == false)
            try await place.succeed("verify", "--all")

            // One that was recovered has a timeline of its own, and is let in. That both have written for more than their
            // clocks may differ is told.
            try place.moveClock(by: -120)
            let clone = "\(place.cluster.directory)/clone"
            var settings = place.archiving
            settings["restore_command"] = "env -u LD_PRELOAD " + place.command("wal get --policy \(place.policy) %f %p")
            try await place.cluster.withServer(on: clone, settings, environment: place.movableClock) { clone in
                let isPromoted = try await eventually {
                    try await place.cluster.answer("SELECT pg_is_in_recovery()", at: clone) == "f"
                }
                #expect(isPromoted)
                try place.moveClock(by: 0)
                try await place.cluster.execute("INSERT INTO t VALUES (3)", in: clone)
                try await place.cluster.execute("SELECT pg_switch_wal()", in: clone)
                try await place.waitUntilArchived(try await place.writeSegment())
                let isTold = try await eventually {
                    let status = try await place.tool.run("wal", "status")
                    return status.status == 1 && status.standardOutput.contains("CRITICAL: Two servers write")
                }
                let status = try await place.tool.run("wal", "status")
                #expect(isTold, "\(status.standardOutput)")
            }
            // Production's timeline is followed all the same, and the other one named.
            let plan = try await place.succeed(
                "restore", "--to", "latest", "--to", "\(place.cluster.directory)/next", "--dry-run")
            #expect(plan.standardOutput.contains("on timeline 1") && plan.standardOutput.contains("--timeline 2"))
        }
    }

    /// Copies the data directory as it is on disk, as a snapshot of its file system does.
    private func copyServer(_ place: ArchivingCluster, to directory: String) async throws {
        try await place.cluster.execute("CHECKPOINT")
        try await shell(
            """
            cp -a "$1" "$2" || true
            rm -f "$2/postmaster.pid"
            """, place.data, directory)
    }

    @Test func `of a cluster that was made anew is refused until it is registered, and kept apart`() async throws {
        try await ArchivingCluster.with { place in
            let old = try await place.writeSegment()
            try await place.waitUntilArchived(old)
            try await ArchivingCluster.with(archives: false) { anew in
                // The same name, the same repository, another system identifier; the names of its WAL are the same too.
                let name = try await anew.writeSegment()
                let path = "\(anew.data)/pg_wal/\(name)"
                let arguments = ["wal", "push", "--repository", place.repository, path]
                let refused = try await anew.tool.run(arguments)
                #expect(refused.status == 1 && refused.standardError.contains("(wrong-cluster)"), "\(refused)")
                #expect(refused.standardError.contains("--new-cluster-incarnation"))
                let before = try place.stored()
                let registered = try await anew.tool.run(
                    "init", "--repository", place.repository, "--new-cluster-incarnation")
                #expect(registered.status == 0, "\(registered.standardError)")
                let pushed = try await anew.tool.run(arguments)
                #expect(pushed.status == 0, "\(pushed.standardError)")
                #expect(try place.stored().count == before.count + 1)
                // Each is brought its own.
                for (data, name) in [(place.data, old), (anew.data, name)] {
                    var tool = CommandLineTool(executable: "/bin/sh", environment: anew.tool.environment)
                    tool.environment["PROGRAM"] = anew.tool.executable
                    let got = try await tool.run(
                        "-c", "cd \"$1\" && exec \"$PROGRAM\" wal get --repository \"$2\" \"$3\" \"$4\"", "sh", data,
                        place.repository, name, "\(anew.cluster.directory)/brought")
                    #expect(got.status == 0, "\(got.standardError)")
                    #expect(try content("\(anew.cluster.directory)/brought") == content("\(data)/pg_wal/\(name)"))
                }
            }
        }
    }
}
