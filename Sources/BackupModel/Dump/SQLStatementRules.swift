/// Whether a semicolon ends a statement or stands inside it, as psql decides.
struct StatementBody: Sendable {
    private var parentheses = 0
    private var begins = 0
    private var firstWords: [UInt8] = []

    mutating func note(_ token: SQLLexer.Token, _ text: [UInt8]) -> SQLLexer.Token {
        switch token {
        case .symbol(UInt8(ascii: "(")): parentheses += 1
        case .symbol(UInt8(ascii: ")")): parentheses = max(0, parentheses - 1)
        case .endOfStatement where parentheses > 0 || begins > 0: return .symbol(UInt8(ascii: ";"))
        case .endOfStatement: self = StatementBody()
        case .word: noteWord(text)
        default: break
        }
        return token
    }

    private mutating func noteWord(_ text: [UInt8]) {
        if firstWords.count < 4 { firstWords.append(Self.letter(of: text)) }
        guard parentheses == 0, isRoutine else { return }
        if text.isKeyword("begin") || (begins > 0 && text.isKeyword("case")) {
            begins += 1
        } else if text.isKeyword("end") {
            begins = max(0, begins - 1)
        }
    }

    private static func letter(of word: [UInt8]) -> UInt8 {
        if word.isKeyword("create") { return UInt8(ascii: "c") }
        if word.isKeyword("or") { return UInt8(ascii: "o") }
        if word.isKeyword("replace") { return UInt8(ascii: "r") }
        return word.isKeyword("function") || word.isKeyword("procedure") ? UInt8(ascii: "f") : 0
    }

    /// `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`.
    private var isRoutine: Bool { firstWords.starts(with: "cf".utf8) || firstWords.starts(with: "corf".utf8) }
}

/// Follows `SET standard_conforming_strings`: while it is off, a backslash escapes in every string.
struct StandardStrings: Sendable {
    private(set) var backslashEscapes = false
    private var wordsMatched = 0

    mutating func note(_ token: SQLLexer.Token, _ text: [UInt8]) {
        switch (wordsMatched, token) {
        case (_, .comment), (_, .metaCommand): break
        case (_, .endOfStatement): wordsMatched = 0
        case (0, .word) where text.isKeyword("set"): wordsMatched = 1
        case (1, .word) where text.isKeyword("standard_conforming_strings"): wordsMatched = 2
        case (2, .symbol(UInt8(ascii: "="))): wordsMatched = 3
        case (2, .word) where text.isKeyword("to"): wordsMatched = 3
        case (3, .word), (3, .literal):
            backslashEscapes = text.isKeyword("off")
            wordsMatched = -1
        default: wordsMatched = -1
        }
    }
}

extension [UInt8] {
    /// Whether this text of a token is `keyword`, given in lower case, in any case.
    func isKeyword(_ keyword: String) -> Bool {
        count == keyword.utf8.count && zip(self, keyword.utf8).allSatisfy { ASCII.lowercased($0) == $1 }
    }
}
