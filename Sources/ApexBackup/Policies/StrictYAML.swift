import BackupModel
import Yams

/// A place in a settings file; lines and columns begin at 1.
struct YAMLPosition {
    let line: Int
    let column: Int

    init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    init?(_ mark: Mark?) {
        guard let mark else { return nil }
        self.init(line: mark.line, column: mark.column)
    }
}

/// Reads a settings file of one YAML document whose root is a mapping, in the subset in which each thing has one
/// spelling: no anchors, aliases, merge keys, tags or repeated keys, and only spaces for indentation.
///
/// Every error names file, line and column.
struct StrictYAML {
    /// A settings file larger than this is none.
    static let largestFile = 1 << 20

    /// The file's name, as it stands before line and column in errors.
    let fileName: String

    /// The text of a file of UTF-8 bytes; a byte order mark is dropped.
    static func text(_ bytes: [UInt8], fileName: String) throws(BackupError) -> String {
        guard bytes.count <= largestFile else {
            throw StrictYAML(fileName: fileName).error(
                "the file has \(formatBytes(Int64(bytes.count))); settings have at most "
                    + formatBytes(Int64(largestFile)))
        }
        if let text = String(validating: bytes, as: UTF8.self) {
            return text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
        }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let line = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
        throw StrictYAML(fileName: fileName).error(
            "the file is not UTF-8", at: YAMLPosition(line: line + 1, column: 1),
            remedy: "Save the file as UTF-8 without other encodings mixed in.")
    }

    /// The root mapping of `text`.
    func root(of text: String, keys: YAMLKeys) throws(BackupError) -> YAMLMapping {
        guard text.utf8.count <= Self.largestFile else {
            throw error("the file is larger than \(formatBytes(Int64(Self.largestFile)))")
        }
        // The parser goes first and the anchors with it: nodes hold them weakly.
        let parser: Parser
        let node: Node?
        do {
            parser = try Parser(yaml: text, encoding: .utf8)
            node = try parser.singleRoot()
        } catch {
            throw translated(error, of: text)
        }
        guard let node else {
            throw error("the file is empty", remedy: "Write the settings into it; README.md shows a whole file.")
        }
        try withExtendedLifetime(parser) { () throws(BackupError) in try refuseIndirection(in: node) }
        return try YAMLValue(file: self, node: node, path: "", position: YAMLPosition(node.mark)).mapping(keys)
    }

    /// An error at `position`.
    func error(
        _ text: String, at position: YAMLPosition? = nil, remedy: String = "Correct the file and run the command again."
    ) -> BackupError {
        let place = position.map { ":\($0.line):\($0.column)" } ?? ""
        return BackupError(.settings, "\(fileName)\(place): \(text)", remedy: remedy, unchanged: "Nothing was begun.")
    }

    private func refuseIndirection(in node: Node) throws(BackupError) {
        if node.anchor != nil {
            throw error(
                "anchors and aliases are not allowed", at: YAMLPosition(node.mark),
                remedy: "Write the value out at each place.")
        }
        switch node {
        case .scalar(let scalar):
            // The parser gives each scalar in quotes the tag of a text.
            let isQuoted = scalar.style != .plain && scalar.style != .any
            if isQuoted, scalar.tag.description == "tag:yaml.org,2002:str" { return }
            try refuseTag(scalar.tag, at: scalar.mark)
        case .sequence(let sequence):
            try refuseTag(sequence.tag, at: sequence.mark)
            for element in sequence { try refuseIndirection(in: element) }
        case .mapping(let mapping):
            try refuseTag(mapping.tag, at: mapping.mark)
            for (key, value) in mapping {
                if key.anchor != nil { try refuseIndirection(in: key) }
                try refuseIndirection(in: value)
            }
        case .alias(let alias):
            throw error("aliases are not allowed", at: YAMLPosition(alias.mark), remedy: "Write the value out.")
        }
    }

    private func refuseTag(_ tag: Tag, at mark: Mark?) throws(BackupError) {
        guard tag.description.isEmpty else {
            throw error(
                "the tag '\(tag)' is not allowed", at: YAMLPosition(mark), remedy: "Leave the tag out.")
        }
    }

    private func translated(_ failure: any Error, of text: String) -> BackupError {
        switch failure as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            if indentationHasTab(line: mark.line, of: text) {
                return error(
                    "a tab indents this line", at: YAMLPosition(mark),
                    remedy: "Indent with spaces; YAML does not allow tabs for it.")
            }
            let place = context.map { " (\($0.text), line \($0.mark.line))" } ?? ""
            return error("this is not YAML: \(problem)\(place)", at: YAMLPosition(mark))
        case .composer(_, let problem, let mark, _):
            if problem.contains("another document") {
                return error(
                    "a second document begins here", at: YAMLPosition(mark),
                    remedy: "Put one document into each file, and leave '---' out.")
            }
            return error("anchors and aliases are not allowed: \(problem)", at: YAMLPosition(mark))
        case .duplicatedKeysInMapping(let keys, let context):
            let names = keys.map { "'\($0)'" }.joined(separator: ", ")
            return error(
                "key \(names) is given more than once in this mapping", at: YAMLPosition(context.mark),
                remedy: "Keep one of them; which one would hold can not be guessed.")
        case .reader(let problem, let offset, _, _):
            return error("the text can not be read: \(problem)", at: offset.map { position(ofCharacter: $0, in: text) })
        case let other:
            return error("the file can not be read as YAML: \(other.map { "\($0)" } ?? "\(failure)")")
        }
    }

    private func indentationHasTab(line: Int, of text: String) -> Bool {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.indices.contains(line - 1) else { return false }
        return lines[line - 1].prefix { $0 == " " || $0 == "\t" }.contains("\t")
    }

    private func position(ofCharacter offset: Int, in text: String) -> YAMLPosition {
        let before = text.prefix(offset)
        let line = before.split(separator: "\n", omittingEmptySubsequences: false)
        return YAMLPosition(line: line.count, column: (line.last?.unicodeScalars.count ?? 0) + 1)
    }
}
