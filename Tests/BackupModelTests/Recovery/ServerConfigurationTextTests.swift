import TestSupport
import Testing

@testable import BackupModel

@Suite struct `The text of a server's configuration` {
    @Test(arguments: [
        ("work_mem = 4MB", "work_mem", "4MB"), ("work_mem 4MB", "work_mem", "4MB"), ("a.B='x'#c", "a.b", "x"),
        ("\tPORT\t=\t5432 # (change requires restart)", "port", "5432"), ("x = 'it''s \\'so\\''", "x", "it's 'so'"),
        ("x = '\\n\\t\\b\\f\\r\\101\\7z\\400'", "x", "\n\t\u{8}\u{C}\rA\u{7}z"), ("x = 'a\\000b'", "x", "a"),
        ("x = '# no comment'", "x", "# no comment"), ("x = ''\r", "x", ""), ("x = on\r\r", "x", "on"),
        ("x = -1.5e-3", "x", "-1.5e-3"), ("x = +0x1Fkb", "x", "+0x1Fkb"), ("x = .", "x", "."),
        ("x = a-b/c:d", "x", "a-b/c:d"),
        ("x='a'", "x", "a"), ("x'a'", "x", "a"), ("x-1", "", ""),
    ])
    func `reads a line as a server does`(line: String, name: String, value: String) {
        let read = ServerConfigurationLine(parsing: Array(line.utf8)[...])
        #expect(read == (name.isEmpty ? .unreadable : .setting(name: name, value: Array(value.utf8))))
    }

    @Test(arguments: [
        "x", "x =", "x == 1", "x = 1.5GB", "x = 1e5", "x = a.b", "x = 'a' b", "x = 'a", "x = 'a\\'", "9 = 1",
        "a.b.c = 1",
        "a. b = 1", "= 1", "x = -", "x = /abs", "x = \"a\"", "x = 1;", "'x' = 1", "x = 'a\0b'", "x = 1\u{B}",
    ])
    func `knows what no server reads`(line: String) {
        #expect(ServerConfigurationLine(parsing: Array(line.utf8)[...]) == .unreadable)
    }

    @Test func `lists what it says in order, and the last assignment wins`() {
        let text = ServerConfigurationText(
            Array("# head\r\nport = 1\r\n\r\nInclude_Dir 'conf.d'\nPort = 2\nport x y\nssl = on".utf8))
        #expect(
            text.statements == [
                .init(line: 2, content: .setting(name: "port", value: Array("1".utf8))),
                .init(line: 4, content: .inclusion(directive: "include_dir", path: Array("conf.d".utf8))),
                .init(line: 5, content: .setting(name: "port", value: Array("2".utf8))),
                .init(line: 6, content: .unreadable),
                .init(line: 7, content: .setting(name: "ssl", value: Array("on".utf8))),
            ])
        #expect(text.value(of: "port") == Array("2".utf8) && text.value(of: "fsync") == nil)
    }

    @Test func `keeps every other byte when lines become comments`() {
        let before: [UInt8] = Array("caf".utf8) + [0xE9, 0xFF, 0] + Array(" # x\r\n\r\n  port = 1 # p\\\r\nssl".utf8)
        let (after, lines) = ServerConfigurationText(before).commentingOut { $0.line == 3 ? "why" : nil }
        let expected: [UInt8] =
            Array("caf".utf8) + [0xE9, 0xFF, 0]
            + Array(" # x\r\n\r\n# off by apex-backup (why):   port = 1 # p\\\r\nssl".utf8)
        #expect(after.bytes == expected && lines.map(\.statement.line) == [3])
    }

    @Test func `writes any value but a line feed and a zero byte so that it is read back`() throws {
        let value = (1...255).map { UInt8($0) }.filter { $0 != 10 }
        let text = try ServerConfigurationText(Array("x = 1".utf8)).appendingBlock([.init("search_path", value)])
        #expect(text.value(of: "search_path") == value && text.value(of: "x") == Array("1".utf8))
        for refused in ["a\nport = 1", "a\0b"] {
            let error = #expect(throws: BackupError.self) {
                try ServerConfigurationText([]).appendingBlock([.init("x", refused)])
            }
            #expect(error?.code == .settings)
        }
        for name in ["x y", "", "include", "PORT", "a\nb", "x = 1 #"] {
            #expect(throws: BackupError.self) { try ServerConfigurationText([]).appendingBlock([.init(name, "1")]) }
        }
    }

    @Test func `takes out the blocks of earlier restores and nothing else`() throws {
        let old = ServerConfigurationText(Array("a = 1\n".utf8))
        let twice = try old.appendingBlock([.init("b", "2")]).appendingBlock([.init("c", "3")], remarks: ["said"])
        let (text, settings) = ServerConfigurationText(twice.bytes + Array("d = 4".utf8)).removingBlocks()
        #expect(String(decoding: text.bytes, as: UTF8.self) == "a = 1\nd = 4")
        #expect(settings.map(\.line) == [3, 7])

        let start = ServerConfigurationText.blockStart
        let end = ServerConfigurationText.blockEnd
        let open = "\(start)\na = 1\n"
        #expect(ServerConfigurationText(Array(open.utf8)).removingBlocks().text.bytes == Array(open.utf8))
        let nested = "\(open)\(start)\r\nb = 2\r\n\(end)\r\n\(end)\nx = '\(start)'\n"
        let kept = ServerConfigurationText(Array(nested.utf8)).removingBlocks().text
        #expect(String(decoding: kept.bytes, as: UTF8.self) == "\(open)\(end)\nx = '\(start)'\n")
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `leaves no forbidden setting active, whatever the bytes`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            let bytes = Self.hostileText(using: &random)
            let restored = try RestoredConfiguration(
                from: CapturedConfiguration(settings: bytes, alteredSettings: bytes, hostAccess: .outside(bytes)),
                as: .clone, recovery: nil, missing: ["/x"])
            for file in restored.files where file.name != "pg_hba.conf" {
                for statement in ServerConfigurationText(file.bytes).statements {
                    #expect(
                        RestoredConfiguration.objection(to: statement.content, as: .clone) == nil,
                        "\(seed) \(file.name)")
                }
            }
        }
    }

    /// Lines of names, values and single bytes that a lexer may stumble over, joined in any way.
    private static func hostileText(using random: inout SeededGenerator) -> [UInt8] {
        let pieces =
            [
                "data_directory", "Recovery_Target", "include", "INCLUDE_DIR", "log_directory", "a.b", "port", "/etc",
                "'../x'", "'/x'", "''", "'a", "on", "1.5", "=", " = ", " ", "\n", "\r\n", "\n", "\\", "'", "#", "\0",
                "\t",
                ServerConfigurationText.blockStart, ServerConfigurationText.blockEnd,
                "unix_socket_directories = '/x, \"'",
                "\nmax_connections = 99999999999\n", "\nhba_file = 'x'\n",
            ].map { Array($0.utf8) } + [[0xFF], [0xE9, 0xA9], [0x80]]
        return (0..<Int.random(in: 0...60, using: &random)).flatMap { _ in
            pieces[Int.random(in: 0..<pieces.count, using: &random)]
        }
    }
}
