import TestSupport
import Testing

@Suite struct `Help` {
    private let tool: CommandLineTool

    init() throws { tool = try CommandLineTool.apexBackup() }

    private func expectHelp(of words: [String]) async throws {
        let command = (["apex-backup"] + words).joined(separator: " ")
        let output = try await tool.run(words + ["--help"])
        #expect(output.status == 0 && output.standardError.isEmpty, "\(command)")
        let text = output.standardOutput
        let parts = text.components(after: "\nEXAMPLE\n")
        #expect(parts.count == 2, "\(command) has no example")
        let end = (parts.last ?? "").components(after: "\nEXIT STATUS\n")
        #expect(end.count == 2, "\(command) has no exit statuses")
        #expect(end[0].contains(command), "the example of \(command) is of something else")
        #expect(
            (end.last ?? "").split(whereSeparator: \.isWhitespace).joined(separator: " ")
                .contains("64 wrong usage 78 wrong settings"), "\(command)")
        #expect(end.last?.contains("OPTIONS:") == false, "\(command) does not end with its exit statuses")
        #expect(parts[0].contains("USAGE: \(command)"))
        for line in text.split(separator: "\n").drop(while: { $0 != "SUBCOMMANDS:" }).dropFirst() {
            let name = line.dropFirst(2).prefix { $0 != " " }
            guard line.hasPrefix("  "), name.first?.isLetter == true, line != "EXAMPLE" else { break }
            try await expectHelp(of: words + [String(name)])
        }
    }

    @Test func `of every command ends with an example and its exit statuses`() async throws {
        try await expectHelp(of: [])
        let root = try await tool.run("--help").standardOutput
        for name in ["init", "backup", "list", "show", "verify", "restore", "prune", "hold", "release", "drill"] {
            #expect(root.contains("\n  \(name) "))
            try await expectHelp(of: [name])
        }
        for name in ["run", "plan", "list", "show"] { try await expectHelp(of: ["drill", name]) }
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
