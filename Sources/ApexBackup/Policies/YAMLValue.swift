import BackupModel
import Yams

/// One value of a settings file with its path and position, read as the type that is wanted there.
struct YAMLValue {
    let file: StrictYAML
    let node: Node
    /// The keys that lead here, `backup.logical.format` or `checks[2].id`; empty for the root.
    let path: String
    let position: YAMLPosition?

    /// The text of a scalar and whether it stands in quotes.
    struct Scalar {
        let text: String
        let isQuoted: Bool
    }

    /// ` in 'path'`, or nothing for the root.
    var inPlace: String { path.isEmpty ? "" : " in '\(path)'" }

    /// An error at this value.
    func error(_ text: String, remedy: String = "Correct the file and run the command again.") -> BackupError {
        file.error(text, at: position, remedy: remedy)
    }

    /// An error for a value that has a meaning which this version does not carry out.
    func unsupported(_ what: String, remedy: String) -> BackupError {
        error("\(what) is not supported by this version", remedy: remedy)
    }

    /// Whether the value is empty, `null` or `~`.
    var isNull: Bool {
        guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    /// Whether the value is a list.
    var isList: Bool {
        if case .sequence = node { true } else { false }
    }

    /// Whether the value is a mapping.
    var isMapping: Bool {
        if case .mapping = node { true } else { false }
    }

    func scalar() throws(BackupError) -> Scalar {
        guard case .scalar(let scalar) = node else {
            throw error("'\(path)' must be a single value, not \(kind)")
        }
        guard !isNull else { throw error("'\(path)' has no value", remedy: "Give it a value, or leave the key out.") }
        return Scalar(text: scalar.string, isQuoted: !(scalar.style == .plain || scalar.style == .any))
    }

    /// A text that is not empty.
    func string() throws(BackupError) -> String {
        let text = try scalar().text
        guard !text.isEmpty else { throw error("'\(path)' is an empty text", remedy: "Give it a value.") }
        guard !text.utf8.contains(0) else { throw error("'\(path)' holds a zero byte") }
        return text
    }

    func integer(in range: ClosedRange<Int>) throws(BackupError) -> Int {
        let scalar = try scalar()
        guard !scalar.isQuoted, let value = Int(scalar.text), range.contains(value) else {
            throw error(
                "'\(path)' must be a whole number from \(range.lowerBound) to \(range.upperBound), not '\(scalar.text)'"
            )
        }
        return value
    }

    func boolean() throws(BackupError) -> Bool {
        let scalar = try scalar()
        switch scalar.text {
        case "true" where !scalar.isQuoted: return true
        case "false" where !scalar.isQuoted: return false
        default: throw error("'\(path)' must be true or false, not '\(scalar.text)'")
        }
    }

    /// A duration of at least `least`.
    func duration(atLeast least: Duration = .milliseconds(1)) throws(BackupError) -> Duration {
        let text = try scalar().text
        if !text.isEmpty, text.allSatisfy({ $0.isASCII && $0.isNumber }) {
            throw error(
                "'\(path)': '\(text)' has no unit; write \(text)s, \(text)m, \(text)h or \(text)d",
                remedy: "Add the unit; a number alone could be read in several ways.")
        }
        guard let value = DurationText.parse(text) else {
            throw error(
                "'\(path)' must be a duration, not '\(text)'", remedy: "Write for example 90s, 15m, 4h, 30d or 1h30m.")
        }
        guard value >= least else {
            throw error("'\(path)' must be at least \(DurationText.format(least)), not '\(text)'")
        }
        return value
    }

    /// A size of at least `least` bytes.
    func byteCount(atLeast least: Int64) throws(BackupError) -> Int64 {
        let text = try scalar().text
        guard let bytes = ByteSizeText.parse(text) else {
            throw error(
                "'\(path)' must be a size, not '\(text)'", remedy: "Write a whole number with KiB, MiB, GiB or TiB.")
        }
        guard bytes >= least else { throw error("'\(path)' must be at least \(formatBytes(least)), not '\(text)'") }
        return bytes
    }

    /// One of a type's words; `later` are words that this version does not carry out.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _: Choice.Type, later: [String] = []
    ) throws(BackupError) -> Choice where Choice.RawValue == String {
        let text = try scalar().text
        if let value = Choice(rawValue: text) { return value }
        let words = Choice.allCases.map(\.rawValue)
        if later.contains(text) {
            throw unsupported("'\(path): \(text)'", remedy: "Use \(words.joined(separator: ", ")).")
        }
        let hint = nearest(to: text, among: words).map { "; did you mean '\($0)'?" } ?? ""
        throw error(
            "'\(path)' can not be '\(text)'\(hint)", remedy: "It may be \(words.joined(separator: ", ")).")
    }

