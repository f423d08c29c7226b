import FoundationEssentials
import Glibc
import TestSupport
import Testing

@Suite struct `Two backups of one cluster` {
    @Test func `at once: the second names the first and leaves it alone`() async throws {
        try await Workplace.with(leaseExpiry: "40s") { place in
            try place.hold("pg_dump")
            let first = try await place.tool.start(["backup", "--json"])
            #expect(await place.isHeld())
            let running = try await place.array("list", "--all")
            #expect(running.map { $0["state"]?.text } == ["running"])
            let second = try await place.tool.run("backup", "--json")
            #expect(second.status == 1)
            let error = try second.json()["error"]
            #expect(error?["code"]?.text == "lease-held")
            let id = try #require(running.first?["id"]?.text)
            #expect(error?["reason"]?.text?.contains("run \(id)") == true)
            #expect(error?["reason"]?.text?.contains("process \(first.processIdentifier)") == true)
            #expect(error?["unchanged"]?.text?.contains("the running one was not touched") == true)
            try place.letGo()
            #expect(try await first.output().status == 0)
            #expect(try await place.listed() == [id])
            #expect(try await place.runs("backup").sorted() == ["refused", "succeeded"])
            try await place.succeed("verify", "--all")
        }
    }

    @Test func `one after the other died: the second takes over when the lease is stale`() async throws {
        try await Workplace.with(leaseExpiry: "500ms") { place in
            try place.hold("pg_dump")
            let first = try await place.tool.start(["backup"])
            #expect(await place.isHeld())
            first.send(SIGKILL)
            #expect(try await first.output().signal == SIGKILL)
            try place.letGo()
            let id = try await place.backUp()
            #expect(try await place.listed() == [id])
            #expect(try await place.runs("backup") == ["interrupted", "succeeded"])
            let epochs = try FileManager.default.contentsOfDirectory(
                atPath: "\(place.repository)/clusters/apex/lease/logical")
            #expect(epochs.sorted() == ["00000001", "00000002"])
        }
    }

    @Test func `the first suspended until prune gave it up: it fails, and nothing of it counts`() async throws {
        try await Workplace.with(leaseExpiry: "1s") { place in
            let kept = try await place.backUp()
            try place.hold("pg_dump")
            let first = try await place.tool.start(["backup", "--json"])
            #expect(await place.isHeld())
            #expect(await first.suspend())
            let pruned = try await place.succeed("prune", "--apply", "--json").json()
            let id = try #require(pruned["givenUp"]?.elements.first?.text)
            #expect(
                try await place.array("list", "--all").compactMap { $0["state"]?.text }.sorted() == [
                    "aborted", "committed",
                ])
            try place.letGo()
            first.send(SIGCONT)
            let output = try await first.output()
            #expect(output.status == 1)
            #expect(try output.json()["error"]?["code"]?.text == "backup-aborted", "\(output)")
            #expect(try await place.listed() == [kept])
            let shown = try await place.tool.run("show", id, "--json")
            #expect(try shown.json()["error"]?["code"]?.text == "backup-missing")
            let files = try FileManager.default.contentsOfDirectory(
                atPath: "\(place.repository)/clusters/apex/backups/\(id)")
            #expect(files == ["manifest.json"])
            #expect(try await place.runs("backup") == ["succeeded", "failed"])
            let next = try await place.backUp()
            #expect(try await place.listed() == [kept, next])
            try await place.succeed("verify", "--all")
        }
    }

    @Test func `the first suspended until another took over: it commits nothing`() async throws {
        try await Workplace.with(leaseExpiry: "1s") { place in
            try place.hold("pg_dump")
            let first = try await place.tool.start(["backup", "--json"])
            #expect(await place.isHeld())
            #expect(await first.suspend())
            try place.letGo()
            let second = try await place.backUp()
            first.send(SIGCONT)
            let output = try await first.output()
            #expect(output.status == 1)
            let code = try output.json()["error"]?["code"]?.text
            #expect(code == "lease-lost", "\(output)")
            #expect(try await place.listed() == [second])
            try await place.succeed("verify", "--all")
        }
    }
}
