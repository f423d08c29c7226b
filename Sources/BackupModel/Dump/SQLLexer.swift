/// Splits SQL as psql reads it into tokens, from chunks that may be cut anywhere.
///
/// Knows what can hide a semicolon or a line that looks like a statement: string constants with and without backslash
/// escapes, dollar quotes, quoted identifiers, line comments, nested block comments, parentheses and the
/// `BEGIN ATOMIC … END` bodies of functions.
package struct SQLLexer: Sendable {
    package enum Token: Sendable, Hashable {
        /// A key word, an unquoted name or a number; its text is kept as it was written.
        case word
        /// A name in double quotes; its text is kept without them.
        case quotedIdentifier
        /// A string constant; its text is kept without quotes and escapes, that of a dollar-quoted one not at all.
        case literal
        /// Any other character.
        case symbol(UInt8)
        /// The semicolon that ends a statement.
        case endOfStatement
        /// A line of psql's own, from its backslash to before the line's end.
        case metaCommand
        case comment
    }

    /// The text of the last token that has one, cut at the limit.
    package private(set) var text: [UInt8] = []

    private let textLimit: Int
    private var state = State.between
    private var body = StatementBody()
    private var settings = StandardStrings()

    /// A lexer that keeps at most `textLimit` bytes of each token's text.
    package init(keeping textLimit: Int = 1024) { self.textLimit = textLimit }

    /// The text of the last token.
    package var string: String { String(decoding: text, as: UTF8.self) }

    /// Whether a string, a name or a block comment has begun and not ended.
    package var isInsideToken: Bool {
        switch state {
        case .between, .word, .lineComment, .metaCommand, .dash, .slash, .dollarTag: false
        case .quoted(let quoted): !quoted.sawQuote
        case .blockComment, .dollarBody: true
        }
    }

    /// The next token that ends in `bytes`, or `nil` once all bytes are taken.
    ///
    /// It is searched from `position` on, which moves behind it. What has begun goes on in the next chunk.
    package mutating func next(in bytes: Span<UInt8>, from position: inout Int) -> Token? {
        while position < bytes.count {
            if let token = step(bytes, &position) { return noted(token) }
        }
        return nil
    }

    /// The token that the end of the input ends, if any.
    package mutating func finish() -> Token? {
        defer { state = .between }
        switch state {
        case .word: return noted(.word)
        case .quoted(let quoted) where quoted.sawQuote: return noted(quoted.isName ? .quotedIdentifier : .literal)
        case .metaCommand: return noted(.metaCommand)
        case .dash: return noted(.symbol(UInt8(ascii: "-")))
        case .slash: return noted(.symbol(UInt8(ascii: "/")))
        case .dollarTag: return noted(.symbol(ASCII.dollar))
        case .lineComment: return noted(.comment)
        default: return nil
        }
    }

    /// Whether the text of the last word is `keyword`, given in lower case.
    package func isWord(_ keyword: String) -> Bool { text.isKeyword(keyword) }
}

extension SQLLexer {
    private enum State: Sendable {
        case between
        case word
        case quoted(Quoted)
        /// After one `-` or `/`, which may begin a comment.
        case dash, slash
        case lineComment
        case blockComment(depth: Int, previous: UInt8)
        /// After `$` and what may be a tag.
        case dollarTag
        /// In a dollar-quoted string, after `matched` bytes of what may be its end.
        case dollarBody(tag: [UInt8], matched: Int)
        case metaCommand
    }

    private struct Quoted: Sendable {
        var isName = false
        var hasEscapes = false
        /// After a quote, which either ends the token or, if another follows, stands for one.
        var sawQuote = false
        var sawBackslash = false
        var mark: UInt8 { isName ? ASCII.doubleQuote : ASCII.quote }
    }

    private mutating func noted(_ token: Token) -> Token {
        settings.note(token, text)
        return body.note(token, text)
    }

    private mutating func keep(_ byte: UInt8) {
        if text.count < textLimit { text.append(byte) }
    }

    private mutating func step(_ bytes: Span<UInt8>, _ position: inout Int) -> Token? {
        switch state {
        case .between: return begin(bytes[position], &position)
        case .word: return continueWord(bytes, &position)
        case .quoted(let quoted): return continueQuoted(quoted, bytes, &position)
        case .dash:
            guard bytes[position] == UInt8(ascii: "-") else { return ended(.symbol(UInt8(ascii: "-"))) }
            position += 1
            state = .lineComment
        case .slash:
            guard bytes[position] == UInt8(ascii: "*") else { return ended(.symbol(UInt8(ascii: "/"))) }
            position += 1
            state = .blockComment(depth: 1, previous: 0)
        case .lineComment:
            while position < bytes.count, bytes[position] != ASCII.lineFeed { position += 1 }
            if position < bytes.count { return ended(.comment) }
        case .blockComment(let depth, let previous):
            return continueBlockComment(depth, previous, bytes, &position)
        case .dollarTag: return continueDollarTag(bytes[position], &position)
        case .dollarBody(let tag, let matched): return continueDollarBody(tag, matched, bytes, &position)
        case .metaCommand:
            while position < bytes.count, bytes[position] != ASCII.lineFeed {
                keep(bytes[position])
                position += 1
            }
            if position < bytes.count { return ended(.metaCommand) }
        }
        return nil
    }

