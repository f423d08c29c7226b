import TestSupport
import Testing

@Suite struct `Help` {
    private let tool: CommandLineTool

    init() throws { tool = try CommandLineTool.apexBackup() }

    /// Checks the help of a command and of those below it; returns their names.
    private func expectHelp(of words: [String]) async throws -> [String] {
        let command = (["apex-backup"] + words).joined(separator: " ")
        let output = try await tool.run(words + ["--help"])
        #expect(output.status == 0 && output.standardError.isEmpty, "\(command)")
        let text = output.standardOutput
        let parts = text.components(after: "\nEXAMPLE\n")
        #expect(parts.count == 2, "\(command) has no example")
        let end = (parts.last ?? "").components(after: "\nEXIT STATUS\n")
        #expect(end.count == 2, "\(command) has no exit statuses")
        let example = end[0].split(separator: "\n").map { $0.drop { $0 == " " } }
        #expect(example.contains { $0.hasPrefix(command) }, "the example of \(command) is of something else")
        for line in example { try await expectArguments(of: String(line)) }
        let ends = words == ["wal", "get"] ? "126 not known" : "64 wrong usage 78 wrong settings"
        #expect(
            (end.last ?? "").split(whereSeparator: \.isWhitespace).joined(separator: " ")
                .contains(ends), "\(command)")
        #expect(end.last?.contains("OPTIONS:") == false, "\(command) does not end with its exit statuses")
        #expect(parts[0].contains("USAGE: \(command)"))
        var commands = [words.joined(separator: " ")]
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        // A line that is indented deeper continues the one before it.
        for line in lines.drop(while: { $0 != "SUBCOMMANDS:" }).dropFirst().prefix(while: { !$0.isEmpty })
        where line.prefix(while: { $0 == " " }).count == 2 {
            commands += try await expectHelp(of: words + [String(line.dropFirst(2).prefix { $0 != " " })])
        }
        return commands
    }

    /// Runs a line of an example, which the lack of its policy must end: its arguments are looked at before.
    private func expectArguments(of line: String) async throws {
        var shell = tool
        shell.executable = "/bin/sh"
        shell.environment["PATH"] = tool.executable.replacing("/apex-backup", with: "")
        shell.environment["APEX_BACKUP_POLICY"] = "/no/such/policy.yaml"
        let output = try await shell.run("-c", line)
        if line.hasPrefix("export ") {
            #expect(output.status == 0, "\(line)")
        } else {
            let told = output.standardOutput + output.standardError
            let status: Int32 = line.hasPrefix("apex-backup wal get ") ? 126 : 78
            #expect(output.status == status && told.contains("cannot be read"), "\(line): \(told)")
        }
    }

    @Test func `of every command ends with an example and its exit statuses`() async throws {
        let commands = try await expectHelp(of: [])
        #expect(
            commands == [
                "", "init", "backup", "list", "show", "verify", "restore", "prune", "hold", "release", "wal",
                "wal push", "wal get", "wal receive", "wal heartbeat", "wal status", "wal index", "mark", "doctor",
                "drill",
                "drill run", "drill plan", "drill list", "drill show",
            ])
    }

    @Test func `and version go to standard output`() async throws {
        let version = try await tool.run("--version")
        #expect(version.status == 0)
        #expect(version.standardOutput.wholeMatch(of: /apex-backup \d+\.\d+\.\d+\n/) != nil)
        #expect(version.standardError.isEmpty)
    }
}

extension String {
    /// What is before the first `separator`, and what is after it.
    fileprivate func components(after separator: String) -> [String] {
        guard let range = firstRange(of: separator) else { return [self] }
        return [String(self[..<range.lowerBound]), String(self[range.upperBound...])]
    }
}
