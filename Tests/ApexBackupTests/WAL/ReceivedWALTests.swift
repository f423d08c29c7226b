import BackupStorage
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// The pieces of an unfinished segment, without a server: their content may be anything.
@Suite struct `An unfinished segment` {
    private let directory: TemporaryDirectory
    private let archive: WALArchive
    private let segment: WALSegmentName

    init() throws {
        directory = try TemporaryDirectory()
        let crafted = try CraftedRepository(at: directory.path(of: "repository"))
        archive = try WALArchive(try crafted.open(), systemIdentifier: CraftedRepository.systemIdentifier)
        segment = try #require(WALSegmentName(timeline: 1, number: 5, segmentSize: .standard))
    }

    private func received(from offset: Int = 0) -> ReceivedWAL {
        ReceivedWAL(
            archive, timeline: 1, size: .standard,
            from: LogSequenceNumber(position: segment.start.position + UInt64(offset)))
    }

    private func storedBytes() throws -> [UInt8] {
        let content = CollectingSink(limit: 1 << 26)
        try archive.read(segment, into: content)
        return content.bytes
    }

    private func offset(_ position: LogSequenceNumber) -> Int { Int(position.position - segment.start.position) }

    /// How much is stored in pieces; 0 if there are none.
    private func piecesEnd() throws -> Int { try archive.piecesEnd(of: segment).map(offset) ?? 0 }

    @Test func `is stored in pieces, of which there are never many`() throws {
        var generator = SeededGenerator(seed: 5)
        let received = received()
        var expected: [UInt8] = []
        var most = 0
        for round in 1...200 {
            let bytes = (0..<Int.random(in: 1...300, using: &generator)).map { _ in UInt8.random(in: 0...255) }
            expected += bytes
            #expect(try offset(received.take(bytes.span, at: .zero)) < expected.count)
            #expect(try offset(received.publish()) == expected.count)
            #expect(try piecesEnd() == expected.count)
            most = max(most, try archive.repository.storage.children(of: archive.layout.pieces(of: segment)).count)
            if round % 50 == 0 { #expect(try storedBytes() == expected) }
        }
        #expect(most <= 70)
        #expect(received.counts.pieces == 200 && received.counts.segments == 0)
        // Nothing new is nothing stored.
        #expect(try offset(received.publish()) == expected.count)
        #expect(received.counts.pieces == 200)
        #expect(!received.isDue(after: .zero, at: .seconds(1000)))
    }

    @Test func `goes on in another process, and says only what is stored`() throws {
        let first = received()
        _ = try first.take([1, 2, 3].span, at: .seconds(10))
        #expect(!first.isDue(after: .seconds(5), at: .seconds(14)) && first.isDue(after: .seconds(5), at: .seconds(15)))
        #expect(try piecesEnd() == 0)
        try first.publish()
        _ = try first.take([9, 9].span, at: .seconds(20))
        // The first one dies here.
        let start = try #require(try archive.piecesEnd(of: segment))
        #expect(offset(start) == 3)
        let second = received(from: offset(start))
        #expect(try second.take([4, 5].span, at: .zero) == start)
        try second.publish()
        #expect(try storedBytes() == [1, 2, 3, 4, 5])
    }

    @Test func `is kept in memory up to a limit only`() throws {
        let size = try #require(WALSegmentSize(bytes: 64 << 20))
        let segment = try #require(WALSegmentName(timeline: 1, number: 1, segmentSize: size))
        let received = ReceivedWAL(archive, timeline: 1, size: size, from: segment.start)
        let chunk = [UInt8](repeating: 7, count: 1 << 20)
        var stored = segment.start
        for _ in 0..<40 { stored = try received.take(chunk.span, at: .zero) }
        #expect(stored.position - segment.start.position == 32 << 20)
        #expect(try archive.pieces(of: segment).map(\.byteCount) == [16 << 20, 16 << 20])
    }

    @Test func `that is none is refused when it is full, and the pieces stay`() throws {
        let received = received()
        let chunk = [UInt8](repeating: 7, count: 8 << 20)
        _ = try received.take(chunk.span, at: .zero)
        try received.publish()
        #expect(throws: BackupError.self) { try received.take(chunk.span, at: .zero) }
        #expect(try archive.record(of: segment) == nil)
        #expect(try piecesEnd() == 8 << 20)
    }

    @Test func `whose pieces stayed although it is stored has them removed`() throws {
        let received = received()
        _ = try received.take([1].span, at: .zero)
        try received.publish()
        try archive.removePiecesOfWholeSegments(size: .standard)
        #expect(try piecesEnd() == 1)
    }

    @Test func `ends where another goes on, or before what a slot keeps, if that is not known to be lost`() throws {
        let history = TimelineHistory(first: 1)
        let kept = LogSequenceNumber(position: segment.end.position + 100)
        func start() throws -> LogSequenceNumber {
            try archive.receptionStart(kept: kept, history: history, size: .standard).position
        }
        #expect(try start() == segment.end)
        let received = received()
        _ = try received.take([1, 2].span, at: .zero)
        let end = try received.publish()
        #expect(try start() == end)
        let gap = WALGapRecord(
            timeline: 1, from: end, to: segment.end, foundAt: Timestamp(microseconds: 0), slot: "s", reason: "r")
        try archive.store(gap)
        try archive.store(gap)
        #expect(try archive.gapRecords() == [gap])
        #expect(try start() == segment.end)
    }
}
