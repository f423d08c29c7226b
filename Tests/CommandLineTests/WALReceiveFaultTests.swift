import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// `wal receive` with a server or a repository in trouble.
@Suite(.serialized, .needsPhysicalBackups) struct `wal receive in trouble` {
    @Test func `goes on when it may write again and when its repository is mounted anew, and in no other one`()
        async throws
    {
        try await ReceivingPlace.with { place in
            var archiving = place.archiving
            // What is forbidden to its owner is not forbidden to root.
            archiving.tool.userName = "postgres"
            let place = ReceivingPlace(archiving: archiving)
            let files = FileManager.default
            let repository = archiving.repository
            let running = try await place.start()
            try await place.waitUntilStored()
            func waitUntilItFails() async throws {
                try await place.writeSomething()
                let slot = "SELECT active FROM pg_replication_slots WHERE slot_name = '\(ReceivingPlace.slot)'"
                try #require(try await eventually { try await place.cluster.answer(slot) == "f" })
            }

            try files.setAttributes([.posixPermissions: 0], ofItemAtPath: "\(repository)/clusters")
            try await waitUntilItFails()
            try files.setAttributes([.posixPermissions: 0o700], ofItemAtPath: "\(repository)/clusters")
            try await place.waitUntilStored()

            // A directory of that name that is another one, as after another mount.
            try files.moveItem(atPath: repository, toPath: "\(repository).away")
            try await waitUntilItFails()
            try files.createDirectory(atPath: repository, withIntermediateDirectories: false)
            for name in ["clusters", "repository.json"] {
                try files.moveItem(atPath: "\(repository).away/\(name)", toPath: "\(repository)/\(name)")
            }
            try await place.waitUntilStored()

            try await archiving.succeed("init", "--repository", "file://\(repository).other")
            try files.moveItem(atPath: repository, toPath: "\(repository).first")
            try files.moveItem(atPath: "\(repository).other", toPath: repository)
            let hasEnded = await eventually { running.hasEnded }
            #expect(hasEnded)
            running.send(SIGKILL)
            let output = try await running.output()
            #expect(output.status == 1 && output.standardError.contains("is another repository than before"))
            for word in ["Permission denied", "There is no repository directory", "Trying again in"] {
                #expect(output.standardError.contains(word), "\(output.standardError)")
            }
            #expect(try archiving.stored() == [])
        }
    }

    @Test func `receives again what is damaged of the segment that is not finished`() async throws {
        try await ReceivingPlace.with { place in
            for round in 0..<2 {
                try await place.receiving {
                    // The segment may just have begun.
                    try await place.writeSomething()
                    try await place.waitUntilStored()
                }
                let paths = try place.archiving.stored().filter { $0.contains("/partial/") }
                let path = try #require(round == 0 ? paths.first : paths.last)
                let piece = URL(filePath: "\(place.archiving.repository)/\(path)")
                var bytes = try Data(contentsOf: piece)
                if round == 0 { bytes.removeLast(7) } else { bytes[bytes.count / 2] ^= 1 }
                try bytes.write(to: piece)
                let output = try await place.receiving {
                    _ = try await place.archiving.writeSegment()
                    try await place.waitUntilStored()
                }
                #expect(output.standardError.contains("'\(path)'"), "\(output.standardError)")
                #expect(try await place.compareSegments(with: place.archiving.data) > round)
            }
        }
    }

