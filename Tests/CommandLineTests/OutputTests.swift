import TestSupport
import Testing

@Suite struct `Standard output that takes no more` {
    @Test func `makes a command fail that would have ended well, and leaves other ends alone`() async throws {
        try await Workplace.with { place in
            var shell = CommandLineTool(executable: "/bin/sh", environment: place.tool.environment)
            shell.environment["TOOL"] = place.tool.executable
            for arguments in ["list --json", "list", "--help", "init --json"] {
                let output = try await shell.run("-c", "\"$TOOL\" \(arguments) > /dev/full")
                #expect(output.status == 1, "\(arguments)")
                #expect(output.standardError.contains("could not be written: No space left"), "\(output.standardError)")
            }
            #expect(try await shell.run("-c", "\"$TOOL\" no-command --json > /dev/full").status == 64)
            #expect(try await shell.run("-c", "\"$TOOL\" list --json > /dev/null").status == 0)
        }
    }

    @Test func `leaves what was done done, with its exit status, and names it`() async throws {
        try await Workplace.with { place in
            var shell = CommandLineTool(executable: "/bin/sh", environment: place.tool.environment)
            shell.environment["TOOL"] = place.tool.executable
            shell.environment["PLACE"] = place.cluster.url("\(place.database)_copy")
            shell.environment["DRILL"] = place.path("drill.yaml")
            try place.writeDrill(checks: ["{id: rows, type: rows}"])
            var known: [String] = []
            for arguments in ["backup", "backup --json"] {
                let backup = try await shell.run("-c", "\"$TOOL\" \(arguments) > /dev/full")
                let ids = try await place.listed()
                let new = ids.filter { !known.contains($0) }
                #expect(backup.status == 0 && new.count == 1, "\(backup)")
                let id = try #require(new.first)
                let words = "could not be written: No space left on device\n  done: Backup \(id) is committed.\n"
                #expect(backup.standardError.contains(words), "\(backup.standardError)")
                known = ids
            }
            // A reader that is gone, which bash(1) waits for.
            var bash = shell
            bash.executable = "/bin/bash"
            let unread = try await bash.run(
                "-c", "exec 3> >(exit); wait $!; \"$TOOL\" backup >&3; echo \"exit $?\" >&2")
            #expect(unread.standardError.contains("could not be written: Broken pipe"), "\(unread.standardError)")
            #expect(unread.standardError.hasSuffix("exit 0\n"), "\(unread.standardError)")
            let id = try #require(try await place.listed().last)
            let plan = try await shell.run("-c", "\"$TOOL\" restore --to \"$PLACE\" --dry-run > /dev/full")
            #expect(plan.status == 1 && !plan.standardError.contains("done:"), "\(plan)")
            let restore = try await shell.run("-c", "\"$TOOL\" restore --to \"$PLACE\" > /dev/full")
            #expect(restore.status == 0, "\(restore)")
            let restored = "  done: Restored from \(id): '\(place.database)_copy'.\n"
            #expect(restore.standardError.contains(restored), "\(restore.standardError)")
            let drill = try await shell.run("-c", "\"$TOOL\" drill run \"$DRILL\" > /dev/full")
            #expect(drill.status == 0 && drill.standardError.contains("ended with PASS."), "\(drill)")
            try await place.cluster.execute("DROP DATABASE \"\(place.database)_copy\" WITH (FORCE)")
        }
    }
}

@Suite struct `A name that would mislead whoever reads it` {
    @Test func `is shown with its controls in the plan and in the question`() async throws {
        try await Workplace.with { place in
            let cluster = place.cluster
            _ = try await place.backUp()
            let name = "\(place.database)\u{202E}\u{1B}[2J\n?"
            try await place.occupy(name)
            var terminal = CommandLineTool(executable: "/usr/bin/script", environment: place.tool.environment)
            terminal.environment["TOOL"] = place.tool.executable
            terminal.environment["PLACE"] = cluster.url("\(place.database)%E2%80%AE%1B%5B2J%0A%3F")
            let command = "\"$TOOL\" restore --to \"$PLACE\" --overwrite"
            let asked = try await terminal.run("--quiet", "--return", "--command", command, "/dev/null")
            #expect(asked.status == 64, "\(asked)")
            let shown = asked.standardOutput
            let safe = "\(place.database)\\u{202e}\\u{1b}[2J\\n?"
            #expect(shown.contains("→ '\(safe)'") && shown.contains("replaces the database '\(safe)'"), "\(shown)")
            #expect(!shown.unicodeScalars.contains { $0 == "\u{202E}" } && !shown.contains("\u{1B}[2J"))
            try await cluster.execute("DROP DATABASE \"\(name)\" WITH (FORCE)")
        }
    }
}
