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
