import BackupStorage
import FoundationEssentials
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

    private func get(_ name: String, patience: Duration = WALGet.patience) async throws -> WALGet.Outcome {
        let crafted = archive.site.crafted
        return try await WALGet(
            WALGet.Request(name: name, path: path, patience: patience), environment: crafted.environment
        ) { try crafted.open() }.run()
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
        arguments: [(7200, 0), (600, 5), (0, 300)] as [(Int, Int)])
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
}
