import BackupStorage
import FoundationEssentials
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `What writers of WAL left when they died` {
    @Test func `is counted and removed when it is old, sooner if its writer is gone, and never while it lives`()
        async throws
    {
        let archive = try CraftedArchive()
        try archive.store([4])
        let folder = "00000001/00000001"
        let writer = try archive.archive().makeWriter(archive.name(5))
        let living = try #require(try archive.archive().unfinishedWrites(beside: .segment(archive.name(5))).first)
        let place = try #require(living.key.lastComponent.split(separator: "-").last)
        // Old by the clock, and alive all the same.
        let path = archive.site.directory.path(of: archive.path(living.key))
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 0)], ofItemAtPath: path)
        let day = Duration.seconds(86_400)
        let left = [
            try archive.leave(1, at: "\(folder)/.tmp-1", age: day), try archive.leave(2, at: ".tmp-2", age: day * 2),
            try archive.leave(4, at: "\(folder)/.tmp-3-\(place)", age: .seconds(60)),
            try archive.leave(8, at: "partial/000000010000000100000001/.tmp-4", age: day),
            try archive.leave(16, at: "00000001/.tmp-5", in: archive.archive().layout.index, age: day),
        ]
        let kept = [
            path, try archive.leave(1, at: "\(folder)/.tmp-6", age: .seconds(86_399)),
            try archive.leave(1, at: "\(folder)/.tmp-7-\(place)", age: .seconds(59)),
        ]
        func areThere(_ files: [String]) -> [Bool] { files.map { FileManager.default.fileExists(atPath: $0) } }
        let prune = try archive.site.prune(RetentionPolicy(minimum: 1, keepLast: 1))
        #expect(try prune.plan().abandoned.count == 5)
        #expect(areThere(left + kept) == [Bool](repeating: true, count: 8))
        // Each tree is gone through once.
        let storage = CountingStorage(PosixStorage(root: archive.site.crafted.path))
        let layout = try archive.archive().layout
        let counted = try archive.site.prune(RetentionPolicy(minimum: 1, keepLast: 1), storage: storage)
        _ = storage.takeCalls()
        #expect(try counted.abandonedWrites(at: archive.site.clock.now).count == 5)
        let incarnations = try archive.site.repository().layout.incarnations
        #expect(storage.takeCalls().listings == [incarnations, layout.wal, layout.index])
        let result = try await prune.recorded().result
        #expect(result.unfinishedFiles == 5 && result.bytes == 31)
        #expect(areThere(left) == [Bool](repeating: false, count: 5))
        #expect(areThere(kept) == [true, true, true])
        writer.discard()
        #expect(try await prune.recorded().result.unfinishedFiles == 0)
    }
}
