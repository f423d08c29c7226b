/// What an `archive_command` does, as far as one who is no shell can tell.
package struct ArchiveCommand: Sendable, Hashable {
    /// What it is.
    package enum Content: Sendable, Hashable {
        case empty
        /// It succeeds and stores nothing: `/bin/true`, `:`, `exit 0`.
        case storesNothing
        /// `apex-backup wal push`.
        case push(Push)
        /// Another tool, by the name of its program: the WAL goes elsewhere.
        case other(String)
        /// What it does is not known, and why not.
        case notUnderstood(String)
    }

    /// `apex-backup wal push` with what names the repository, as far as the command does.
    package struct Push: Sendable, Hashable {
        package var program: String
        package var policy: String?
        package var repository: String?
        package var cluster: String?
    }

    /// What is wrong with it, whatever it does.
    package enum Flaw: Sendable, Hashable {
        /// It may succeed though nothing was stored: `… || true`.
        case hidesFailure(String)
        /// Its program is found by what the environment of the server says.
        case relativeProgram(String)
        /// It is not told which file to store.
        case noPath
        /// A placeholder that PostgreSQL does not know.
        case unknownPlaceholder(String)
        /// A quote without its end.
        case unbalancedQuote(String)
    }

    package let content: Content
    package let flaws: [Flaw]

    /// Reads the value of the setting.
    package init(parsing text: String) {
        let line: ShellWords
        do throws(ShellWords.Failure) { line = try ShellWords(parsing: text) } catch {
            switch error {
            case .unbalanced(let quote):
                self.init(.notUnderstood("a quote (\(quote)) has no end"), [.unbalancedQuote(quote)])
            case .beyond(let why): self.init(.notUnderstood(why), [])
            }
            return
        }
        guard !line.commands.isEmpty else {
            self.init(.empty, [])
            return
        }
        let commands = line.commands.map { Simple($0) }
        var flaws = line.unknownPlaceholders.map { Flaw.unknownPlaceholder($0) }
        let content: Content
        if let compound = commands.first(where: { Self.compound.contains($0.name) }) {
            content = .notUnderstood("it has a compound command (\(compound.name))")
        } else if let index = Self.main(of: commands) {
            let mayBePassedOver =
                line.connectors[..<index].contains(.or)
                || commands[..<index].contains { ["exit", "false"].contains($0.name) }
            content = mayBePassedOver ? .notUnderstood("it stores a file in some cases only") : commands[index].content
            flaws += commands[index].flaws(namesFile: line.namesFile)
            flaws += Self.hidden(commands[(index + 1)...], behind: line.connectors[index...])
        } else if Self.succeeds(commands[commands.count - 1]) {
            content = .storesNothing
        } else {
            content = .notUnderstood("it has no program that stores a file")
        }
        self.init(content, flaws)
    }

    private init(_ content: Content, _ flaws: [Flaw]) {
        self.content = content
        self.flaws = flaws
    }

    /// The command that stores the file: ours, or a known tool, or else the first that is neither a test nor talk.
    private static func main(of commands: [Simple]) -> Int? {
        let candidates = commands.indices.filter { !harmless.contains(commands[$0].name) }
        return candidates.first { commands[$0].push != nil } ?? candidates.first { tools.contains(commands[$0].name) }
            ?? candidates.first
    }

    /// Whether a command ends with 0 whatever happened before it.
    private static func succeeds(_ command: Simple) -> Bool {
        switch command.name {
        case "exit": command.arguments.first?.literal.map { $0 == "0" } ?? true
        case "false": false
        default: true
        }
    }

    /// How the failure of a command gets lost in what is behind it.
    private static func hidden(
        _ commands: ArraySlice<Simple>, behind connectors: ArraySlice<ShellWords.Connector>
    ) -> [Flaw] {
        if connectors.last == .background { return [.hidesFailure("'&' does not wait for its status")] }
        if connectors.first == .pipe { return [.hidesFailure("of a pipe only the last command's status counts")] }
        for (connector, command) in zip(connectors, commands) {
            // `cp … || cp …` stores it elsewhere; `… || true` stores it nowhere.
            let isReplaced = connector == .then || connector == .or && harmless.contains(command.name)
            if isReplaced, succeeds(command) { return [.hidesFailure("'\(connector.rawValue) \(command.text)'")] }
        }
        return []
    }

    private static let compound: Set = [
        "if", "for", "while", "until", "case", "{", "!", "function", "[[", "eval", "source", ".", "sh", "bash", "dash",
    ]
    private static let harmless: Set = [
        "test", "[", "true", ":", "exit", "false", "echo", "printf", "logger", "mkdir", "cd", "umask", "set", "sleep",
        "sync", "export", "",
    ]
    /// Programs of others that archive WAL, or copy files.
    private static let tools: Set = [
        "pgbackrest", "wal-g", "wal-e", "barman-wal-archive", "barman-cloud-wal-archive", "pg_probackup", "cp",
        "mv", "ln", "dd", "install", "rsync", "scp", "ssh", "gzip", "zstd", "lz4", "aws", "gsutil", "rclone",
    ]
}

