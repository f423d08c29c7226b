import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Naming WAL files` {
    private static let sizes: [WALSegmentSize] = [1, 2, 16, 64, 1024].compactMap { WALSegmentSize(bytes: $0 << 20) }

    @Test func `segments are a power of two from one mebibyte to one gibibyte`() {
        #expect(Self.sizes.count == 5 && WALSegmentSize(bytes: 16 << 20) == .standard)
        for bytes in [0, -1, 1, 1 << 19, 3 << 20, 1 << 31, (1 << 20) + 1, Int.min] {
            #expect(WALSegmentSize(bytes: bytes) == nil, "\(bytes)")
        }
    }

    @Test(
        arguments: [
            // From pg_walfile_name of servers with these sizes.
            (1, "000000010000000000000FFF", 0xFFF, "0/FFF00000"), (1, "000000010000000100000000", 0x1000, "1/0"),
            (16, "00000001000000000000002A", 0x2A, "0/2A000000"),
            (16, "0000000A000000AB000000CD", 0xABCD, "AB/CD000000"),
            (1024, "000000010000000100000003", 7, "1/C0000000"),
        ] as [(Int, String, UInt64, String)])
    func `a segment's name tells its position`(mebibytes: Int, name: String, number: UInt64, start: String) throws {
        let size = try #require(WALSegmentSize(bytes: mebibytes << 20))
        let segment = try #require(WALSegmentName(parsing: name, segmentSize: size))
        #expect(segment.number == number && segment.start.description == start && segment.description == name)
        #expect(segment.end.position - segment.start.position == size.bytes)
        #expect(segment.next?.start == segment.end)
        let inside = LogSequenceNumber(position: segment.end.position - 1)
        #expect(WALSegmentName(timeline: segment.timeline, containing: inside, segmentSize: size) == segment)
        #expect(segment.logFolder == "\(name.prefix(8))/\(name.dropFirst(8).prefix(8))")
    }

    @Test(arguments: [
        "", "00000001000000000000002", "00000001000000000000002AA", "00000001000000000000002a",
        "0000000100000000000000+A",
        "00000001000000000000002G", " 0000001000000000000002A", "000000010000000000000100", "00000000000000000000002A",
        "０0000001000000000000002A",
    ])
    func `nothing else is a segment's name`(text: String) {
        #expect(WALSegmentName(parsing: text, segmentSize: .standard) == nil)
    }

    @Test(arguments: sizes) func `the log's last segment has no next`(size: WALSegmentSize) throws {
        let last = try #require(WALSegmentName(timeline: .max, number: size.greatestNumber, segmentSize: size))
        #expect(last.next == nil && last.end.position == .max)
        #expect(WALSegmentName(parsing: last.description, segmentSize: size) == last)
        #expect(WALSegmentName(timeline: 1, number: size.greatestNumber + 1, segmentSize: size) == nil)
        #expect(WALSegmentName(timeline: 0, number: 1, segmentSize: size) == nil)
    }

    @Test(arguments: 0..<50) func `prints what it reads, and sorts as its names do`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let size = try #require(Self.sizes.randomElement(using: &random))
        func any() throws -> WALSegmentName {
            try #require(
                WALSegmentName(
                    timeline: .random(in: 1...3, using: &random),
                    number: .random(in: 0...size.greatestNumber, using: &random), segmentSize: size))
        }
        let (one, other) = (try any(), try any())
        #expect(WALSegmentName(parsing: one.description, segmentSize: size) == one)
        #expect((one < other) == (one.description < other.description))
    }

    @Test func `every kind of file that PostgreSQL archives is told apart`() throws {
        let segment = try #require(WALSegmentName(parsing: "00000001000000000000002A", segmentSize: .standard))
        let expected: [(String, WALFileName)] = [
            ("00000001000000000000002A", .segment(segment)),
            ("00000001000000000000002A.partial", .partial(segment)),
            ("0000000B.history", .history(timeline: 11)),
            ("00000001000000000000002A.00000028.backup", .backup(segment, offset: 0x28)),
        ]
        for (text, kind) in expected {
            #expect(WALFileName(parsing: text, segmentSize: .standard) == kind)
            #expect(kind.description == text)
        }
    }

    @Test(arguments: [
        "0000000b.history", "00000000.history", "000000B.history", "RECOVERYXLOG", "x", "a..b", ".hidden", "...",
        "000000010000000000000100", "00000001000000000000002A.00000028.backup.x", "00000001000000000000002A.28.backup",
        "00000001000000000000002A.01000000.backup", "00000001000000000000002A.PARTIAL", "00000001000000000000002A.",
        String(repeating: "z", count: 64),
    ])
    func `a name of allowed characters is kept as it stands`(text: String) {
        #expect(WALFileName(parsing: text, segmentSize: .standard) == .other(text))
        #expect(WALFileName(parsing: text, segmentSize: .standard)?.description == text)
    }

    @Test(arguments: [
        "", ".", "..", "a/b", "../x", "a b", "a\0", "a-b", "a_b", "ä", "%f", "a\n", String(repeating: "z", count: 65),
    ])
    func `a name of other characters, or of the wrong length, is refused`(text: String) {
        #expect(WALFileName(parsing: text, segmentSize: .standard) == nil)
    }
}
