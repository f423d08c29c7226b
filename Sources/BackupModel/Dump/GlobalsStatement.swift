/// One statement of `pg_dumpall --globals-only`, as far as a restore has to tell them apart.
package enum GlobalsStatement: Sendable, Hashable {
    /// A setting of the session that runs the script.
    case sessionSetting
    case createRole(name: String)
    /// The attributes of a role, its password among them.
    case alterRole(name: String)
    case alterRoleSet(name: String, database: String?)
    /// A comment on a role, or a security label.
    case describeRole(name: String)
    /// A membership; `statement` is without `GRANTED BY`, because the grantor may not exist or may not grant elsewhere.
    case grantMembership(group: String, member: String, statement: String)
    /// The right to set a parameter.
    case grantParameter(role: String)
    case createTablespace(name: String, owner: String?, location: String)
    /// Settings of, rights on, or a comment on a tablespace.
    case describeTablespace(name: String)
    case other

    package init(classifying statement: String) {
        let tokens = Self.tokens(of: statement)
        let words = tokens.map(\.keyword)
        self =
            Self.roleStatement(tokens, words) ?? Self.grant(statement, tokens, words)
            ?? Self.tablespaceStatement(tokens, words)
            ?? (Self.isSetting(tokens, words) ? .sessionSetting : .other)
    }
}

extension GlobalsStatement {
    private struct Token {
        var kind: SQLLexer.Token
        var text: String
        /// Where the token before this one ends.
        var start: Int

        /// The lower-case key word this may be; empty for quoted names and constants.
        var keyword: String { kind == .word ? text.lowercased() : "" }

        /// The name this is, as the server folds it.
        var name: String? {
            switch kind {
            case .word: String(decoding: text.utf8.map(ASCII.lowercased), as: UTF8.self)
            case .quotedIdentifier: text
            default: nil
            }
        }
    }

    private static func tokens(of statement: String) -> [Token] {
        let bytes = Array(statement.utf8)
        var lexer = SQLLexer(keeping: bytes.count)
        var tokens: [Token] = []
        var position = 0
        while position < bytes.count {
            let start = position
            guard let kind = lexer.next(in: bytes.span, from: &position) ?? lexer.finish() else { break }
            if kind == .comment { continue }
            tokens.append(Token(kind: kind, text: lexer.string, start: start))
        }
        return tokens
    }

    /// `SET name = …` or `SET name TO …`, not `SET ROLE` or `SET SESSION AUTHORIZATION`.
    private static func isSetting(_ tokens: [Token], _ words: [String]) -> Bool {
        words.count > 3 && words[0] == "set" && (words[2] == "to" || tokens[2].kind == .symbol(UInt8(ascii: "=")))
    }

    private static func roleStatement(_ tokens: [Token], _ words: [String]) -> GlobalsStatement? {
        if words.starts(with: ["create", "role"]), let name = name(tokens, 2) { return .createRole(name: name) }
        if words.starts(with: ["comment", "on", "role"]), let name = name(tokens, 3) {
            return .describeRole(name: name)
        }
        if words.starts(with: ["security", "label"]), let index = adjacent("on", "role", in: words),
            let name = name(tokens, index + 2)
        {
            return .describeRole(name: name)
        }
        guard words.starts(with: ["alter", "role"]), let role = name(tokens, 2), words.count > 3 else { return nil }
        switch words[3] {
        case "set", "reset": return .alterRoleSet(name: role, database: nil)
        case "in": return name(tokens, 5).map { .alterRoleSet(name: role, database: $0) }
        default: return .alterRole(name: role)
        }
    }

    private static func grant(_ statement: String, _ tokens: [Token], _ words: [String]) -> GlobalsStatement? {
        guard words.first == "grant", let to = words.lastIndex(of: "to"), let grantee = name(tokens, to + 1) else {
            return nil
        }
        if let index = adjacent("on", "tablespace", in: words), let name = name(tokens, index + 2) {
            return .describeTablespace(name: name)
        }
        if adjacent("on", "parameter", in: words) != nil { return .grantParameter(role: grantee) }
        guard to == 2, let group = name(tokens, 1) else { return nil }
        let end = adjacent("granted", "by", in: words).map { tokens[$0].start } ?? statement.utf8.count
        let kept = String(decoding: statement.utf8.prefix(end), as: UTF8.self)
        return .grantMembership(group: group, member: grantee, statement: kept)
    }

    private static func tablespaceStatement(_ tokens: [Token], _ words: [String]) -> GlobalsStatement? {
        if words.starts(with: ["create", "tablespace"]), let tablespace = name(tokens, 2),
            let location = tokens.last, location.kind == .literal
        {
            let owner = words.count > 4 && words[3] == "owner" ? name(tokens, 4) : nil
            return .createTablespace(name: tablespace, owner: owner, location: location.text)
        }
        if words.starts(with: ["alter", "tablespace"]) { return name(tokens, 2).map { .describeTablespace(name: $0) } }
        if let index = adjacent("on", "tablespace", in: words) {
            return name(tokens, index + 2).map { .describeTablespace(name: $0) }
        }
        return nil
    }

    private static func name(_ tokens: [Token], _ index: Int) -> String? {
        index < tokens.count ? tokens[index].name : nil
    }

    /// Where `first` stands directly before `second`.
    private static func adjacent(_ first: String, _ second: String, in words: [String]) -> Int? {
        words.indices.dropLast().first { words[$0] == first && words[$0 + 1] == second }
    }
}
