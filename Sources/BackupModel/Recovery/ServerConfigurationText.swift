/// The text of a server's `postgresql.conf` or `postgresql.auto.conf`, in bytes of any encoding.
package struct ServerConfigurationText: Sendable, Hashable {
    /// A line that says something.
    package struct Statement: Sendable, Hashable {
        /// Counted from 1.
        package var line: Int
        /// Never ``ServerConfigurationLine/empty``.
        package var content: ServerConfigurationLine
    }

    /// A line that was made a comment.
    package struct CommentedLine: Sendable, Hashable {
        package var statement: Statement
        package var why: String
    }

    /// A setting that is to be written.
    package struct Assignment: Sendable, Hashable {
        package var name: String
        package var value: [UInt8]

        /// Any bytes but a line feed and zero may be a value.
        package init(_ name: String, _ value: [UInt8]) {
            self.name = name
            self.value = value
        }

        /// A text as a value.
        package init(_ name: String, _ value: String) { self.init(name, Array(value.utf8)) }
    }

    package var bytes: [UInt8]

    /// A text of these bytes.
    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Every line that says something, in order.
    package var statements: [Statement] {
        var statements: [Statement] = []
        forEachLine { number, line, _ in
            let content = ServerConfigurationLine(parsing: line)
            if content != .empty { statements.append(Statement(line: number, content: content)) }
        }
        return statements
    }

    /// The value of the last line that sets `name`, which is what a server takes; what is included is not looked at.
    package func value(of name: String) -> [UInt8]? {
        for statement in statements.reversed() {
            if case .setting(name, let value) = statement.content { return value }
        }
        return nil
    }

    /// The text with each line for which `reason` has one made a comment that says it; every other byte as it was.
    ///
    /// A reason is one line of ASCII.
    package func commentingOut(
        _ reason: (Statement) -> String?
    ) -> (text: ServerConfigurationText, lines: [CommentedLine]) {
        var result: [UInt8] = []
        var commented: [CommentedLine] = []
        result.reserveCapacity(bytes.count)
        forEachLine { number, line, whole in
            let statement = Statement(line: number, content: ServerConfigurationLine(parsing: line))
            if statement.content != .empty, let why = reason(statement) {
                commented.append(CommentedLine(statement: statement, why: why))
                result += "# off by apex-backup (\(why)): ".utf8
            }
            result += whole
        }
        return (ServerConfigurationText(result), commented)
    }

    /// Calls `body` with each line's number, its bytes, and its bytes with the line feed.
    private func forEachLine(_ body: (Int, ArraySlice<UInt8>, ArraySlice<UInt8>) -> Void) {
        var number = 1
        var start = bytes.startIndex
        while start < bytes.endIndex {
            let end = bytes[start...].firstIndex(of: ASCII.lineFeed) ?? bytes.endIndex
            let next = min(end + 1, bytes.endIndex)
            body(number, bytes[start..<end], bytes[start..<next])
            number += 1
            start = next
        }
    }
}

extension ServerConfigurationText {
    /// The line before the settings that a restore wrote.
    package static let blockStart = "# BEGIN settings of apex-backup restore"
    /// The line after them.
    package static let blockEnd = "# END settings of apex-backup restore"

    /// The text without the blocks of earlier restores, and what they set.
    ///
    /// A block is a starting line and all up to the next ending one. A starting line without an ending one is left with
    /// what follows it: it may be anybody's.
    package func removingBlocks() -> (text: ServerConfigurationText, settings: [Statement]) {
        var kept: [UInt8] = []
        var pending: [UInt8]?
        var pendingSettings: [Statement] = []
        var settings: [Statement] = []
        forEachLine { number, line, whole in
            let ended = Array(line.reversed().drop(while: ASCII.isSpace).reversed())
            if ended == Array(Self.blockStart.utf8) {
                kept += pending ?? []
                pending = Array(whole)
                pendingSettings = []
            } else if pending == nil {
                kept += whole
            } else if ended == Array(Self.blockEnd.utf8) {
                settings += pendingSettings
                pending = nil
            } else {
                pending?.append(contentsOf: whole)
                let content = ServerConfigurationLine(parsing: line)
                if case .setting = content { pendingSettings.append(Statement(line: number, content: content)) }
            }
        }
        return (ServerConfigurationText(kept + (pending ?? [])), settings)
    }

    /// The text with a block of `assignments` at its end, where they win over all before; `remarks` are lines of ASCII.
    ///
    /// - Throws: ``ErrorCode/settings`` if a name is none that a server reads, or a value has a line feed or a zero byte.
    package func appendingBlock(
        _ assignments: [Assignment], remarks: [String] = []
    ) throws(BackupError) -> ServerConfigurationText {
        var result = bytes
        if let last = result.last, last != ASCII.lineFeed { result.append(ASCII.lineFeed) }
        result += "\(Self.blockStart)\n".utf8
        for remark in remarks { result += "# \(remark)\n".utf8 }
        for assignment in assignments { result += try assignment.line }
        result += "\(Self.blockEnd)\n".utf8
        return ServerConfigurationText(result)
    }
}

extension ServerConfigurationText.Assignment {
    /// `name = 'value'` and a line feed.
    fileprivate var line: [UInt8] {
        get throws(BackupError) {
            var line = Array("\(name) = '".utf8)
            for byte in value {
                if byte == ASCII.quote || byte == ASCII.backslash { line.append(byte) }
                line.append(byte)
            }
            line.append(ASCII.quote)
            // What a server would read from the line is what was meant, or it is not written.
            guard !line.contains(ASCII.lineFeed),
                ServerConfigurationLine(parsing: line[...]) == .setting(name: name, value: value)
            else {
                throw BackupError(
                    .settings, "The setting '\(name)' cannot be written into a server's configuration.",
                    reason: "its value has a line feed or a zero byte, or its name is not in lower case",
                    remedy: "Give it a value of one line: no path or command that the restored server is told of may "
                        + "have a line feed in it.",
                    unchanged: "No configuration was written.")
            }
            return line + [ASCII.lineFeed]
        }
    }
}
