import TestSupport
import Testing

@testable import BackupModel

/// Tar as PostgreSQL writes it.
@Suite struct `Reading a tar archive` {
    /// A header block; `size` may be given as the bytes of its field.
    private func header(_ name: String, type: Character, size: [UInt8], link: String = "") -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: some Sequence<UInt8>, at offset: Int) {
            for (index, byte) in text.enumerated() { block[offset + index] = byte }
        }
        put(name.utf8, at: 0)
        put("0000600 ".utf8, at: 100)
        put(size, at: 124)
        put("14400000000 ".utf8, at: 136)
        put([type.asciiValue ?? 0], at: 156)
        put(link.utf8, at: 157)
        put("ustar\u{0}00".utf8, at: 257)
        put([UInt8](repeating: UInt8(ascii: " "), count: 8), at: 148)
        let sum = block.reduce(0) { $0 + Int($1) }
        let octal = String(sum, radix: 8)
        put("\(String(repeating: "0", count: 6 - octal.count))\(octal)\u{0} ".utf8, at: 148)
        return block
    }

    private func octal(_ number: Int) -> [UInt8] {
        let digits = String(number, radix: 8)
        return Array("\(String(repeating: "0", count: 11 - digits.count))\(digits) ".utf8)
    }

    private func file(_ name: String, _ content: [UInt8]) -> [UInt8] {
        header(name, type: "0", size: octal(content.count)) + content
            + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    private let end = [UInt8](repeating: 0, count: 1024)

    /// What an archive holds, read in pieces of `size` bytes.
    private func read(_ archive: [UInt8], by size: Int) throws -> [(member: TarMember, content: [UInt8])] {
        var reader = TarReader()
        var found: [(member: TarMember, content: [UInt8])] = []
        for start in stride(from: 0, to: archive.count, by: size) {
            let bytes = Array(archive[start..<min(start + size, archive.count)])
            var offset = 0
            steps: while true {
                switch try reader.next(bytes.span, &offset) {
                case .needsMore: break steps
                case .member(let member): found.append((member, []))
                case .content(let range): found[found.count - 1].content += bytes[range]
                case .end: #expect(reader.isAtEnd)
                }
            }
            #expect(offset == bytes.count)
        }
        #expect(reader.isAtEnd)
        return found
    }

    @Test(arguments: [1, 100, 511, 512, 513, 100_000])
    func `finds every member and its content, however the bytes come`(_ size: Int) throws {
        let large = (0..<3000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let archive =
            file("backup_label", Array("START".utf8)) + header("./base/1/", type: "5", size: octal(0))
            + file("base/1/1259", large) + file("base/1/empty", [])
            + file("whole block", [UInt8](repeating: 1, count: 512))
            + header("pg_tblspc/16400", type: "2", size: octal(0), link: "/srv/space") + end
        let found = try read(archive, by: size)
        #expect(
            found.map(\.member.path.description)
                == ["backup_label", "base/1", "base/1/1259", "base/1/empty", "whole block", "pg_tblspc/16400"])
        #expect(
            found.map(\.member.kind)
                == [.file, .directory, .file, .file, .file, .symbolicLink(target: "/srv/space")])
        #expect(found[0].content == Array("START".utf8) && found[2].content == large && found[3].content.isEmpty)
        #expect(found.allSatisfy { $0.member.mode == 0o600 })
    }

    @Test func `reads a size beyond eight gigabytes`() throws {
        var size = [UInt8](repeating: 0, count: 12)
        size[0] = 0x80
        for (index, shift) in stride(from: 56, through: 0, by: -8).enumerated() {
            size[4 + index] = UInt8(truncatingIfNeeded: (9 << 30) >> shift)
        }
        var reader = TarReader()
        var offset = 0
        guard case .member(let member) = try reader.next(header("large", type: "0", size: size).span, &offset) else {
            Issue.record("no member was found")
            return
        }
        #expect(member.size == 9 << 30)
    }

    @Test func `refuses what is damaged, or leads out of the data directory`() throws {
        let good = file("a", [1])
        var flipped = good
        flipped[3] ^= 1
        let archives = [
            flipped + end, file("../a", [1]) + end, file("/a", [1]) + end, file("a/./b", [1]) + end,
            header("a", type: "7", size: octal(0)) + end,
            header("a", type: "0", size: Array("0000000000x ".utf8)) + end,
            [UInt8](repeating: 0, count: 512) + good, good + end + [1],
        ]
        for archive in archives {
            #expect(throws: BackupError.self) { _ = try read(archive, by: 512) }
        }
    }

    @Test func `survives any bytes`() throws {
        var chance = SeededGenerator(seed: 11)
        let archive = file("base/1/1259", [UInt8](repeating: 5, count: 700)) + end
        for _ in 0..<3000 {
            var bytes = archive
            for _ in 0..<Int.random(in: 1...20, using: &chance) {
                bytes[Int.random(in: bytes.indices, using: &chance)] = UInt8.random(in: .min ... .max, using: &chance)
            }
            var reader = TarReader()
            var offset = 0
            while let step = try? reader.next(bytes.span, &offset), step != .needsMore {}
        }
    }
}

@Suite struct `Naming a file of a data directory` {
    @Test(arguments: [
        "base/1/1259", "pg_tblspc/16400/PG_15_202209061/5/1", "odd name", "ä", "a\\x5Cb", "\\xFF\\xFE", "a\\x0Ab",
    ])
    func `has one spelling, whatever bytes it has`(_ text: String) throws {
        let path = try #require(DataPath(parsing: text))
        #expect(path.description == text)
        #expect(DataPath(bytes: path.bytes) == path)
    }

    @Test(arguments: ["", "/a", "a/", "a//b", ".", "a/../b", "a\\x00b", "a\\b", "a\\x5", "..\\x2F.."])
    func `does not lead out of it`(_ text: String) { #expect(DataPath(parsing: text) == nil) }
}
