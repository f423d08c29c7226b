/// An SQL script, split as psql splits it.
package struct SQLScript: Sendable, Hashable {
    /// One thing the script does.
    package enum Element: Sendable, Hashable {
        /// A statement without its semicolon and comments.
        case statement(String)
        /// A line of psql's own, `\connect app`.
        case metaCommand(String)
    }

    package var elements: [Element] = []

    /// Splits a script that is short enough to be held as a whole.
    ///
    /// - Throws: ``ErrorCode/dumpIncomplete`` if it ends inside a statement, or is not UTF-8.
    package init(parsing script: Span<UInt8>) throws(BackupError) {
        var lexer = SQLLexer(keeping: script.count)
        var statement: [UInt8] = []
        var position = 0
        var hasTokens = false
        while position < script.count {
            let start = position
            var token = lexer.next(in: script, from: &position)
            if token == nil {
                guard !lexer.isInsideToken else { throw Self.incomplete("a quoted text or a comment") }
                token = lexer.finish()
            }
            switch token {
            case .comment: statement.append(UInt8(ascii: " "))
            case .metaCommand: elements.append(.metaCommand(try Self.text(lexer.text)))
            case .endOfStatement:
                if hasTokens { elements.append(.statement(try Self.text(statement))) }
                statement.removeAll(keepingCapacity: true)
                hasTokens = false
            case .some:
                for index in start..<position { statement.append(script[index]) }
                hasTokens = true
            case nil: break
            }
        }
        guard !hasTokens else { throw Self.incomplete("a statement") }
    }

    private static func text(_ bytes: [UInt8]) throws(BackupError) -> String {
        let trimmed = bytes.drop(while: ASCII.isSpace)
        let end = trimmed.lastIndex { !ASCII.isSpace($0) }.map { $0 + 1 } ?? trimmed.startIndex
        guard let text = String(validating: trimmed[..<end], as: UTF8.self) else {
            throw BackupError(
                .dumpIncomplete, "The script is not UTF-8 text.",
                reason: "a statement in it holds bytes that no UTF-8 text has",
                remedy: "Dump it with --encoding=UTF8.")
        }
        return text
    }

    private static func incomplete(_ place: String) -> BackupError {
        BackupError(
            .dumpIncomplete, "The script is not complete.", reason: "it ends inside \(place)",
            remedy: "Take it from another backup, or look at the messages of the program that wrote it.")
    }
}
