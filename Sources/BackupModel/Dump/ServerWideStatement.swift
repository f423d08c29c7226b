/// Recognises, in a script that is meant for one database, what acts beyond it: on other databases, on roles, on
/// tablespaces or on the server's settings.
///
/// It finds what `pg_dump --create` and `pg_dumpall` write. It does not guard against a script that hides what it does.
struct ServerWideStatement: Sendable {
    /// The first that was found, as a person would name it.
    private(set) var found: String?
    private var words: [String] = []

    /// Takes the next token; it is known before the end of the statement that it belongs to.
    mutating func note(_ token: SQLLexer.Token, _ text: [UInt8]) {
        guard found == nil else { return }
        switch token {
        case .comment: return
        case .endOfStatement: words.removeAll(keepingCapacity: true)
        case .metaCommand:
            let name = String(decoding: text.prefix { !ASCII.isSpace($0) }, as: UTF8.self)
            if ["\\connect", "\\c"].contains(name) { found = name }
        default:
            guard words.count < 3 else { return }
            words.append(token == .word ? String(decoding: text.map(ASCII.lowercased), as: UTF8.self) : "")
            found = isServerWide ? words.prefix(2).joined(separator: " ").uppercased() : nil
        }
    }

    private var isServerWide: Bool {
        guard words.count >= 2, ["create", "drop", "alter"].contains(words[0]) else { return false }
        switch words[1] {
        case "database", "role", "group", "tablespace", "system": return true
        case "user": return words.count == 3 && words[2] != "mapping"
        default: return false
        }
    }
}
