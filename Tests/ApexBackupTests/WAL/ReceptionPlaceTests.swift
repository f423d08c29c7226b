import BackupStorage
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// Where a receiver goes on in an archive that no server wrote.
@Suite struct `Where WAL is received from` {
    private let crafted: CraftedArchive

    init() throws { crafted = try CraftedArchive() }

    private func place(in storage: (any Storage)? = nil) throws -> WALReceptionPlace {
        try crafted.archive(storage).receptionPlace(
            kept: LogSequenceNumber(position: crafted.name(121).start.position + 100),
            history: TimelineHistory(first: 1), size: crafted.size)
    }

    /// The hole that is filled beside that.
    private func hole() throws -> WALReceptionHole? {
        try crafted.archive().receptionHole(
            before: place().start.position, history: TimelineHistory(first: 1), size: crafted.size)
    }

    private func start(of number: UInt64) throws -> LogSequenceNumber { try crafted.name(number).start }

    @Test func `is where the archive ends, whatever hole a backup has left before that`() throws {
        try crafted.store([112, 113, 114, 115, 119, 120])
        try crafted.addBackup(inSegment: 112)
        try crafted.addBackup(inSegment: 119)
        let end = try start(of: 121)
        #expect(try place() == WALReceptionPlace(start: WALReceptionStart(timeline: 1, position: end)))
        var found = try #require(try hole())
        #expect(try found.start.position == start(of: 116) && found.end == start(of: 119))

        // Also a part of a segment counts.
        let content = try crafted.content(116)
        let piece = try #require(WALPiece(try crafted.name(116), from: 0, to: UInt64(content.count)))
        let writer = try crafted.archive().makeWriter(piece)
        try writer.write(content.span)
        try writer.finish()
        found = try #require(try hole())
        #expect(try found.start.position.position == start(of: 116).position + UInt64(content.count))

        // What is recorded as lost is not asked for again.
        try crafted.archive().store(
            WALGapRecord(
                timeline: 1, from: found.start.position, to: found.end, foundAt: CraftedArchive.time(120), slot: "s",
                reason: "removed"))
        #expect(try hole() == nil && place().start.position == end)
    }

    @Test func `has no hole before it behind a backup that stores nothing but its own WAL`() throws {
        try crafted.store([112, 113, 114, 115, 119, 120])
        try crafted.addBackup(inSegment: 115)
        #expect(try hole() == nil)
        try crafted.store([116])
        #expect(try hole()?.start.position == start(of: 117))
    }

    /// Stores the first bytes of a segment as two pieces; returns how many they are.
    private func storePieces(of number: UInt64) throws -> Int {
        let content = try crafted.content(number)
        for part in [0..<60, 60..<content.count] {
            let piece = try #require(
                WALPiece(try crafted.name(number), from: UInt64(part.lowerBound), to: UInt64(part.upperBound)))
            let writer = try crafted.archive().makeWriter(piece)
            try writer.write(content.span.extracting(part))
            try writer.finish()
        }
        return content.count
    }

    @Test func `is behind what another process has stored when that is durable`() throws {
        try crafted.store([121, 122, 123])
        let count = try storePieces(of: 124)
        let storage = CountingStorage(PosixStorage(root: crafted.site.crafted.path))
        #expect(try place(in: storage).start.position.position == start(of: 124).position + UInt64(count))
        let layout = try crafted.archive().layout
        var expected = Set(try [121, 122, 123].map { layout.segment(try crafted.name($0)) })
        expected.formUnion(try crafted.archive().pieces(of: crafted.name(124)).map(layout.piece))
        #expect(expected.count == 5 && Set(storage.takeCalls().durable) == expected)
    }

    @Test func `is nowhere while what the server still has is stored damaged, which somebody has to move away`() throws
    {
        try crafted.store([121, 122, 123])
        let storage = PosixStorage(root: crafted.site.crafted.path)
        #expect(try place(in: storage).start.position == start(of: 124))
        let key = try crafted.archive().layout.segment(crafted.name(122))
        let path = crafted.path(key)
        try crafted.site.directory.write(Array(crafted.site.directory.read(path).dropLast(3)), to: path)
        let error = #expect(throws: BackupError.self) { try place(in: storage).start }
        #expect(error?.code == .objectDamaged && error?.remedy.contains("still has this segment") == true)
        #expect(error?.remedy.contains("'\(key)'") == true)
        try storage.remove(key)
        #expect(try place(in: storage).start.position == start(of: 122))
    }

    @Test func `has a backup behind what is lost, or needs one`() throws {
        try crafted.addBackup(inSegment: 112)
        let archive = try crafted.archive()
        #expect(try archive.hasBackup(from: start(of: 112)) && !archive.hasBackup(from: start(of: 113)))
    }
}