    /// The only word allowed; `later` are words that this version does not carry out.
    func word(_ word: String, later: [String] = []) throws(BackupError) {
        let text = try scalar().text
        if text == word { return }
        if later.contains(text) { throw unsupported("'\(path): \(text)'", remedy: "Use '\(word)'.") }
        throw error("'\(path)' must be '\(word)', not '\(text)'")
    }

    func list() throws(BackupError) -> [YAMLValue] {
        guard case .sequence(let sequence) = node else { throw error("'\(path)' must be a list, not \(kind)") }
        return sequence.enumerated().map { index, element in
            YAMLValue(
                file: file, node: element, path: "\(path)[\(index)]", position: YAMLPosition(element.mark) ?? position)
        }
    }

    /// A list of different texts that are not empty.
    func strings() throws(BackupError) -> [String] {
        var texts: [String] = []
        for element in try list() {
            let text = try element.string()
            guard !texts.contains(text) else { throw element.error("'\(text)' is twice in '\(path)'") }
            texts.append(text)
        }
        return texts
    }

    /// The names in a list, or `nil` for the word `all`.
    func namesOrAll() throws(BackupError) -> [String]? {
        guard isList else {
            try word("all")
            return nil
        }
        let names = try strings()
        guard !names.isEmpty else { throw error("'\(path)' is an empty list; write all for all of them") }
        return names
    }

    /// A program and its arguments, run without a shell.
    func arguments() throws(BackupError) -> [String] {
        guard isList else {
            throw error(
                "'\(path)' must be a list, not \(kind)",
                remedy:
                    "Write the program and each argument as an element of its own: [curl, --fail]; no shell is used.")
        }
        var arguments: [String] = []
        for element in try list() {
            arguments.append(arguments.isEmpty ? try element.string() : try element.scalar().text)
        }
        guard !arguments.isEmpty else { throw error("'\(path)' is empty; it must begin with a program") }
        return arguments
    }

    func mapping(_ keys: YAMLKeys) throws(BackupError) -> YAMLMapping {
        try YAMLMapping(mappingNode(), origin: self, keys: keys)
    }

    /// A mapping whose keys are free: labels, server settings, environment variables.
    func freeMapping() throws(BackupError) -> YAMLMapping {
        try YAMLMapping(mappingNode(), origin: self, keys: nil)
    }

    /// A reference to a secret.
    ///
    /// The text is not repeated in the error: it may be the secret.
    func secretReference() throws(BackupError) -> SecretReference {
        guard let reference = SecretReference(parsing: try scalar().text) else {
            throw error(
                "'\(path)' must be a reference: env:NAME or file:/PATH",
                remedy: "Put the secret into an environment variable or a file and refer to it; no secret stands in a "
                    + "policy.")
        }
        return reference
    }

    /// A connection URL without a password, or a reference to one.
    func connection() throws(BackupError) -> ConnectionReference {
        let text = try scalar().text
        if let reference = SecretReference(parsing: text) { return .secret(reference) }
        guard ConnectionReference.isConnectionURL(text) else {
            throw error(
                "'\(path)' must be a connection URL (postgresql://…) or a reference (env:NAME, file:/PATH)",
                remedy: "Write for example postgresql://backup@db.internal/apex or env:APEX_DATABASE_URL.")
        }
        guard !ConnectionReference.holdsPassword(text) else {
            throw error(
                "'\(path)' holds a password",
                remedy:
                    "Leave the password out and use a password file (PGPASSFILE), or write the URL into an environment "
                    + "variable or a file and refer to it with env:NAME or file:/PATH.")
        }
        return .url(text)
    }

    private func mappingNode() throws(BackupError) -> Node.Mapping {
        guard case .mapping(let mapping) = node else {
            throw error("\(path.isEmpty ? "the file" : "'\(path)'") must be a mapping of keys to values, not \(kind)")
        }
        return mapping
    }

    private var kind: String {
        switch node {
        case .scalar: isNull ? "empty" : "a single value"
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .alias: "an alias"
        }
    }
}
