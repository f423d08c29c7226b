import Testing

@testable import BackupModel

@Suite struct `Splitting a script` {
    @Test func `separates statements, drops comments and keeps psql's own lines`() throws {
        let script = """
            -- a comment; with a semicolon
            \\restrict abc;def
            SELECT 1; SELECT ';' AS ";" -- between
            , $x$;$x$ /* ; */ ;;
            \\connect app
            GRANT a TO b;
            """
        #expect(
            try elements(script) == [
                .metaCommand("\\restrict abc;def"), .statement("SELECT 1"),
                .statement("SELECT ';' AS \";\" \n, $x$;$x$"), .metaCommand("\\connect app"),
                .statement("GRANT a TO b"),
            ])
    }

    @Test(arguments: [
        "SELECT 'a;b'", "SELECT 'a''b;'", "SELECT E'a\\';b'", "SELECT \"a;\"\"b\"", "SELECT $$a;b$$",
        "SELECT $a$;$b$;$a$",
        "SELECT ($1;2)", "SELECT a$b$c", "SELECT 1 - 2 / 3", "SELECT 1-1", "SELECT 'é'", "SELECT '\\'",
        "SELECT $1 + $2",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END",
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END", "SELECT $ab", "SELECT a-", "SELECT 1 /",
    ])
    func `keeps a statement whole`(statement: String) throws {
        #expect(try elements("\(statement);") == [.statement(statement)])
        #expect(
            try elements("BEGIN;\(statement);COMMIT;") == [
                .statement("BEGIN"), .statement(statement), .statement("COMMIT"),
            ])
    }

    @Test func `has nothing in an empty script`() throws {
        for script in ["", " \n", "-- only\n", "-- only", "/* a */", ";;"] { #expect(try elements(script).isEmpty) }
    }

    @Test(arguments: ["SELECT 1", "SELECT 'a;", "SELECT \"a;", "SELECT $$a;", "/* a;", "SELECT (1;", "SELECT E'\\';"])
    func `refuses a script that ends in the middle`(script: String) throws {
        let error = try #require(throws: BackupError.self) { try elements(script) }
        #expect(error.code == .dumpIncomplete)
    }

    @Test func `refuses bytes that are no UTF-8`() throws {
        let bytes = Array("SELECT '".utf8) + [0xE9] + Array("';".utf8)
        let error = try #require(throws: BackupError.self) { try SQLScript(parsing: bytes.span) }
        #expect(error.remedy.contains("--encoding=UTF8"))
    }

    private func elements(_ script: String) throws -> [SQLScript.Element] {
        try SQLScript(parsing: Array(script.utf8).span).elements
    }
}

@Suite struct `Reading SQL tokens` {
    @Test func `gives the same tokens wherever the text is cut`() {
        let text =
            Array(#"a "B ""c" E'x\'y\n' 'it''s' $t$ $ $t $t$ /* /* */ */ -- z"#.utf8) + Array("\n\\x y\n1-2/3;".utf8)
        let expected = [
            "word a", "name B \"c", "literal x'y\n", "literal it's", "literal ", "comment", "comment", "meta \\x y",
            "word 1", "symbol -", "word 2", "symbol /", "word 3", "end",
        ]
        for cut in 0...text.count { #expect(tokens(text, cutAt: cut) == expected) }
    }

    @Test func `cuts long texts at the limit and still finds their end`() {
        let text = Array("'\(String(repeating: "a", count: 100))' b".utf8)
        var lexer = SQLLexer(keeping: 10)
        var position = 0
        #expect(lexer.next(in: text.span, from: &position) == .literal)
        #expect(lexer.text.count == 10)
        #expect(lexer.next(in: text.span, from: &position) == nil)
        #expect(lexer.finish() == .word)
        #expect(lexer.string == "b")
    }

    private func tokens(_ text: [UInt8], cutAt cut: Int) -> [String] {
        var lexer = SQLLexer()
        var found: [String] = []
        for range in [0..<cut, cut..<text.count] {
            let bytes = Array(text[range])
            var position = 0
            while let token = lexer.next(in: bytes.span, from: &position) { found.append(name(token, lexer.string)) }
        }
        if let token = lexer.finish() { found.append(name(token, lexer.string)) }
        return found
    }

    private func name(_ token: SQLLexer.Token, _ text: String) -> String {
        switch token {
        case .word: "word \(text)"
        case .quotedIdentifier: "name \(text)"
        case .literal: "literal \(text)"
        case .symbol(let byte): "symbol \(Character(Unicode.Scalar(byte)))"
        case .endOfStatement: "end"
        case .metaCommand: "meta \(text)"
        case .comment: "comment"
        }
    }
}
