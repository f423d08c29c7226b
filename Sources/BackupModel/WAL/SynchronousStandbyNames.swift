/// The standbys that a server waits for when it commits: its setting `synchronous_standby_names`.
///
/// `a, b`, `2 (a, b)`, `FIRST 2 (a, b)`, `ANY 2 (a, b)`, or nothing; names in double quotes may hold anything
/// (PostgreSQL, src/backend/replication/syncrep_gram.y).
package struct SynchronousStandbyNames: Sendable, Hashable {
    /// The names in lower case, in the order in which they stand.
    package let names: [String]

    /// Reads the setting, which the server has found to be right.
    package init(parsing setting: some StringProtocol) {
        var words: [(text: String, isQuoted: Bool)] = []
        var word = ""
        var isInQuotes = false
        var isQuoted = false
        func endWord() {
            if isQuoted || !word.isEmpty { words.append((word.lowercased(), isQuoted)) }
            word = ""
            isQuoted = false
        }
        for character in setting {
            switch character {
            case "\"":
                // Two in a row stand for one.
                if !isInQuotes, isQuoted { word.append("\"") }
                isInQuotes.toggle()
                isQuoted = true
            case _ where isInQuotes: word.append(character)
            case "(":
                endWord()
                // What came before is how many of them are waited for.
                words = []
            case ",", ")": endWord()
            case _ where character.isWhitespace: endWord()
            default: word.append(character)
            }
        }
        endWord()
        names = words.map { !$0.isQuoted && $0.text == "*" ? Self.any : $0.text }
    }

    private static let any = "*"

    /// Whether a standby of this `application_name` is one of them; the server takes no heed of case.
    package func include(_ applicationName: String) -> Bool {
        names.contains { $0 == Self.any || $0 == applicationName.lowercased() }
    }
}
