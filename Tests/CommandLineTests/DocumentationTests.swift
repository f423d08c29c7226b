import BackupModel
import FoundationEssentials
import TestSupport
import Testing

@Suite struct `Documentation` {
    @Test func `README's table has every error code with its exit status, and no other`() throws {
        let written = DocumentedCodes(in: try Document.readme.text)

        for code in ErrorCode.allCases {
            #expect(written.statuses[code.rawValue] == String(code.exitStatus), "\(code.rawValue)")
        }
        #expect(written.statuses.count == ErrorCode.allCases.count)
    }

    @Test func `a code that is missing from the table is found to be missing`() throws {
        let text = try Document.readme.text
        let cut = text.split(separator: "\n").filter { !$0.hasPrefix("| `lease-held`") }.joined(separator: "\n")

        #expect(DocumentedCodes(in: text).statuses["lease-held"] == "1")
        #expect(DocumentedCodes(in: cut).statuses["lease-held"] == nil)
    }

    @Test func `every subcommand stands in README or an article`() async throws {
        let texts = try Document.all.map { try $0.text }
        let commands = try await subcommands(of: [])

        #expect(commands.contains(["backup"]))
        #expect(commands.contains(["drill", "run"]))
        for command in commands {
            let words = command.joined(separator: " ")
            #expect(texts.contains { mentions(words, in: $0) }, "\(words)")
        }
        #expect(!texts.contains { mentions("frobnicate", in: $0) })
    }

    /// All subcommands below `command`, each as its words, as `--help` lists them.
    private func subcommands(of command: [String]) async throws -> [[String]] {
        try #require(command.count < 4, "commands do not nest that deep")
        let output = try await CommandLineTool.apexBackup().run(command + ["--help"])
        try #require(output.status == 0)
        let lines = output.standardOutput.split(separator: "\n", omittingEmptySubsequences: false)
        let list = lines.drop { $0 != "SUBCOMMANDS:" }.dropFirst().prefix { !$0.isEmpty }
        var found: [[String]] = []
        // A line that is indented deeper continues the description before it.
        for line in list where line.prefix(while: { $0 == " " }).count == 2 {
            let name = String(line.dropFirst(2).prefix { $0 != " " })
            found.append(command + [name])
            found += try await subcommands(of: command + [name])
        }
        return found
    }

    /// Whether a command line or a code span names the command.
    private func mentions(_ command: String, in text: String) -> Bool {
        ["apex-backup \(command)", "`\(command)"].contains { start in
            text.ranges(of: start).contains { range in
                text[range.upperBound...].first.map { !$0.isLetter && $0 != "-" } ?? true
            }
        }
    }
}

/// The rows `` | `code` | status | meaning | `` of a document.
private struct DocumentedCodes {
    var statuses: [String: String] = [:]

    init(in text: String) {
        for match in text.matches(of: /\n\| `([a-z-]+)` \| (\d+) \| [^|\n]+ \|/) {
            statuses[String(match.1)] = String(match.2)
        }
    }
}

/// README.md or an article.
private struct Document {
    let path: String

    var text: String {
        get throws { String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self) }
    }

    static let readme = Document(path: "\(checkout)/README.md")

    static var all: [Document] {
        get throws {
            let articles = "\(checkout)/Sources/ApexBackup/ApexBackup.docc"
            let names = try FileManager.default.contentsOfDirectory(atPath: articles)
            return [readme] + names.filter { $0.hasSuffix(".md") }.map { Document(path: "\(articles)/\($0)") }
        }
    }
}
