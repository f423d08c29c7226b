/// Counts the rows of every table in a plain SQL dump, while it passes by.
///
/// Only a real `COPY … FROM stdin;` counts: one that stands at the beginning of a statement, outside of strings,
/// function bodies and comments. The stream may be cut into chunks anywhere; memory grows with the number of tables.
package struct PlainRowCounter: Sendable {
    private var lexer = SQLLexer()
    private var statement = CopyStatement()
    private var serverWide = ServerWideStatement()
    private var place = Place.statements
    private var tables: [TableRowCount] = []
    private var trailer = DumpTrailer()

    package init() {}

    /// The first statement that acts beyond one database, such as `DROP DATABASE`; `nil` in a dump of one alone.
    ///
    /// It is known before the end of that statement was taken.
    package var serverWideStatement: String? { serverWide.found }

    /// Takes the next bytes of the dump.
    package mutating func consume(_ bytes: Span<UInt8>) {
        trailer.consume(bytes)
        var position = 0
        while position < bytes.count {
            switch place {
            case .statements: readStatements(bytes, &position)
            case .endOfLine:
                if bytes[position] == ASCII.lineFeed { place = .rows(.lineStart) }
                position += 1
            case .rows(let end): readRows(bytes, &position, end)
            }
        }
    }

    /// The rows of each table, in the order of the dump.
    ///
    /// - Throws: ``ErrorCode/dumpIncomplete`` unless the dump ends with pg_dump's trailer.
    package mutating func finish() throws(BackupError) -> [TableRowCount] {
        if case .statements = place, !lexer.isInsideToken, trailer.isComplete(.database) { return tables }
        let reason =
            switch place {
            case .statements where lexer.isInsideToken: "it ends inside a quoted text or a comment"
            case .statements: "it does not end with '-- PostgreSQL database dump complete'"
            case .endOfLine, .rows:
                tables.last.map { "it ends inside the data of table '\($0.schema).\($0.table)'" } ?? "it ends in data"
            }
        throw BackupError(
            .dumpIncomplete, "The dump that pg_dump wrote is not complete.", reason: reason,
            remedy: "Look at pg_dump's own messages and the server's log, then take the backup again.")
    }
}

extension PlainRowCounter {
    private enum Place: Sendable {
        case statements
        /// Behind `FROM stdin;`: the data begins with the next line.
        case endOfLine
        case rows(EndMarker)
    }

    /// How much of `\.`, alone on its line, stands before the next byte.
    private enum EndMarker: Sendable {
        case absent, lineStart, backslash, period
    }

    private mutating func readStatements(_ bytes: Span<UInt8>, _ position: inout Int) {
        while let token = lexer.next(in: bytes, from: &position) {
            serverWide.note(token, lexer.text)
            guard let table = statement.note(token, lexer.text) else { continue }
            tables.append(TableRowCount(schema: table.schema, table: table.name))
            place = .endOfLine
            return
        }
    }

    private mutating func readRows(_ bytes: Span<UInt8>, _ position: inout Int, _ begun: EndMarker) {
        let last = tables.count - 1
        var end = begun
        // The vector loop looks back two bytes, so the first bytes of a chunk, and the last of a marker, go one by one.
        while position < bytes.count {
            if position >= 2, end != .period, bytes.count &- position >= 64 {
                let (passed, lineFeeds) = Self.passRows(bytes, from: position)
                if passed > position {
                    tables[last].rows += Int64(lineFeeds)
                    tables[last].bytes += Int64(passed - position)
                    position = passed
                    end = Self.endMarker(before: position, in: bytes)
                    continue
                }
            }
            for index in position..<min(position &+ 64, bytes.count) {
                position = index &+ 1
                if readRowByte(bytes[index], &end, last) {
                    place = .statements
                    return
                }
            }
        }
        place = .rows(end)
    }

    /// Whether `byte` ends the data.
    private mutating func readRowByte(_ byte: UInt8, _ end: inout EndMarker, _ table: Int) -> Bool {
        tables[table].bytes += 1
        switch (end, byte) {
        case (.period, ASCII.lineFeed):
            tables[table].bytes -= 3
            return true
        case (_, ASCII.lineFeed):
            tables[table].rows += 1
            end = .lineStart
        case (.lineStart, ASCII.backslash): end = .backslash
        case (.backslash, ASCII.period): end = .period
        default: end = .absent
        }
        return false
    }

    /// Passes over blocks of rows in which no line begins with the end marker.
    ///
    /// Returns where it stopped and the line feeds it passed. The inner loop reads each byte once and decides without
    /// branches, so that the compiler makes vector instructions of it.
    private static func passRows(_ bytes: Span<UInt8>, from start: Int) -> (position: Int, lineFeeds: Int) {
        var total = 0
        var position = max(2, start)
        while position < bytes.count {
            let end = min(position &+ 240, bytes.count)
            var found: UInt8 = 0
            var markers: UInt8 = 0
            var before = bytes[position &- 1]
            var beforeThat = bytes[position &- 2]
            var index = position
            while index < end {
                let byte = bytes[index]
                markers |=
                    (byte == ASCII.period ? 1 : 0) & (before == ASCII.backslash ? 1 : 0)
                    & (beforeThat == ASCII.lineFeed ? 1 : 0)
                found &+= byte == ASCII.lineFeed ? 1 : 0
                beforeThat = before
                before = byte
                index &+= 1
            }
            if markers != 0 { break }
            total &+= Int(found)
            position = end
        }
        return (position, total)
    }

    private static func endMarker(before position: Int, in bytes: Span<UInt8>) -> EndMarker {
        if bytes[position - 1] == ASCII.lineFeed { return .lineStart }
        return bytes[position - 1] == ASCII.backslash && bytes[position - 2] == ASCII.lineFeed ? .backslash : .absent
    }
}

/// Recognises `COPY [schema.]table [(columns)] FROM stdin …;` from its tokens.
private struct CopyStatement: Sendable {
    private enum Step: Sendable {
        case begin, name, afterName, columns, source, end, other
    }

    private var step = Step.begin
    private var names: [String] = []

    /// The table, when `token` ends such a statement.
    mutating func note(_ token: SQLLexer.Token, _ text: [UInt8]) -> (schema: String, name: String)? {
        switch token {
        case .comment, .metaCommand: return nil
        case .endOfStatement:
            defer { self = CopyStatement() }
            guard step == .end, let name = names.last else { return nil }
            return (names.count > 1 ? names[names.count - 2] : "", name)
        default:
            step = next(token, text)
            return nil
        }
    }

    private mutating func next(_ token: SQLLexer.Token, _ text: [UInt8]) -> Step {
        switch (step, token) {
        case (.begin, .word): return text.isKeyword("copy") ? .name : .other
        case (.name, .word):
            names.append(String(decoding: text.map(ASCII.lowercased), as: UTF8.self))
            return .afterName
        case (.name, .quotedIdentifier):
            names.append(String(decoding: text, as: UTF8.self))
            return .afterName
        case (.afterName, .symbol(ASCII.period)): return .name
        case (.afterName, .symbol(UInt8(ascii: "("))): return .columns
        case (.columns, .symbol(UInt8(ascii: ")"))): return .afterName
        case (.columns, _): return .columns
        case (.afterName, .word) where text.isKeyword("from"): return .source
        case (.source, .word) where text.isKeyword("stdin"): return .end
        case (.end, _): return .end
        default: return .other
        }
    }
}