    private mutating func ended(_ token: Token) -> Token {
        state = .between
        return token
    }

    private mutating func begin(_ byte: UInt8, _ position: inout Int) -> Token? {
        position += 1
        if ASCII.isSpace(byte) { return nil }
        switch byte {
        case ASCII.quote: beginText(.quoted(Quoted(hasEscapes: settings.backslashEscapes)))
        case ASCII.doubleQuote: beginText(.quoted(Quoted(isName: true)))
        case ASCII.dollar: beginText(.dollarTag)
        case ASCII.backslash: beginText(.metaCommand, with: byte)
        case UInt8(ascii: "-"): state = .dash
        case UInt8(ascii: "/"): state = .slash
        case UInt8(ascii: ";"): return .endOfStatement
        case _ where Self.isInWord(byte): beginText(.word, with: byte)
        default: return .symbol(byte)
        }
        return nil
    }

    private mutating func beginText(_ next: State, with first: UInt8? = nil) {
        text.removeAll(keepingCapacity: true)
        if let first { keep(first) }
        state = next
    }

    private static func isInWord(_ byte: UInt8) -> Bool {
        ASCII.isLetter(byte) || ASCII.isDigit(byte) || byte == UInt8(ascii: "_") || byte >= 0x80
    }

    private mutating func continueWord(_ bytes: Span<UInt8>, _ position: inout Int) -> Token? {
        while position < bytes.count {
            let byte = bytes[position]
            guard Self.isInWord(byte) || byte == ASCII.dollar else {
                guard byte == ASCII.quote, isWord("e") else { return ended(.word) }
                position += 1
                beginText(.quoted(Quoted(hasEscapes: true)))
                return nil
            }
            keep(byte)
            position += 1
        }
        return nil
    }

    private mutating func continueQuoted(_ begun: Quoted, _ bytes: Span<UInt8>, _ position: inout Int) -> Token? {
        var quoted = begun
        while position < bytes.count {
            let byte = bytes[position]
            if quoted.sawQuote {
                guard byte == quoted.mark else { return ended(quoted.isName ? .quotedIdentifier : .literal) }
                quoted.sawQuote = false
                keep(byte)
            } else if quoted.sawBackslash {
                quoted.sawBackslash = false
                keep(Self.escaped(byte))
            } else if byte == quoted.mark {
                quoted.sawQuote = true
            } else if byte == ASCII.backslash, quoted.hasEscapes {
                quoted.sawBackslash = true
            } else {
                keep(byte)
            }
            position += 1
        }
        state = .quoted(quoted)
        return nil
    }

    private static func escaped(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "n"): ASCII.lineFeed
        case UInt8(ascii: "r"): ASCII.carriageReturn
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        default: byte
        }
    }

    private mutating func continueBlockComment(
        _ begun: Int, _ before: UInt8, _ bytes: Span<UInt8>, _ position: inout Int
    ) -> Token? {
        var depth = begun
        var previous = before
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if previous == UInt8(ascii: "*"), byte == UInt8(ascii: "/") {
                depth -= 1
                if depth == 0 { return ended(.comment) }
                previous = 0
            } else if previous == UInt8(ascii: "/"), byte == UInt8(ascii: "*") {
                depth += 1
                previous = 0
            } else {
                previous = byte
            }
        }
        state = .blockComment(depth: depth, previous: previous)
        return nil
    }

    private mutating func continueDollarTag(_ byte: UInt8, _ position: inout Int) -> Token? {
        if byte == ASCII.dollar {
            position += 1
            let tag = [ASCII.dollar] + text + [ASCII.dollar]
            text.removeAll(keepingCapacity: true)
            state = .dollarBody(tag: tag, matched: 0)
            return nil
        }
        // A digit cannot begin a tag: `$1` is a parameter. No tag is longer than a name can be.
        let isInTag = Self.isInWord(byte) && !(text.isEmpty && ASCII.isDigit(byte))
        guard isInTag, text.count < 1024 else {
            state = text.isEmpty ? .between : .word
            return .symbol(ASCII.dollar)
        }
        text.append(byte)
        position += 1
        return nil
    }

    private mutating func continueDollarBody(
        _ tag: [UInt8], _ begun: Int, _ bytes: Span<UInt8>, _ position: inout Int
    ) -> Token? {
        var matched = begun
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            // A tag holds a dollar sign at its ends only, so that a mismatch can only begin anew with this byte.
            matched = byte == tag[matched] ? matched + 1 : (byte == ASCII.dollar ? 1 : 0)
            if matched == tag.count { return ended(.literal) }
        }
        state = .dollarBody(tag: tag, matched: matched)
        return nil
    }
}
