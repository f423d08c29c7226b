import BackupStorage
import FoundationEssentials
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// `wal get` beside writers that are slow or died, and a repository that does not answer for a moment.
@Suite struct `Bringing WAL` {
    private let script = PauseScript()
    private let archive: CraftedArchive

    init() throws {
        archive = try CraftedArchive(segmentBytes: 16 << 20, clock: script.clock("2026-01-01T02:00:00Z"))
        try archive.storeWhole(4)
    }

    private var path: String { archive.site.directory.path(of: "brought") }
    private var slept: Duration { archive.site.clock.slept }

    private func get(
        _ name: String, patience: Duration = WALGet.patience, pieces: WALGet.Pieces? = nil,
        from storage: (any Storage)? = nil
    ) async throws -> WALGet.Outcome {
        let crafted = archive.site.crafted
        return try await WALGet(
            WALGet.Request(name: name, path: path, pieces: pieces, patience: patience),
            environment: crafted.environment
        ) { try crafted.open(storage) }.run()
    }

    private func get(_ number: UInt64, patience: Duration = WALGet.patience) async throws -> WALGet.Outcome {
        try await get("\(archive.name(number))", patience: patience)
    }

    /// What is being stored, in the folder of the segments.
    private static let unfinished = "00000001/00000000/.tmp-7f3a"

