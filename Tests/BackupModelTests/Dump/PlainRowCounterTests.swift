import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Counting rows in a plain dump` {
    @Test func `counts what pg_dump wrote, wherever the stream is cut`() throws {
        let dump = Array(ScriptFixtures.plainDump.utf8)
        let expected = [
            TableRowCount(schema: "Odd \"Schema", table: "naïve\ntable.x", rows: 4, bytes: 76),
            TableRowCount(schema: "public", table: "bare", rows: 3, bytes: 3),
            TableRowCount(schema: "public", table: "dots", rows: 5, bytes: 21),
            TableRowCount(schema: "public", table: "part_1", rows: 9, bytes: 63),
        ]
        for cut in 0...dump.count { #expect(try counted(dump, cutAt: [cut]) == expected, "cut at \(cut)") }
        #expect(try counted(dump, cutAt: Array(0...dump.count)) == expected)
    }

    @Test func `refuses every truncation before the end of the trailer`() throws {
        let dump = Array(ScriptFixtures.plainDump.utf8)
        let trailer = "-- PostgreSQL database dump complete\n--\n"
        var counter = PlainRowCounter()
        for length in 0..<dump.count {
            var truncated = counter
            if dump[..<length].reversed().starts(with: trailer.utf8.reversed()) {
                #expect(try truncated.finish().count == 4)
                return
            }
            #expect(throws: BackupError.self, "\(length) bytes") { try truncated.finish() }
            counter.consume(dump.span.extracting(length..<length + 1))
        }
        Issue.record("the dump has no trailer")
    }

    @Test(arguments: [
        "SELECT '\nCOPY public.fake (n) FROM stdin;\n1\n';",
        "SELECT E'\\'\nCOPY public.fake (n) FROM stdin;\n1\n';",
        "SELECT 'it''s\nCOPY public.fake (n) FROM stdin;\n1\n';",
        "SELECT $$\nCOPY public.fake (n) FROM stdin;\n1\n$$;",
        "SELECT $a$ $$ $b$\nCOPY public.fake (n) FROM stdin;\n1\n$a$;",
        "SELECT $a$ $a\nCOPY public.fake (n) FROM stdin;\n$$a$;",
        "COMMENT ON TABLE t IS 'x;\nCOPY public.fake (n) FROM stdin;\n';",
        "-- COPY public.fake (n) FROM stdin;",
        "/* a /* nested */\nCOPY public.fake (n) FROM stdin;\n*/",
        "SELECT \"a\nCOPY public.fake (n) FROM stdin;\n\";",
        "SELECT\nCOPY public.fake (n) FROM stdin;",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;\nCOPY public.fake (n) FROM stdin;\nEND;",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1;\nCOPY public.fake (n) FROM stdin;\n);",
        "COPY public.fake (n) TO stdout;",
        "COPY public.fake (n) FROM '/tmp/stdin';",
        "COPY (SELECT 1) TO stdin;",
        "\\echo COPY public.fake (n) FROM stdin;",
    ])
    func `takes nothing for data that only looks like it`(statement: String) throws {
        let dump = Array("\(statement)\n\(Self.real)\(Self.trailer)".utf8)
        for cut in 0...dump.count {
            #expect(try counted(dump, cutAt: [cut]) == [TableRowCount(schema: "s", table: "t", rows: 2, bytes: 4)])
        }
    }

    @Test(arguments: [
        ("COPY public.a FROM stdin;", "public", "a"),
        ("COPY a (b, c) FROM stdin;", "", "a"),
        ("copy Public.A (b) from STDIN;", "public", "a"),
        ("COPY \"a b\".\"c\"\"d.e\" (\"f)\", g) FROM stdin;", "a b", "c\"d.e"),
        ("COPY \"\n\".\"Größe\" FROM stdin;", "\n", "Größe"),
        ("COPY naïve.größe (a) FROM stdin;", "naïve", "größe"),
        ("COPY \"copy\".\"from\" (\"stdin\") FROM stdin;", "copy", "from"),
        ("-- Data\nCOPY /* here */ s.t FROM stdin;", "s", "t"),
        ("SELECT 1;COPY s.t (a) FROM stdin WITH (FREEZE);", "s", "t"),
        ("COPY app.s.t (a) FROM stdin;", "s", "t"),
    ])
    func `reads the table's name`(statement: String, schema: String, table: String) throws {
        let dump = Array("\(statement)\n1\n\\.\n\(Self.trailer)".utf8)
        for cut in 0...dump.count {
            #expect(
                try counted(dump, cutAt: [cut]) == [TableRowCount(schema: schema, table: table, rows: 1, bytes: 2)])
        }
    }

    @Test func `ends the data at a line of a backslash and a period alone`() throws {
        let rows = [
            "\\\\.", "\\.x", " \\.", "x\\.", "\\N", "", "\\", ".", "\\\\", "\\n", "COPY s.t FROM stdin;", "-- '",
        ]
        let data = rows.map { "\($0)\n" }.joined()
        let dump = Array("COPY s.t FROM stdin;\n\(data)\\.\n\(Self.trailer)".utf8)
        let expected = TableRowCount(schema: "s", table: "t", rows: Int64(rows.count), bytes: Int64(data.utf8.count))
        for cut in 0...dump.count { #expect(try counted(dump, cutAt: [cut]) == [expected]) }
    }

    @Test(arguments: 0..<20)
    func `counts alike however the stream is cut`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let alphabet = Array("ab\\\\.\tN'\"$".utf8)
        var dump: [UInt8] = []
        var expected: [TableRowCount] = []
        for table in 0..<Int.random(in: 1...4, using: &random) {
            dump += Array("COPY s.t\(table) (a) FROM stdin;\n".utf8)
            let start = dump.count
            let rows = Int.random(in: 0...200, using: &random)
            for _ in 0..<rows {
                let row = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                    alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
                }
                dump += (row.starts(with: "\\.".utf8) ? [0x78] : []) + row + [0x0A]
            }
            expected.append(
                TableRowCount(schema: "s", table: "t\(table)", rows: Int64(rows), bytes: Int64(dump.count - start)))
            dump += Array("\\.\n".utf8)
        }
        dump += Array(Self.trailer.utf8)
        for size in [1, 2, 3, 63, 64, 65, 100, 241, 1000, dump.count] {
            let cuts = Array(stride(from: 0, to: dump.count, by: size))
            #expect(try counted(dump, cutAt: cuts) == expected, "seed \(seed), pieces of \(size)")
        }
    }

    @Test func `follows standard_conforming_strings`() throws {
        let trap = "SELECT '\\'\nCOPY public.fake (n) FROM stdin;\n1\n';\n"
        let expected = [TableRowCount(schema: "s", table: "t", rows: 2, bytes: 4)]
        for setting in ["= off", "= 'off'", "TO off"] {
            let dump = "SET standard_conforming_strings \(setting);\n\(trap)\(Self.real)\(Self.trailer)"
            #expect(try counted(Array(dump.utf8)) == expected)
        }
    }

    @Test func `says where a dump ends too early`() {
        #expect(reason("COPY s.t FROM stdin;\n1\n") == "it ends inside the data of table 's.t'")
        #expect(reason("SELECT '\n\(Self.trailer)") == "it ends inside a quoted text or a comment")
        #expect(reason(Self.real) == "it does not end with '-- PostgreSQL database dump complete'")
        // The trailer as data is no trailer.
        #expect(reason("COPY s.t FROM stdin;\n\(Self.trailer)") == "it ends inside the data of table 's.t'")
    }

    private func reason(_ dump: String) -> String? {
        do {
            _ = try counted(Array(dump.utf8))
            return nil
        } catch {
            return (error as? BackupError)?.reason
        }
    }

    private static let real = "COPY s.t FROM stdin;\n1\n2\n\\.\n"
    private static let trailer = "--\n-- PostgreSQL database dump complete\n--\n\n"
}

