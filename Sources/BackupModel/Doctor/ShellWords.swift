/// A command line of `archive_command` as `sh` would take it apart, for the simple cases.
///
/// What would need a shell to know (expansions, substitutions, compound commands) is an error, never a guess.
struct ShellWords: Sendable, Hashable {
    /// A word, with what PostgreSQL puts into it.
    struct Word: Sendable, Hashable {
        enum Piece: Sendable, Hashable {
            case text(String)
            /// `%p`: the path of the file.
            case path
            /// `%f`: its name.
            case name
        }

        var pieces: [Piece] = []

        /// The word if nothing is put into it.
        var literal: String? {
            switch pieces.first {
            case nil: ""
            case .text(let text) where pieces.count == 1: text
            default: nil
            }
        }

        fileprivate mutating func append(_ scalar: Unicode.Scalar) {
            if case .text(let text) = pieces.last {
                pieces[pieces.count - 1] = .text("\(text)\(scalar)")
            } else {
                pieces.append(.text(String(scalar)))
            }
        }
    }

    /// What stands between two commands, or behind the last.
    enum Connector: String, Sendable, Hashable {
        case and = "&&"
        case or = "||"
        case then = ";"
        case pipe = "|"
        case background = "&"
    }

    /// Why a line is not understood.
    enum Failure: Error, Sendable, Hashable {
        /// A quote has no end.
        case unbalanced(String)
        /// Only a shell can know what it means.
        case beyond(String)
    }

    /// Commands that have words, in their order.
    private(set) var commands: [[Word]] = []
    /// One behind each command, but behind the last only where something stands there.
    private(set) var connectors: [Connector] = []
    /// Placeholders that PostgreSQL does not know, such as `%r`.
    private(set) var unknownPlaceholders: [String] = []

    /// Whether PostgreSQL puts anything into the line, into a redirection too.
    private(set) var namesFile = false

    private var rest: ArraySlice<Unicode.Scalar>
    private var words: [Word] = []
    private var word: Word?
    private var isRedirection = false

    /// Takes `text` apart.
    init(parsing text: String) throws(Failure) {
        rest = Array(text.unicodeScalars)[...]
        while let scalar = rest.popFirst() { try take(scalar) }
        endCommand(nil)
    }

    private mutating func take(_ scalar: Unicode.Scalar) throws(Failure) {
        switch scalar {
        case " ", "\t", "\r": endWord()
        case "\n": endCommand(.then)
        case ";": endCommand(.then)
        case "&": endCommand(skip("&") ? .and : .background)
        case "|": endCommand(skip("|") ? .or : .pipe)
        case "<", ">": takeRedirection()
        case "#" where word == nil: rest = rest.drop { $0 != "\n" }
        case "'": try takeSingleQuoted()
        case "\"": try takeDoubleQuoted()
        case "\\": takeEscaped()
        case "$", "`": throw .beyond("it has an expansion (\(scalar))")
        case "(", ")": throw .beyond("it has a group of commands")
        default: append(scalar)
        }
    }

    /// A placeholder is replaced before the shell sees the line, inside quotes too.
    private mutating func append(_ scalar: Unicode.Scalar) {
        var current = word ?? Word()
        switch scalar {
        case "%" where skip("p"):
            current.pieces.append(.path)
            namesFile = true
        case "%" where skip("f"):
            current.pieces.append(.name)
            namesFile = true
        case "%" where skip("%"): current.append("%")
        case "%":
            unknownPlaceholders.append("%" + (rest.first.map { String($0) } ?? ""))
            current.append(scalar)
        default: current.append(scalar)
        }
        word = current
    }

    private mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard rest.first == scalar else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func takeSingleQuoted() throws(Failure) {
        word = word ?? Word()
        while let scalar = rest.popFirst() {
            if scalar == "'" { return }
            append(scalar)
        }
        throw .unbalanced("'")
    }

    private mutating func takeDoubleQuoted() throws(Failure) {
        word = word ?? Word()
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\"": return
            case "$", "`": throw .beyond("it has an expansion (\(scalar))")
            case "\\":
                guard let next = rest.first, "$`\"\\\n".unicodeScalars.contains(next) else {
                    append(scalar)
                    continue
                }
                rest.removeFirst()
                if next != "\n" { append(next) }
            default: append(scalar)
            }
        }
        throw .unbalanced("\"")
    }

    private mutating func takeEscaped() {
        switch rest.first {
        case nil: append("\\")
        case "\n": rest.removeFirst()
        case "%": word = word ?? Word()
        case let scalar?:
            rest.removeFirst()
            append(scalar)
        }
    }

    /// A number right before it is that of a file; the word after it is where it leads.
    private mutating func takeRedirection() {
        if let number = word?.literal, number.allSatisfy(\.isNumber) { word = nil }
        endWord()
        while let next = rest.first, "<>&|".unicodeScalars.contains(next) { rest.removeFirst() }
        isRedirection = true
    }

    private mutating func endWord() {
        guard let ended = word else { return }
        word = nil
        if !isRedirection { words.append(ended) }
        isRedirection = false
    }

    private mutating func endCommand(_ connector: Connector?) {
        endWord()
        isRedirection = false
        guard !words.isEmpty else { return }
        commands.append(words)
        words = []
        if let connector { connectors.append(connector) }
    }
}
