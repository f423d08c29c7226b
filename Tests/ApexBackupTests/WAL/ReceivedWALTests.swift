import BackupStorage
import Synchronization
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

    /// Where a stream goes on for a slot that keeps WAL from a position on.
    private func start(kept: LogSequenceNumber) throws -> LogSequenceNumber {
        try archive.receptionPlace(
            kept: kept, history: TimelineHistory(first: 1), size: .standard
        ).start.position
    }

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

    @Test func `tells that a log folder is at its end when its last segment is stored`() throws {
        let crafted = try CraftedArchive(segmentBytes: 1 << 20)
        let ends = Mutex(0)
        let received = ReceivedWAL(
            try crafted.archive(), timeline: 1, size: crafted.size, from: try crafted.name(4094).start,
            onLogEnd: { ends.withLock { $0 += 1 } })
        for (number, expected) in [(4094, 0), (4095, 1), (4096, 1)] as [(UInt64, Int)] {
            var bytes = try crafted.content(number)
            bytes += [UInt8](repeating: 0, count: Int(crafted.size.bytes) - bytes.count)
            _ = try received.take(bytes.span, at: .zero)
            #expect(ends.withLock { $0 } == expected)
        }
        #expect(received.counts.segments == 3)
    }

    @Test func `that another process has stored meanwhile counts as stored when that is durable`() throws {
        let crafted = try CraftedArchive(segmentBytes: 1 << 20)
        let storage = CountingStorage(PosixStorage(root: crafted.site.crafted.path))
        let segment = try crafted.name(5)
        let received = ReceivedWAL(
            try crafted.archive(storage), timeline: 1, size: crafted.size, from: segment.start)
        var bytes = try crafted.content(5)
        bytes += [UInt8](repeating: 0, count: Int(crafted.size.bytes) - bytes.count)
        _ = try received.take(bytes.span.extracting(first: 100), at: .zero)
        try received.publish()
        try crafted.storeWhole(5)
        try crafted.archive().removePieces(of: segment)
        _ = storage.takeCalls()
        #expect(try received.take(bytes.span.extracting(droppingFirst: 100), at: .zero) == segment.end)
        #expect(try storage.takeCalls().durable == [crafted.archive().layout.segment(segment)])
    }

    @Test func `whose records do not go through it is told of, as where two servers wrote it`() throws {
        let crafted = try CraftedArchive(segmentBytes: 1 << 20)
        let warnings = Mutex<[String]>([])
        let repository = try crafted.site.repository()
        var environment = repository.environment
        environment.events = { event in
            if case .warning(let text) = event { warnings.withLock { $0.append(text) } }
        }
        let archive = try WALArchive(
            Repository.open(repository.storage, layout: repository.layout, environment: environment),
            systemIdentifier: CraftedRepository.systemIdentifier)
        func content(of segment: WALSegmentName, commits: UInt32) -> [UInt8] {
            var log = PagedLog(from: segment)
            for number in 0..<commits { log.commit(10 + number, at: CraftedArchive.time(1)) }
            log.fill(upTo: segment.end)
            return log.content(of: segment)
        }
        for (number, isMixed) in [(5, false), (6, true)] as [(UInt64, Bool)] {
            let segment = try crafted.name(number)
            let received = ReceivedWAL(archive, timeline: 1, size: crafted.size, from: segment.start)
            _ = try received.take(content(of: segment, commits: 1).span.extracting(first: 4096), at: .zero)
            try received.publish()
            let rest = content(of: segment, commits: isMixed ? 250 : 1).dropFirst(4096)
            #expect(try received.take(Array(rest).span, at: .zero) == segment.end)
            #expect(warnings.withLock(\.count) == (isMixed ? 1 : 0))
        }
        #expect(try warnings.withLock { $0.first }?.contains("\(crafted.name(6))") == true)
    }

    @Test func `whose pieces stayed although it is stored has them removed, when it is durable`() throws {
        let crafted = try CraftedArchive(segmentBytes: 1 << 20)
        let storage = CountingStorage(PosixStorage(root: crafted.site.crafted.path))
        let archive = try crafted.archive(storage)
        for number in [5, 6] as [UInt64] {
            let received = ReceivedWAL(
                archive, timeline: 1, size: crafted.size, from: try crafted.name(number).start)
            _ = try received.take([1].span, at: .zero)
            try received.publish()
        }
        // Nobody else may have done that yet.
        try crafted.storeWhole(5)
        _ = storage.takeCalls()
        try archive.removePiecesOfWholeSegments(size: crafted.size)
        #expect(try archive.begun(size: crafted.size) == [crafted.name(6)])
        #expect(try storage.takeCalls().durable == [archive.layout.segment(crafted.name(5))])
    }

    /// What can befall a stored piece.
    enum Damage: CaseIterable {
        case flipped, cut, emptied, exchanged
    }

    @Test(arguments: Damage.allCases) func `is received again from where its pieces are damaged`(damage: Damage) throws
    {
        let header = try CraftedArchive(segmentBytes: 16 << 20).content(segment.number).prefix(40)
        let content = Array(header) + Array(1...50)
        let received = received()
        for part in [0..<10, 10..<40, 40..<60] {
            _ = try received.take(content.span.extracting(part), at: .zero)
            try received.publish()
        }
        func piece(_ from: UInt64, _ to: UInt64) throws -> String {
            "repository/\(archive.layout.piece(try #require(WALPiece(segment, from: from, to: to))))"
        }
        func start() throws -> Int {
            try offset(self.start(kept: LogSequenceNumber(position: segment.start.position + 60)))
        }
        #expect(try start() == 60)
        var bytes = try directory.read(piece(10, 40))
        switch damage {
        case .flipped: bytes[bytes.count / 2] ^= 1
        case .cut: bytes.removeLast()
        case .emptied: bytes = []
        // Its trailer says that it is a piece of the segment, and so it is.
        case .exchanged: bytes = try directory.read(piece(0, 10))
        }
        try directory.write(bytes, to: piece(10, 40))
        #expect(try start() == 10)
        let names = try archive.repository.storage.children(of: archive.layout.pieces(of: segment))
        #expect(names == ["00000000-0000000A.zst", "00000028-0000003C.zst"])
        // Also what has the name of the one that was damaged.
        let again = self.received(from: 10)
        for part in [10..<40, 40..<90] {
            _ = try again.take(content.span.extracting(part), at: .zero)
            #expect(try offset(again.publish()) == part.upperBound)
        }
        #expect(try storedBytes() == content)
    }

    @Test func `is refused where its pieces have changed places, also those of one length`() throws {
        let received = received()
        for part in [[1, 2], [3, 4], [5, 6, 7]] as [[UInt8]] {
            _ = try received.take(part.span, at: .zero)
            try received.publish()
        }
        let keys = try archive.pieces(of: segment).map(archive.layout.piece)
        #expect(keys.count == 3)
        let bytes = try keys.map { try directory.read("repository/\($0)") }
        for (taken, place) in [(0, 1), (1, 0), (2, 0)] {
            try directory.write(bytes[taken], to: "repository/\(keys[place])")
            for action in [
                { _ = try storedBytes() }, { try archive.prove(keys[place], reading: false) },
            ] as [() throws -> Void] {
                let error = #expect(throws: BackupError.self) { try action() }
                #expect(error?.code == .objectDamaged && error?.message.contains("\(keys[place])") == true)
            }
            try directory.write(bytes[place], to: "repository/\(keys[place])")
        }
        #expect(try storedBytes() == [1, 2, 3, 4, 5, 6, 7])
    }

    @Test func `is read where an earlier version has stored its pieces`() throws {
        let piece = try #require(WALPiece(segment, from: 0, to: 3))
        let writer = try WALObjectWriter("\(segment)", key: archive.layout.piece(piece), in: archive)
        defer { writer.discard() }
        try writer.write([1, 2, 3].span)
        try writer.finish()
        #expect(try storedBytes() == [1, 2, 3])
        try archive.prove(archive.layout.piece(piece), reading: true)
    }

    @Test func `is received again from its beginning where that is of another segment`() throws {
        let crafted = try CraftedArchive(segmentBytes: 16 << 20)
        for (number, isRight) in [(segment.number, true), (segment.number + 1, false)] {
            let content = try crafted.content(number)
            let received = received()
            // The header itself is in two pieces.
            for part in [0..<10, 10..<content.count] {
                _ = try received.take(content.span.extracting(part), at: .zero)
                try received.publish()
            }
            #expect(try offset(start(kept: segment.start)) == (isRight ? content.count : 0))
            try archive.removePieces(of: segment)
        }
    }

    @Test func `is not looked for for ever where a listing shows what cannot be had`() throws {
        let received = received()
        _ = try received.take([1].span, at: .zero)
        try received.publish()
        let repository = archive.repository
        let other = try Repository.open(
            StaleStorage(repository.storage), layout: repository.layout, environment: repository.environment)
        let error = #expect(throws: BackupError.self) {
            try WALArchive(other, systemIdentifier: CraftedRepository.systemIdentifier).provedPiecesEnd(of: segment)
        }
        #expect(error?.code == .repositoryUnavailable && error?.message.contains("00000000-00000001.zst") == true)
    }

    @Test func `keeps its pieces beside a whole one that is damaged`() throws {
        let received = received()
        _ = try received.take([1].span, at: .zero)
        try received.publish()
        try directory.write([1, 2, 3], to: "repository/\(archive.layout.segment(segment))")
        try archive.removePiecesOfWholeSegments(size: .standard)
        #expect(try piecesEnd() == 1)
    }

    @Test func `ends where another goes on, or before what a slot keeps, if that is not known to be lost`() throws {
        let kept = LogSequenceNumber(position: segment.end.position + 100)
        func start() throws -> LogSequenceNumber { try self.start(kept: kept) }
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

/// A storage whose listings show pieces that are gone.
private final class StaleStorage: ForwardingStorage {
    let storage: any Storage

    init(_ storage: any Storage) { self.storage = storage }

    func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? {
        key.text.contains("/partial/") ? nil : try storage.info(key)
    }
}
