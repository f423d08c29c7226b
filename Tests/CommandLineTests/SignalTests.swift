import FoundationEssentials
import Glibc
import TestSupport
import Testing

@Suite struct `Asked to stop` {
    @Test(arguments: [SIGTERM, SIGINT])
    func `a backup ends with its children, leaves nothing, and says so`(signal: Int32) async throws {
        try await Workplace.with { place in
            try place.hold("pg_dump")
            let backup = try await place.tool.start(["backup", "--json"])
            #expect(await place.isHeld())
            let children = backup.descendants()
            #expect(children.contains { $0.commandLine.contains { $0.hasSuffix("/pg_dump") } })
            backup.send(signal)
            let output = try await backup.output()
            #expect(output.status == 1)
            #expect(try output.json()["error"]?["code"]?.text == "interrupted")
            #expect(await eventually { children.allSatisfy { !$0.isAlive } })
            #expect(try await place.runs("backup") == ["interrupted"])
            #expect(try await place.array("list", "--all").isEmpty)
            // The lease was given back: nobody has to wait.
            try place.letGo()
            let next = try await place.backUp()
            #expect(try await place.listed() == [next])
        }
    }

    @Test func `a restore drops what it had begun`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try place.hold("pg_restore")
            let target = "\(place.database)_copy"
            let restore = try await place.tool.start(["restore", "--to", place.cluster.url(target), "--json"])
            #expect(await place.isHeld())
            let begun = "SELECT count(*) FROM pg_database WHERE datname LIKE '\(target)%'"
            #expect(try await place.cluster.answer(begun) == "1")
            let children = restore.descendants()
            restore.send(SIGTERM)
            let output = try await restore.output()
            #expect(output.status == 1)
            #expect(try output.json()["error"]?["code"]?.text == "interrupted")
            #expect(await eventually { children.allSatisfy { !$0.isAlive } })
            #expect(try await place.cluster.answer(begun) == "0")
            #expect(try await place.runs("restore") == ["interrupted"])
            #expect(try place.scratchLeftovers().isEmpty)
        }
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func `a drill proves nothing, and leaves no server`(signal: Int32) async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try place.writeDrill(checks: [
                "{id: rows, type: rows}",
                "{id: held, type: command, with: {argv: [/bin/sh, -c, \"touch \(place.path("held")); exec sleep 600\"]}}",
            ])
            let drill = try await place.tool.start(["drill", "run", place.path("drill.yaml"), "--json"])
            #expect(await place.isHeld())
            let children = drill.descendants()
            #expect(children.contains { $0.commandLine.first?.hasSuffix("/postgres") == true })
            #expect(try place.scratchLeftovers().count == 1)
            drill.send(signal)
            let output = try await drill.output()
            #expect(output.status == 2)
            let report = try output.json()
            #expect(report["verdict"]?.text == "not_verified")
            #expect(report["cleanup"]?["done"] == .bool(true))
            // What was answered before stays answered.
            let answers = report["checks"]?.elements.compactMap { $0["verdict"]?.text }
            #expect(answers == ["pass", "not_verified"])
            #expect(await eventually { children.allSatisfy { !$0.isAlive } })
            #expect(try place.scratchLeftovers().isEmpty)
            #expect(ProcessSnapshot.all(naming: place.path("scratch")).isEmpty)
            #expect(try await place.runs("drill") == ["interrupted"])
            #expect(try await place.array("drill", "list").compactMap { $0["verdict"]?.text } == ["not_verified"])
        }
    }

    @Test func `a drill whose server is being made leaves none`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try place.hold("initdb")
            // initdb runs as another user when the tests run as root, and says here that it is held.
            try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: place.directory.path)
            try place.writeDrill(checks: ["{id: rows, type: rows}"])
            let drill = try await place.tool.start(["drill", "run", place.path("drill.yaml"), "--json"])
            #expect(await place.isHeld())
            drill.send(SIGTERM)
            let output = try await drill.output()
            #expect(output.status == 2)
            #expect(try place.scratchLeftovers().isEmpty)
            #expect(try await place.runs("drill") == ["interrupted"])
        }
    }
}
