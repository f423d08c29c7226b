import Testing

@testable import BackupModel

@Suite struct `Reading a message of a base backup` {
    private func message(_ kind: Character, _ rest: [UInt8] = []) throws -> BaseBackupMessage {
        try BaseBackupMessage(([kind.asciiValue ?? 0] + rest).span)
    }

    @Test func `tells archives, the manifest, data and progress`() throws {
        #expect(
            try message("n", Array("base.tar\u{0}\u{0}".utf8)) == .archive(name: "base.tar", tablespacePath: ""))
        #expect(
            try message("n", Array("16400.tar\u{0}/srv/ä\u{0}".utf8))
                == .archive(name: "16400.tar", tablespacePath: "/srv/ä"))
        #expect(try message("m") == .manifest)
        #expect(try message("d", [1, 2, 3]) == .data(1..<4))
        #expect(try message("p", [0, 0, 0, 0, 0, 1, 0, 2]) == .progress(65538))
    }

    @Test(arguments: [
        [], [UInt8(ascii: "x")], [UInt8(ascii: "p"), 1], Array("nbase.tar".utf8), Array("nbase.tar\u{0}".utf8),
        [UInt8(ascii: "n"), 0xFF, 0, 0],
    ])
    func `refuses what PostgreSQL does not send`(_ bytes: [UInt8]) {
        #expect(throws: BackupError.self) { try BaseBackupMessage(bytes.span) }
    }
}
