import FoundationEssentials
import TestSupport
import Testing

/// `wal push` and `wal get`, as PostgreSQL and as an operator call them.
@Suite(.serialized) struct `The WAL archive` {
    @Test func `takes each file that the server hands over, and brings back the same bytes`() async throws {
        try await ArchivingCluster.with { place in
            var segments: [String] = []
            for _ in 0..<3 { segments.append(try await place.writeSegment()) }
            try await place.waitUntilArchived(segments[2])
            #expect(try await place.cluster.answer("SELECT failed_count FROM pg_stat_archiver") == "0")
            for segment in segments {
                let brought = "\(place.cluster.directory)/brought"
                try await place.succeed("wal", "get", segment, brought)
                let original = try Data(contentsOf: URL(filePath: "\(place.data)/pg_wal/\(segment)"))
                #expect(try Data(contentsOf: URL(filePath: brought)) == original)
            }
            // The same again is success, and says so.
            let again = try await place.succeed("wal", "push", "--json", "\(place.data)/pg_wal/\(segments[0])").json()
            #expect(again["wasPresent"] == .bool(true) && again["name"]?.text == segments[0])
            // `zstd -d` reads what is stored.
            let path = try place.path(of: segments[0])
            let zstd = CommandLineTool(executable: "/usr/bin/zstd")
            #expect(try await zstd.run("-dqo", "\(place.cluster.directory)/plain", path).status == 0)
            #expect(
                try Data(contentsOf: URL(filePath: "\(place.cluster.directory)/plain"))
                    == Data(contentsOf: URL(filePath: "\(place.data)/pg_wal/\(segments[0])")))
        }
    }

    @Test func `keeps histories, labels and partial segments under their exact names`() async throws {
        try await ArchivingCluster.with(archives: false) { place in
            let segment = try await place.writeSegment()
            let names = [
                "00000002.history": "1\t0/3000000\tno recovery target specified\n",
                "\(segment).00000028.backup": "label",
                "\(segment).partial": "part", "odd.name": "",
            ]
            for (name, content) in names {
                let path = "\(place.data)/pg_wal/\(name)"
                try Data(content.utf8).write(to: URL(filePath: path))
                try await place.succeed("wal", "push", path)
                try await place.succeed("wal", "get", name, "\(place.cluster.directory)/brought")
                let brought = try Data(contentsOf: URL(filePath: "\(place.cluster.directory)/brought"))
                #expect(brought == Data(content.utf8))
                #expect(try place.path(of: name).hasSuffix("/\(name).zst"))
            }
        }
    }

    @Test func `refuses what is not the segment that its name says, and stores nothing of it`() async throws {
        try await ArchivingCluster.with(archives: false) { place in
            let first = try await place.writeSegment()
            let second = try await place.writeSegment()
            let wal = "\(place.data)/pg_wal"
            let folder = "\(place.cluster.directory)/odd/pg_wal"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            // The control file beside it says whose WAL it should be.
            try FileManager.default.copyItem(
                atPath: "\(place.data)/global", toPath: "\(place.cluster.directory)/odd/global")
            func push(_ name: String, _ bytes: Data) async throws -> CommandLineTool.Output {
                try bytes.write(to: URL(filePath: "\(folder)/\(name)"))
                return try await place.tool.run("wal", "push", "\(folder)/\(name)")
            }
            let bytes = try Data(contentsOf: URL(filePath: "\(wal)/\(first)"))
            var stranger = bytes
            stranger[24] ^= 1
            var newer = bytes
            newer[4] = 9
            let cases: [(String, Data, String)] = [
                (second, bytes, "its first page is that of"),
                (first, bytes.prefix(1 << 20), "the file has 1048576 bytes"),
                (first, Data(bytes.reversed()), "does not begin with a page header"), (first, Data(), "does not begin"),
                (first, stranger, "is of another cluster"), (first, newer, "newer timeline 9"),
            ]
            for (name, content, words) in cases {
                let output = try await push(name, content)
                #expect(output.status == 1 && output.standardError.contains(words), "\(output.standardError)")
                #expect(output.standardError.contains("was not archived; PostgreSQL keeps it"))
            }
            #expect(try place.stored().isEmpty)
            // Of a file without a header nobody knows whose it is.
            let label = "\(place.cluster.directory)/\(first).00000028.backup"
            try Data("label".utf8).write(to: URL(filePath: label))
            let unknown = try await place.tool.run("wal", "push", label)
            #expect(unknown.status == 64 && unknown.standardError.contains("--system-identifier"))
            // Another content under a name that is taken.
            try await place.succeed("wal", "push", "\(wal)/\(first)")
            var other = bytes
            other[bytes.count - 1] ^= 1
            let conflict = try await push(first, other)
            #expect(conflict.status == 1 && conflict.standardError.contains("wal-conflict"))
            try await place.succeed("wal", "get", first, "\(place.cluster.directory)/brought")
            #expect(try Data(contentsOf: URL(filePath: "\(place.cluster.directory)/brought")) == bytes)
        }
    }

    @Test func `tells PostgreSQL that WAL is absent only where that is certain`() async throws {
        try await ArchivingCluster.with { place in
            var segments: [String] = []
            for _ in 0..<3 { segments.append(try await place.writeSegment()) }
            try await place.waitUntilArchived(segments[2])
            let target = "\(place.cluster.directory)/brought"
            func statuses(_ name: String, _ arguments: String...) async throws -> [Int32?] {
                var statuses: [Int32?] = []
                for mode in ["recovery", "standby"] {
                    let output = try await place.tool.run(["wal", "get", "--mode", mode] + arguments + [name, target])
                    statuses.append(output.status)
                    if output.status != 0 { #expect(!FileManager.default.fileExists(atPath: target)) }
                    try? FileManager.default.removeItem(atPath: target)
                }
                return statuses
            }
            let absent = "000000010000000000000077"
            #expect(try await statuses(segments[1]) == [0, 0])
            #expect(try await statuses(absent) == [1, 1])
            #expect(try await statuses("00000002.history") == [1, 1])
            // Everything that is not certain.
            #expect(try await statuses(absent, "--policy", "/nowhere.yaml") == [126, 75])
            #expect(try await statuses(absent, "--repository", "\(place.cluster.directory)/nowhere") == [126, 75])
            let empty = "\(place.cluster.directory)/not-mounted"
            try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
            #expect(try await statuses(absent, "--repository", empty) == [126, 75])
            #expect(try await statuses(absent, "--cluster", "other") == [126, 75])
            #expect(try await statuses(absent, "--system-identifier", "42") == [126, 75])
            #expect(try await statuses("no/name") == [126, 75])
            #expect(try await statuses(absent, "--no-such-option") == [126, 75])
            #expect(try await statuses(absent, "surplus") == [126, 75])
            #expect(try await place.tool.run("wal", "get").status == 126)
            // A hole.
            let hidden = try place.path(of: segments[1])
            let bytes = try Data(contentsOf: URL(filePath: hidden))
            try FileManager.default.removeItem(atPath: hidden)
            #expect(try await statuses(segments[1]) == [126, 75])
            // A flipped byte, and a segment cut off.
            var flipped = bytes
            flipped[bytes.count / 2] ^= 1
            for damaged in [flipped, bytes.dropLast(100), Data()] {
                try Data(damaged).write(to: URL(filePath: hidden))
                #expect(try await statuses(segments[1]) == [126, 75])
            }
            // Another segment under the name.
            try FileManager.default.removeItem(atPath: hidden)
            try FileManager.default.copyItem(atPath: try place.path(of: segments[2]), toPath: hidden)
            #expect(try await statuses(segments[1]) == [126, 75])
        }
    }

    @Test(.needsPhysicalBackups) func `tells how far it is behind its server, if that is asked`() async throws {
        try await ArchivingCluster.with { place in
            try await place.succeed("backup", "--kind", "physical")
            let archived = try await place.writeSegment()
            try await place.waitUntilArchived(archived)
            func status(_ arguments: String...) async throws -> JSONValue? {
                try await place.tool.run(["wal", "status", "--json"] + arguments).json().elements.first?["status"]
            }
            let without = try await status()
            #expect(without?["lag"] == nil && without?["exposure"]?["bytes"] == nil)
            let before = try #require(try await status("--ask-server"))
            #expect(before["lag"]?["bytes"] == .number(0) && before["gaps"]?.elements.isEmpty == true)

            try await place.cluster.execute("ALTER SYSTEM SET archive_command = 'false'")
            try await place.cluster.execute("SELECT pg_reload_conf()")
            let late = try await place.writeSegment()
            let after = try #require(try await status("--ask-server"))
            #expect(after["lag"]?["bytes"] == .number(16_777_216), "\(after)")
            #expect(after["gaps"]?.elements.compactMap { $0["first"]?.text } == [late])
            #expect(after["gaps"]?.elements.compactMap { $0["state"]?.text } == ["delayed"])
            let text = try await place.tool.run("wal", "status", "--ask-server").standardOutput
            #expect(text.contains("lag          16.0 MiB of finished segments"), "\(text)")
        }
    }

    @Test(.needsPhysicalBackups) func `leads a restored server to the last commit that was archived`() async throws {
        try await ArchivingCluster.with { place in
            _ = try await place.writeSegment(rows: 10)
            try await place.succeed("backup", "--kind", "physical")
            try await place.waitUntilArchived(try await place.writeSegment(rows: 20))
            let restored = "\(place.cluster.directory)/restored"
            let plan = try await place.succeed("restore", "--to", restored, "--dry-run").standardOutput
            #expect(plan.contains("gets by 'apex-backup wal get'"))
            try await place.succeed("restore", "--to", restored)
            #expect(!FileManager.default.fileExists(atPath: "\(restored)/apex-backup-wal"))
            try await place.cluster.withServer(on: restored) { server in
                let isPromoted = try await eventually {
                    try await place.cluster.answer("SELECT pg_is_in_recovery()", at: server) == "f"
                }
                #expect(isPromoted)
                let rows = try await place.cluster.answer("SELECT count(*) FROM t", at: server)
                #expect(rows == "30")
            }
        }
    }

    @Test(.needsPhysicalBackups) func `keeps a server that recovers from promotion, whatever goes wrong`() async throws
    {
        try await ArchivingCluster.with { place in
            let folder = place.cluster.directory
            try await place.succeed("backup", "--kind", "physical")
            var segments: [String] = []
            for _ in 0..<3 { segments.append(try await place.writeSegment()) }
            try await place.waitUntilArchived(segments[2])
            let restored = "\(folder)/restored"
            try await place.succeed("restore", "--to", restored)
            try FileManager.default.createDirectory(atPath: "\(folder)/empty", withIntermediateDirectories: true)
            let other = try Data(contentsOf: URL(filePath: try place.path(of: segments[2])))
            let wanted = try place.path(of: segments[1])
            let bytes = try Data(contentsOf: URL(filePath: wanted))
            var flipped = bytes
            flipped[bytes.count / 2] ^= 1
            let get = "wal get --policy \(place.policy)"
            let failures: [(what: String, command: String, stored: Data?)] = [
                ("usage", "wal get --policy \(place.policy) --no-such-option %f %p", bytes),
                ("usage", "wal get --policy \(place.policy) %f", bytes),
                ("usage", "--policy \(place.policy) wal get %f %p", bytes),
                ("policy", "wal get --policy /nowhere.yaml %f %p", bytes),
                ("unreachable", "\(get) --repository \(folder)/nowhere %f %p", bytes),
                ("not mounted", "\(get) --repository \(folder)/empty %f %p", bytes),
                ("wrong cluster", "\(get) --cluster other %f %p", bytes),
                ("wrong cluster", "\(get) --system-identifier 42 %f %p", bytes),
                ("corrupt", "\(get) %f %p", flipped), ("another segment", "\(get) %f %p", other),
                ("hole", "\(get) %f %p", nil),
            ]
            for (number, failure) in failures.enumerated() {
                let copy = "\(folder)/copy-\(number)"
                let cp = CommandLineTool(executable: "/bin/cp")
                #expect(try await cp.run("-a", restored, copy).status == 0)
                try FileManager.default.removeItem(atPath: wanted)
                if let stored = failure.stored { try stored.write(to: URL(filePath: wanted)) }
                let end = try await place.cluster.ending(
                    on: copy, ["restore_command": place.command(failure.command), "fsync": "off"])
                #expect(end.status != nil && end.status != 0 && end.status != 124, "\(failure)")
                #expect(
                    end.standardError.contains("FATAL:  could not restore file"), "\(failure): \(end.standardError)")
                #expect(!FileManager.default.fileExists(atPath: "\(copy)/pg_wal/00000002.history"), "\(failure)")
                try FileManager.default.removeItem(atPath: copy)
                if failure.stored == nil { try bytes.write(to: URL(filePath: wanted)) }
            }
        }
    }

    @Test(.needsPhysicalBackups) func `keeps a standby alive while it is out of reach`() async throws {
        try await ArchivingCluster.with { place in
            try await place.succeed("backup", "--kind", "physical")
            let folder = place.cluster.directory
            try await place.succeed("restore", "--to", "\(folder)/standby")
            try FileManager.default.moveItem(
                atPath: "\(folder)/standby/recovery.signal", toPath: "\(folder)/standby/standby.signal")
            let settings = [
                "restore_command": place.command("wal get --policy \(place.policy) %f %p"), "fsync": "off",
                "recovery_target_timeline": "latest", "hot_standby": "on",
            ]
            try await place.cluster.withServer(on: "\(folder)/standby", settings) { standby in
                func rows() async throws -> String? {
                    try await place.cluster.answer("SELECT count(*) FROM t", at: standby)
                }
                try await place.waitUntilArchived(try await place.writeSegment(rows: 10))
                #expect(await eventually { (try? await rows()) == "10" })
                let started = try await place.cluster.answer("SELECT pg_postmaster_start_time()", at: standby)
                try FileManager.default.moveItem(atPath: place.repository, toPath: "\(folder)/away")
                let segment = try await place.writeSegment(rows: 20)
                let asked = ProcessInfo.processInfo.environment["APEX_TEST_OUTAGE"].flatMap { Int($0) }
                let outage = asked ?? (PostgresCluster.isFullRun ? 300 : 12)
                try await Task.sleep(for: .seconds(outage))
                #expect(try await rows() == "10")
                try FileManager.default.moveItem(atPath: "\(folder)/away", toPath: place.repository)
                try await place.waitUntilArchived(segment)
                #expect(await eventually { (try? await rows()) == "30" })
                #expect(
                    try await place.cluster.answer("SELECT pg_postmaster_start_time()", at: standby) == started)
            }
        }
    }
}