    @Test func `waits for a slow upload as long as it grows, and brings what came`() async throws {
        let file = try archive.leave(1, at: Self.unfinished)
        let archive = archive
        script.run { number in
            if number < 4000 {
                try archive.leave(1 + number, at: Self.unfinished)
                return
            }
            try FileManager.default.removeItem(atPath: file)
            try archive.storeWhole(5)
        }
        #expect(try await get(5) == .delivered)
        #expect(slept == .seconds(400))
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test func `says that it is not known, and never absent, when the upload takes too long`() async throws {
        let archive = archive
        try archive.leave(1, at: Self.unfinished)
        script.run { number in try archive.leave(1 + number, at: Self.unfinished) }
        for patience in [WALGet.patienceOfStandby, WALGet.patience] {
            let before = slept
            let error = await #expect(throws: BackupError.self) { try await get(5, patience: patience) }
            #expect(error?.code == .walMissing && error?.message.contains("may still come") == true)
            #expect(slept - before == patience)
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func `does so for one that does not grow while its writer lives`() async throws {
        let writer = try archive.archive().makeWriter(archive.name(6))
        try writer.write([1, 2, 3].span)
        let error = await #expect(throws: BackupError.self) { try await get(5) }
        #expect(error?.code == .walMissing && slept == WALGet.patience)
        writer.discard()
        #expect(try await get(5) == .absent)
        #expect(slept == WALGet.patience)
    }

    @Test func `does not wait for a segment that its server is still writing`() async throws {
        let writer = try archive.archive().makeWriter(archive.name(5), isStreamed: true)
        try writer.write([1, 2, 3].span)
        #expect(try await get(5) == .absent)
        #expect(slept == .zero)
        writer.discard()
    }

    @Test(
        arguments: [(90_000, 0), (7200, 5), (600, 5), (0, 300)] as [(Int, Int)])
    func `tells what a writer that died has left by its age`(age: Int, waits: Int) async throws {
        try archive.leave(1, at: Self.unfinished, age: .seconds(age))
        #expect(try await get(5) == .absent)
        #expect(slept == .seconds(waits))
    }

    @Test func `does not wait long for what is left of a writer on this host`() async throws {
        let writer = try archive.archive().makeWriter(archive.name(6))
        let living = try #require(try archive.archive().unfinishedWrites(beside: .segment(archive.name(6))).first)
        let place = try #require(living.key.lastComponent.split(separator: "-").last)
        writer.discard()
        try archive.leave(1, at: "00000001/00000000/.tmp-0-\(place)")
        #expect(try await get(5) == .absent)
        #expect(slept == .seconds(5))
    }

    @Test func `waits for the history of a timeline, too`() async throws {
        let file = try archive.leave(1, at: ".tmp-7f3a")
        let archive = archive
        script.run { number in
            if number < 100 {
                try archive.leave(1 + number, at: ".tmp-7f3a")
                return
            }
            try FileManager.default.removeItem(atPath: file)
            try archive.archive().store(Array("1\t0/5000000\tno recovery target specified\n".utf8), of: 2)
        }
        #expect(try await get("00000002.history") == .delivered)
        #expect(try await get("00000003.history") == .absent)
        #expect(slept == .seconds(10))
    }

    @Test func `asks a repository again that is not there for a moment`() async throws {
        let place = archive.site.crafted.path
        try FileManager.default.moveItem(atPath: place, toPath: "\(place).away")
        script.run { number in
            if number == 2 { try FileManager.default.moveItem(atPath: "\(place).away", toPath: place) }
        }
        #expect(try await get(4) == .delivered)
        #expect(slept == .seconds(3))
        // Whether it is there or not, what is absent is not asked for again.
        #expect(try await get(5) == .absent)
        #expect(slept == .seconds(3))
    }

    @Test func `gives up on a repository that stays away, and at once on what is damaged`() async throws {
        let place = archive.site.crafted.path
        try FileManager.default.moveItem(atPath: place, toPath: "\(place).away")
        let missing = await #expect(throws: BackupError.self) { try await get(5) }
        #expect(missing?.code == .repositoryMissing && slept == .seconds(3))
        try FileManager.default.moveItem(atPath: "\(place).away", toPath: place)
        let stored = try archive.path(archive.archive().layout.segment(archive.name(4)))
        try archive.site.directory.write([1, 2, 3], to: stored)
        let damaged = await #expect(throws: BackupError.self) { try await get(4) }
        #expect(damaged?.code == .objectDamaged && slept == .seconds(3))
    }

    /// Stores the first bytes of a segment as a piece.
    private static func storePiece(_ number: UInt64, of archive: CraftedArchive) throws {
        let content = try archive.content(number)
        let piece = try #require(WALPiece(archive.name(number), from: 0, to: UInt64(content.count)))
        let writer = try archive.archive().makeWriter(piece)
        try writer.write(content.span)
        try writer.finish()
    }

    @Test func `takes pieces of a later segment for WAL behind a hole, and those of the one asked for not`()
        async throws
    {
        try Self.storePiece(5, of: archive)
        #expect(try await get(5) == .absent)
        try Self.storePiece(6, of: archive)
        let error = await #expect(throws: BackupError.self) { try await get(5) }
        #expect(try error?.code == .walMissing && error?.message.contains("\(archive.name(6)) behind it") == true)
        #expect(try await get(6) == .absent)
    }

    @Test(arguments: [(-100, false), (0, true), (100, true)] as [(Int64, Bool)])
    func `takes a timeline that goes on behind the segment for WAL behind a hole, and one that began in it not`(
        offset: Int64, isHole: Bool
    ) async throws {
        let left = LogSequenceNumber(position: UInt64(Int64(try archive.name(5).end.position) + offset))
        try archive.archive().store(Array("1\t\(left)\tno recovery target specified\n".utf8), of: 2)
        try archive.store([6], timeline: 2)
        guard isHole else {
            // A server asks for the segment of the newer timeline first.
            #expect(try await get(5) == .absent)
            return
        }
        let error = await #expect(throws: BackupError.self) { try await get(5) }
        #expect(try error?.code == .walMissing && error?.message.contains("\(archive.name(6, 2)) behind it") == true)
    }

    @Test func `brings what came together with what is behind it while it was looked for`() async throws {
        let archive = archive
        let pieces = try archive.archive().layout.pieces
        let storage = ChangingStorage(PosixStorage(root: archive.site.crafted.path), before: pieces) {
            try archive.storeWhole(5)
            try Self.storePiece(6, of: archive)
        }
        #expect(try await get("\(archive.name(5))", from: storage) == .delivered && storage.hasChanged)
    }

    @Test(arguments: [1, 2])
    func `brings pieces in whose place something longer was put while they were looked for or read`(
        listing: Int
    ) async throws {
        let archive = archive
        try Self.storePiece(5, of: archive)
        let name = try archive.name(5)
        let storage = ChangingStorage(
            PosixStorage(root: archive.site.crafted.path), before: try archive.archive().layout.pieces(of: name),
            number: listing
        ) {
            try archive.storeWhole(5)
            try archive.archive().removePieces(of: name)
        }
        let outcome = try await get("\(name)", pieces: .init(segment: "\(name)", atEndOnly: true), from: storage)
        #expect(outcome == .delivered && storage.hasChanged)
    }
}

/// A storage in which something happens when a folder is about to be listed.
private final class ChangingStorage: ForwardingStorage {
    let storage: any Storage
    private let folder: ObjectKey
    private let change: @Sendable () throws -> Void
    private let listingsLeft: Mutex<Int>

    /// Calls `change` before the `number`th listing of `folder`, counted from 1.
    init(
        _ storage: any Storage, before folder: ObjectKey, number: Int = 1,
        _ change: @escaping @Sendable () throws -> Void
    ) {
        self.storage = storage
        self.folder = folder
        self.change = change
        listingsLeft = Mutex(number)
    }

    var hasChanged: Bool { listingsLeft.withLock { $0 <= 0 } }

    private func note(_ listed: ObjectKey?) {
        guard listed == folder else { return }
        let isDue = listingsLeft.withLock { left in
            left -= 1
            return left == 0
        }
        if isDue { try? change() }
    }

    func children(of prefix: ObjectKey?) throws(BackupError) -> [String] {
        note(prefix)
        return try storage.children(of: prefix)
    }

    func list(
        under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        note(prefix)
        try storage.list(under: prefix, body)
    }
}