extension ArchiveCommand {
    /// One command of the line, without what only prepares it: assignments, `exec`, `timeout 60` and the like.
    private struct Simple {
        var program: String?
        var arguments: [ShellWords.Word] = []
        private var assignments: [String: String] = [:]
        private let words: [ShellWords.Word]

        init(_ words: [ShellWords.Word]) {
            self.words = words
            var rest = words[...]
            while let word = rest.first {
                guard let text = word.literal else { return }
                if let (name, value) = Self.assignment(text) {
                    assignments[name] = value
                    rest.removeFirst()
                } else if let own = Self.wrappers[Self.name(of: text)] {
                    rest.removeFirst()
                    Self.dropOptions(of: &rest)
                    rest = rest.dropFirst(own)
                } else {
                    program = text
                    arguments = Array(rest.dropFirst())
                    return
                }
            }
        }

        /// The last component of the program's path; empty if there is no program.
        var name: String { program.map(Self.name) ?? (words.first?.literal == nil ? "%" : "") }

        var text: String {
            words.map { word in
                word.pieces.map { piece in
                    switch piece {
                    case .text(let text): text
                    case .path: "%p"
                    case .name: "%f"
                    }
                }.joined()
            }.joined(separator: " ")
        }

        /// `wal push` of this program, whatever its file is called.
        var push: Push? {
            guard let program, arguments.count >= 2, arguments[0].literal == "wal", arguments[1].literal == "push"
            else {
                return nil
            }
            return Push(
                program: program, policy: option("--policy") ?? assignments["APEX_BACKUP_POLICY"],
                repository: option("--repository") ?? assignments["APEX_BACKUP_REPOSITORY"],
                cluster: option("--cluster") ?? assignments["APEX_BACKUP_CLUSTER"])
        }

        /// The value of an option, as `--name value` or `--name=value`; the last one counts.
        private func option(_ name: String) -> String? {
            var value: String?
            for (index, word) in arguments.enumerated() {
                guard let text = word.literal else { continue }
                if text == name, index + 1 < arguments.count { value = arguments[index + 1].literal ?? value }
                if text.hasPrefix("\(name)=") { value = String(text.dropFirst(name.utf8.count + 1)) }
            }
            return value
        }

        var content: Content {
            guard let program else { return .notUnderstood("its program is not known") }
            if let push { return .push(push) }
            if tools.contains(name) { return .other(name) }
            if name == "apex-backup" { return .notUnderstood("it runs apex-backup, but not 'wal push'") }
            return .notUnderstood("what '\(program)' does is not known")
        }

        func flaws(namesFile: Bool) -> [Flaw] {
            var flaws: [Flaw] = []
            let hasFile = push == nil ? namesFile : arguments.contains { $0.pieces == [.path] }
            if !hasFile { flaws.append(.noPath) }
            if let program, !program.hasPrefix("/"), !tools.contains(name) { flaws.append(.relativeProgram(program)) }
            return flaws
        }

        /// Programs that run another one, and how many words of their own they have before it.
        private static let wrappers = [
            "exec": 0, "command": 0, "env": 0, "nohup": 0, "nice": 0, "ionice": 0, "timeout": 1,
        ]

        private static func name(of program: String) -> String {
            String(program[(program.lastIndex(of: "/").map { program.index(after: $0) } ?? program.startIndex)...])
        }

        private static func dropOptions(of words: inout ArraySlice<ShellWords.Word>) {
            while let option = words.first?.literal, option.hasPrefix("-"), option != "-" {
                words.removeFirst()
                // `-n 10`, but not `-10` and not `--kill-after=5`.
                if option.utf8.count == 2, option.utf8.last.map(ASCII.isLetter) == true, words.count > 1,
                    words.first?.literal?.utf8.first.map(ASCII.isDigit) == true
                {
                    words.removeFirst()
                }
            }
        }

        private static func assignment(_ text: String) -> (name: String, value: String)? {
            guard let equals = text.firstIndex(of: "="), equals > text.startIndex else { return nil }
            let name = text[..<equals]
            guard name.utf8.allSatisfy({ ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == UInt8(ascii: "_") }),
                name.utf8.first.map(ASCII.isDigit) == false
            else { return nil }
            return (String(name), String(text[text.index(after: equals)...]))
        }
    }
}
