import Testing

@testable import BackupModel

@Suite struct `The header of a WAL segment` {
    private static let cluster: UInt64 = 7_000_000_000_000_000_001

    private func makeHeader(_ change: (inout WALWriter) -> Void = { _ in }) -> WALSegmentHeader? {
        var writer = WALWriter()
        change(&writer)
        writer.header(remaining: nil)
        return WALSegmentHeader(parsing: writer.bytes.span)
    }

    private func name(_ timeline: UInt32 = 1, _ number: UInt64 = 0x30) throws -> WALSegmentName {
        let size = try #require(WALSegmentSize(bytes: 1 << 20))
        return try #require(WALSegmentName(timeline: timeline, number: number, segmentSize: size))
    }

    @Test(arguments: [(0xD10D, 14), (0xD110, 15), (0xD113, 16), (0xD116, 17), (0xD118, 18)] as [(UInt16, Int)])
    func `tells the major version`(magic: UInt16, major: Int) throws {
        var writer = WALWriter(magic: magic)
        writer.header(remaining: nil)
        let parsed = WALSegmentHeader(parsing: writer.bytes.span)
        let header = try #require(parsed)
        #expect(header.major == major && header.systemIdentifier == Self.cluster && header.pageSize == 8192)
        #expect(header.segmentSize.bytes == 1 << 20 && header.page.address.description == "0/3000000")
    }

    @Test func `is not there in anything else`() {
        var writer = WALWriter()
        writer.header(remaining: nil)
        for length in 0..<40 { #expect(WALSegmentHeader(parsing: writer.bytes.span.extracting(first: length)) == nil) }
        #expect(WALSegmentHeader(parsing: [UInt8](repeating: 0, count: 40).span) == nil)
        for change: (Int, UInt8) in [(0, 0x19), (2, 0), (2, 0x12), (4, 0), (32, 1), (35, 0x80), (36, 1), (37, 0x40)] {
            var bytes = writer.bytes
            bytes[change.0] = change.1
            // 0x40 makes pages of 16 KiB, which PostgreSQL can be built with.
            #expect((WALSegmentHeader(parsing: bytes.span) == nil) == (change.1 != 0x40), "\(change)")
        }
    }

    @Test func `is accepted when it is what the name says`() throws {
        let header = try #require(makeHeader())
        #expect(
            try WALSegmentHeader.check(
                header, of: name(), length: 1 << 20, expecting: Self.cluster, ancestors: []) == .same)
        #expect(try WALSegmentHeader.check(header, of: name(), length: 1 << 20, expecting: Self.cluster) == .same)
    }

    @Test func `may be of an ancestor, known or not`() throws {
        let header = try #require(makeHeader { writer in writer.timeline = 2 })
        let segment = try name(5)
        #expect(
            try WALSegmentHeader.check(
                header, of: segment, length: 1 << 20, expecting: Self.cluster, ancestors: [1, 2]) == .ancestor(2))
        #expect(
            try WALSegmentHeader.check(header, of: segment, length: 1 << 20, expecting: Self.cluster)
                == .assumedAncestor(2))
        #expect(throws: BackupError.self) {
            try WALSegmentHeader.check(
                header, of: segment, length: 1 << 20, expecting: Self.cluster, ancestors: [1, 3])
        }
        #expect(throws: BackupError.self) {
            try WALSegmentHeader.check(header, of: name(1), length: 1 << 20, expecting: Self.cluster)
        }
    }

    @Test func `that was not found is refused`() throws {
        let error = #expect(throws: BackupError.self) {
            try WALSegmentHeader.check(nil, of: name(), length: 1 << 20, expecting: Self.cluster)
        }
        #expect(error?.code == .walSegmentInvalid && error?.reason?.contains("does not begin with") == true)
    }

    @Test func `of another cluster is refused as such`() throws {
        let header = try #require(makeHeader())
        let error = #expect(throws: BackupError.self) {
            try WALSegmentHeader.check(header, of: name(), length: 1 << 20, expecting: 42)
        }
        #expect(error?.code == .wrongCluster && error?.reason?.contains("\(Self.cluster)") == true)
    }

    @Test func `of another position or size is refused`() throws {
        let header = try #require(makeHeader())
        let larger = try #require(WALSegmentName(timeline: 1, number: 3, segmentSize: .standard))
        let cases: [(WALSegmentName, UInt64)] = [
            (try name(1, 0x31), 1 << 20), (try name(), (1 << 20) - 1), (try name(), 1 << 24), (larger, 1 << 24),
            (larger, 1 << 20), (try name(), 0),
        ]
        for (name, length) in cases {
            let error = #expect(throws: BackupError.self, "\(name) \(length)") {
                try WALSegmentHeader.check(header, of: name, length: length, expecting: Self.cluster)
            }
            #expect(error?.code == .walSegmentInvalid)
        }
    }
}