private func counted(_ dump: [UInt8], cutAt cuts: [Int] = []) throws -> [TableRowCount] {
    var counter = PlainRowCounter()
    var start = 0
    for end in cuts + [dump.count] {
        counter.consume(dump.span.extracting(start..<end))
        start = end
    }
    return try counter.finish()
}

@Suite struct `Recognising the trailer of a dump` {
    private static let database = "x\n--\n-- PostgreSQL database dump complete\n--\n\n"
    private static let cluster = "x\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"

    @Test func `tells the two trailers apart`() {
        #expect(isComplete(Self.database, .database))
        #expect(!isComplete(Self.database, .cluster))
        #expect(isComplete(Self.cluster, .cluster))
        #expect(!isComplete(Self.cluster, .database))
    }

    @Test func `lets unrestrict follow, and nothing else`() {
        #expect(isComplete(Self.database + "\\unrestrict abc\n\n", .database))
        #expect(!isComplete(Self.database + "SELECT 1;\n", .database))
        #expect(!isComplete(Self.database + "\\connect app\n", .database))
        #expect(!isComplete(Self.database + Self.cluster, .database))
    }

    @Test func `wants whole lines`() {
        #expect(!isComplete("", .database))
        #expect(!isComplete("-- PostgreSQL database dump complete", .database))
        #expect(!isComplete("-- PostgreSQL database dump complete\n--", .database))
        #expect(!isComplete("x -- PostgreSQL database dump complete\n--\n", .database))
        #expect(isComplete("-- PostgreSQL database dump complete\n--\n", .database))
    }

    @Test func `looks at the last 4 KiB alone, however they came`() {
        let near = Self.database + String(repeating: "\n", count: 4000)
        let far = Self.database + String(repeating: "\n", count: 4096)
        for size in [1, 7, 4095, 4096, 4097, 10_000] {
            #expect(isComplete(String(repeating: "y", count: 9000) + near, .database, every: size))
            #expect(!isComplete(far, .database, every: size))
        }
    }

    private func isComplete(_ text: String, _ kind: DumpTrailer.Kind, every size: Int = 64) -> Bool {
        let bytes = Array(text.utf8)
        var trailer = DumpTrailer()
        for start in stride(from: 0, to: bytes.count, by: size) {
            trailer.consume(bytes.span.extracting(start..<min(start + size, bytes.count)))
        }
        return trailer.isComplete(kind)
    }
}
