import FoundationEssentials
import Glibc
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct `What a drill that was killed left` {
    private func writeHeldDrill(_ place: Workplace) throws {
        let held = "touch \(place.path("held")); exec sleep 600"
        try place.writeDrill(checks: [
            "{id: rows, type: rows}",
            "{id: held, type: command, with: {argv: [/bin/sh, -c, \"\(held)\"]}}",
        ])
    }

    @Test(arguments: [[], ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]])
    func `is removed by the next one, which says so; what is in use or another's stays`(
        inContainer container: [String]
    ) async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try writeHeldDrill(place)
            let words = container + [place.tool.executable, "drill", "run", place.path("drill.yaml"), "--json"]
            var tool = place.tool
            tool.executable = words[0]
            let drill = try await tool.start(Array(words.dropFirst()))
            #expect(await place.isHeld())
            let left = try #require(try place.scratchLeftovers().first)
            let elsewhere = "apex-drill-20260101t000000z-0001"
            let unmarked = "apex-drill-20260101t000000z-0002"
            for name in ["apex-drill-mine", elsewhere, unmarked] {
                try FileManager.default.createDirectory(
                    atPath: place.path("scratch/\(name)"), withIntermediateDirectories: false)
            }
            try place.write("another-host\n", to: "scratch/\(elsewhere)/apex-backup-scratch")

            // One that is still running keeps what it has.
            try place.writeDrill(checks: ["{id: rows, type: rows}"])
            let beside = try await place.succeed("drill", "run", place.path("drill.yaml"), "--json")
            #expect(Set(try place.scratchLeftovers()) == [left, "apex-drill-mine", elsewhere, unmarked])
            let told = beside.standardError.split(separator: "\n").filter { $0.contains("may have left this") }
            #expect(told.count == 2, "\(beside.standardError)")
            #expect(told.contains { $0.contains("/\(elsewhere)'") && $0.contains("the host 'another-host' made it") })
            #expect(told.contains { $0.contains("/\(unmarked)'") && $0.contains("it holds no readable file") })

            let children = drill.descendants()
            drill.send(SIGKILL)
            _ = try await drill.output()
            let program = children.filter { $0.commandLine.first == place.tool.executable }
            #expect(await eventually { program.allSatisfy { !$0.isAlive } })
            let next = try await place.succeed("drill", "run", place.path("drill.yaml"))
            #expect(next.standardError.contains("/\(left)', which a run that was killed had left."))
            #expect(Set(try place.scratchLeftovers()) == ["apex-drill-mine", elsewhere, unmarked])
            let servers = children.filter { $0.commandLine.first?.hasSuffix("/postgres") == true }
            #expect(!servers.isEmpty)
            #expect(await eventually { servers.allSatisfy { !$0.isAlive } })
            for child in children where child.isAlive { kill(child.processIdentifier, SIGKILL) }
        }
    }

    @Test func `a check's program in the background does not outlive the check`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            let script = "sleep 600 >/dev/null 2>&1 & echo $! > \(place.path("grandchild"))"
            try place.writeDrill(checks: [
                "{id: rows, type: rows}", "{id: daemon, type: command, with: {argv: [/bin/sh, -c, \"\(script)\"]}}",
            ])
            try await place.succeed("drill", "run", place.path("drill.yaml"))
            let text = String(decoding: try place.directory.read("grandchild"), as: UTF8.self)
            let process = try #require(Int32(text.prefix { $0.isNumber }))
            #expect(await eventually { kill(process, 0) != 0 })
        }
    }
}

@Suite struct `A drill of some databases` {
    @Test func `leaves the backup's state as it was, and one of all proves it`() async throws {
        try await Workplace.with { place in
            try place.writePolicy()
            _ = try await place.succeed("backup", "--database", place.database, "--database", "postgres")
            try place.writeDrill(
                checks: ["{id: rows, type: rows}"], rest: "source: {databases: [\"\(place.database)\"]}")
            try await place.succeed("drill", "run", place.path("drill.yaml"), "--json")
            let state = try await place.array("list").first?["state"]?.text
            #expect(state != "drilled" && state != nil)
            try place.writeDrill(checks: ["{id: rows, type: rows}"])
            try await place.succeed("drill", "run", place.path("drill.yaml"), "--json")
            #expect(try await place.array("list").first?["state"]?.text == "drilled")
        }
    }
}

@Suite struct `The end of the terminal` {
    @Test func `stops a backup as a request does, unless it was started to outlive it`() async throws {
        try await Workplace.with { place in
            try place.hold("pg_dump")
            let backup = try await place.tool.start(["backup", "--json"])
            #expect(await place.isHeld())
            backup.send(SIGHUP)
            #expect(try await backup.output().json()["error"]?["code"]?.text == "interrupted")
            #expect(try await place.runs("backup") == ["interrupted"])

            try FileManager.default.removeItem(atPath: place.path("held"))
            var detached = place.tool
            detached.executable = "/usr/bin/nohup"
            let second = try await detached.start([place.tool.executable, "backup", "--json"])
            #expect(await place.isHeld())
            second.send(SIGHUP)
            try place.letGo()
            #expect(try await second.output().status == 0)
        }
    }
}

@Suite struct `A backup after which prune fails` {
    @Test func `is told to be committed`() async throws {
        try await Workplace.with(retention: "{days: 7, minimum: 1, after_backup: true}") { place in
            let identifier = try #require(try await place.succeed("init", "--json").json()["systemIdentifier"]?.text)
            // A backup of the future: prune does not trust the clock and refuses.
            let future = try CraftedRepository(at: place.repository).addBackup(
                age: .seconds(-400 * 86400), systemIdentifier: identifier)
            let text = try await place.tool.run("backup")
            #expect(text.status == 1)
            #expect(text.standardOutput.contains(" committed: "))
            #expect(text.standardError.contains(" is committed."), "\(text.standardError)")
            let json = try await place.tool.run("backup", "--json")
            let error = try json.json()["error"]
            #expect(error?["code"]?.text == "clock-implausible" && json.status == 1)
            let newest = try #require(try await place.listed().filter { $0 != "\(future)" }.max())
            #expect(error?["unchanged"]?.text?.hasPrefix("Backup \(newest) is committed.") == true)
        }
    }
}

@Suite struct `A password in wrong arguments` {
    private static let secret = "geh/eim?s3cr3t"

    @Test(arguments: [
        ["backup", "postgresql:///a", "postgresql://u:\(secret)@h/b"],
        ["backup", "--databse=postgresql://u:\(secret)@h/b"],
        ["restore", "--tu", "postgresql://u@h/b?password=\(secret)"],
        ["list", "host=h password='\(secret)'"],
    ])
    func `is not shown`(_ arguments: [String]) async throws {
        let tool = try CommandLineTool.apexBackup()
        for output in [try await tool.run(arguments), try await tool.run(arguments + ["--json"])] {
            #expect(output.status == 64)
            let told = output.standardOutput + output.standardError
            #expect(!told.isEmpty && !told.contains("s3cr3t"), "\(told)")
        }
    }
}