    @Test func `records what a slot has lost, and goes on behind it`() async throws {
        let settings = ["wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "32MB"]
        try await ReceivingPlace.with(configuration: settings) { place in
            let cluster = place.cluster
            try await place.archiving.succeed("backup", "--kind", "physical")
            try await place.receiving { try await place.waitUntilStored() }
            let end = try place.storedEnd()
            func keep(_ size: String) async throws {
                try await cluster.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '\(size)'")
                try await cluster.execute("SELECT pg_reload_conf()")
                let isSet = try await eventually {
                    try await cluster.answer("SHOW max_slot_wal_keep_size") == size
                }
                try #require(isSet)
            }
            func loseWAL() async throws {
                // While nobody receives, the server writes more than it keeps; later it keeps what a slow receiver needs.
                try await keep("16MB")
                for _ in 0..<6 { _ = try await place.archiving.writeSegment() }
                let isLost = try await eventually {
                    try await cluster.execute("CHECKPOINT")
                    return try await cluster.answer("SELECT wal_status FROM pg_replication_slots") == "lost"
                }
                try #require(isLost)
                try await keep("-1")
            }
            try await loseWAL()
            var found: [JSONValue] = []
            let output = try await place.receiving("--json") {
                try await place.waitUntilStored()
                #expect(try await cluster.answer("SELECT wal_status FROM pg_replication_slots") != "lost")
                let status = try await place.archiving.tool.run("wal", "status", "--json")
                #expect(status.status == 1)
                found = try status.json().elements.first?["lost"]?.elements ?? []
            }
            #expect(output.standardError.contains("apex-backup backup --kind physical"), "\(output.standardError)")
            #expect(try output.json()["gaps"]?.elements.count == 1)
            #expect(found.count == 1)
            let from = try #require(found.first?["from"]?.text)
            #expect(try await place.position("'\(from)'::pg_lsn") == end)
            let text = try await place.archiving.tool.run("wal", "status").standardOutput
            #expect(text.contains("CRITICAL") && text.contains("lost         \(from)"), "\(text)")
            // A new backup makes it good; and what is known to be lost is not asked for again.
            let again = try await place.receiving {
                try await place.archiving.succeed("backup", "--kind", "physical")
                // More than the WAL of the backup itself.
                for _ in 0..<2 { _ = try await place.archiving.writeSegment() }
                try await place.writeSomething()
                try await place.waitUntilStored()
            }
            #expect(!again.standardError.contains("is lost"))
            try await place.archiving.succeed("wal", "status")

            // The same, but before anybody receives again a backup stores newer WAL; and what was stored of the segment
            // that was not finished is damaged.
            let pieces = try place.archiving.stored().filter { $0.contains("/partial/") }
            let folder = try #require(pieces.last?.split(separator: "/").dropLast().joined(separator: "/"))
            let first = try #require(pieces.first { $0.hasPrefix("\(folder)/") })
            let piece = URL(filePath: "\(place.archiving.repository)/\(first)")
            try Data(Data(contentsOf: piece).dropLast()).write(to: piece)
            let beginning = try place.storedEnd() & ~0xFF_FFFF
            try await loseWAL()
            try await place.archiving.succeed("backup", "--kind", "physical")
            let last = try await place.receiving("--json") {
                try await place.waitUntilStored()
                try await place.waitUntilRecorded(gaps: 2)
            }
            #expect(last.standardError.contains("A base backup begins behind it."), "\(last.standardError)")
            let second = try #require(try last.json()["gaps"]?.elements.last?["from"]?.text)
            #expect(try await place.position("'\(second)'::pg_lsn") == beginning)
            let lost = try await place.archiving.succeed("wal", "status", "--json").json().elements.first?["lost"]
            #expect(lost?.elements.compactMap { $0["from"]?.text } == [from, second])
        }
    }

    @Test func `waits for a slot until the server has missed the receiver before it, which hangs`() async throws {
        try await ReceivingPlace.with(configuration: ["wal_sender_timeout": "10s"]) { place in
            let first = try await place.start()
            try await place.waitUntilStored()
            first.send(SIGSTOP)
            // Not by what starts a receiver when nobody has the slot.
            let second = try await place.archiving.tool.start(["wal", "receive", "--interval", "100ms"])
            try await place.writeSomething()
            try await place.waitUntilStored()
            #expect(!second.hasEnded)
            second.send(SIGTERM)
            let output = try await second.output()
            #expect(output.status == 0 && output.standardError.contains("55006"), "\(output.standardError)")
            first.send(SIGKILL)
        }
    }

    @Test func `makes a slot anew that was dropped under it, and misses nothing that is still there`() async throws {
        try await ReceivingPlace.with { place in
            try await place.archiving.succeed("backup", "--kind", "physical")
            let output = try await place.receiving {
                _ = try await place.archiving.writeSegment()
                try await place.waitUntilStored()
                // The receiver may be back before the slot is gone.
                #expect(
                    await eventually {
                        (try? await place.cluster.execute(
                            """
                            SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots;
                            SELECT pg_drop_replication_slot('\(ReceivingPlace.slot)')
                            """)) != nil
                    })
                for _ in 0..<3 { _ = try await place.archiving.writeSegment() }
                try await place.cluster.execute("CHECKPOINT")
                try await place.waitUntilStored()
            }
            #expect(output.standardError.ranges(of: "made the replication slot").count > 1, "\(output.standardError)")
            // What the server still has of a hole is received: while nobody does, a backup stores its own WAL.
            try await place.waitUntilFree()
            try await place.archiving.succeed("wal", "receive", "--drop-slot")
            for _ in 0..<2 { _ = try await place.archiving.writeSegment() }
            try await place.archiving.succeed("backup", "--kind", "physical")
            let filled = try await place.receiving {
                let isWhole = try await eventually {
                    let status = try await place.archiving.tool.run("wal", "status", "--json")
                    return try status.json().elements.first?["segments"]?.elements.count == 1
                }
                #expect(isWhole)
            }
            for errors in [output.standardError, filled.standardError] { #expect(!errors.contains("is lost")) }
            try await place.compareSegments(with: place.archiving.data)
            try await place.archiving.succeed("wal", "status")
        }
    }
}
