import BackupModel
import BackupStorage
import TestSupport
import Testing

@Suite struct `Cutting a stream into volumes` {
    private let directory: TemporaryDirectory
    private let storage: PosixStorage
    private let key = ObjectKey("clusters/apex/db-1.dump.gz")

    init() throws {
        directory = try TemporaryDirectory()
        storage = PosixStorage(root: directory.path)
    }

    private func write(_ content: [UInt8], volumeSize: Int64, inPiecesOf size: Int = 7) throws -> [StoredVolume] {
        let writer = VolumeWriter(storage, key: key, volumeSize: volumeSize)
        _ = try output(of: content, inPiecesOf: size) { _ in writer }
        return writer.volumes
    }

    private func read(_ volumes: [StoredVolume]) throws(BackupError) -> [UInt8] {
        let end = CollectingSink(limit: .max)
        try readVolumes(volumes.map { (key.sibling($0.name), $0) }, from: storage, into: end)
        return end.bytes
    }

    @Test(arguments: [0, 1, 9, 10, 11, 20, 95], [1, 7, 10, 1000])
    func `loses nothing wherever the cuts fall`(count: Int, pieceSize: Int) throws {
        let content = mixedContent(count: count, seed: 31)
        let volumes = try write(content, volumeSize: 10, inPiecesOf: pieceSize)
        #expect(volumes.count == max(1, (count + 9) / 10))
        #expect(volumes.map(\.bytes).reduce(0, +) == Int64(count))
        #expect(volumes.dropLast().allSatisfy { $0.bytes == 10 })
        #expect(try read(volumes) == content)
    }

    @Test func `names them so that cat restores the stream`() throws {
        let content = mixedContent(count: 35, seed: 32)
        let volumes = try write(content, volumeSize: 10)
        let plain = "db-1.dump.gz"
        #expect(volumes.map(\.name) == [plain, "\(plain).0001", "\(plain).0002", "\(plain).0003"])
        let path = directory.path(of: key.text)
        try directory.write(content, to: "content")
        run("cat \(path) \(path).???? | cmp - \(directory.path(of: "content"))")
        for volume in volumes {
            run("echo '\(volume.sha256)  \(path.dropLast(plain.count))\(volume.name)' | sha256sum -c --status")
        }
    }

    @Test(arguments: 0..<4)
    func `names the volume that is damaged, too long, too short or missing`(index: Int) throws {
        let volumes = try write(mixedContent(count: 40, seed: 33), volumeSize: 10)
        let name = key.sibling(volumes[index].name).text
        let good = try directory.read(name)
        for wrong in [[good[0] ^ 1] + good.dropFirst(), good + [0], good.dropLast()] {
            try directory.write(Array(wrong), to: name)
            let error = #expect(throws: BackupError.self) { try read(volumes) }
            #expect(error?.code == .objectDamaged)
            #expect(error?.message.contains("'\(name)'") == true)
        }
        try storage.remove(key.sibling(volumes[index].name))
        let error = #expect(throws: BackupError.self) { try read(volumes) }
        #expect(error?.code == .objectMissing)
        #expect(error?.message.contains("'\(name)'") == true)
    }

    @Test func `names the volume when it is the decompressor that finds the damage`() throws {
        let content = mixedContent(count: 100_000, seed: 34)
        let stored = try output(of: content) { next throws(BackupError) in
            try makeCompressor(.gzip(level: 1), into: next)
        }
        let volumes = try write(stored, volumeSize: Int64(stored.count / 3 + 1), inPiecesOf: 1000)
        let name = key.sibling(volumes[1].name).text
        var damaged = try directory.read(name)
        for index in 0..<100 { damaged[index] ^= 0xFF }
        try directory.write(damaged, to: name)
        let sink = try makeDecompressor(.gzip(level: 1), into: DiscardSink())
        let error = #expect(throws: BackupError.self) {
            try readVolumes(volumes.map { (key.sibling($0.name), $0) }, from: storage, into: sink)
        }
        #expect(error?.code == .objectDamaged)
        #expect(error?.message.contains("'\(name)'") == true)
    }

    @Test func `discards published volumes and the one in hand`() throws {
        let writer = VolumeWriter(storage, key: key, volumeSize: 10)
        try writer.write([UInt8](repeating: 1, count: 25).span)
        #expect(try storage.children(of: ObjectKey("clusters/apex")).count == 2)
        try writer.discard()
        #expect(writer.volumes == [])
        #expect(try directory.contents() == [])
    }

    @Test(arguments: [FaultyStorage.Operation.write, .publish], 1...4)
    func `throws what the storage threw and can then be discarded`(
        operation: FaultyStorage.Operation, number: Int
    ) throws {
        let faulty = FaultyStorage(storage, failing: operation, number: number)
        let writer = VolumeWriter(faulty, key: key, volumeSize: 10)
        #expect(throws: FaultyStorage.fault) {
            for _ in 0..<4 { try writer.write([UInt8](repeating: 1, count: 10).span) }
            try writer.finish()
        }
        #expect(faulty.hasFailed)
        try writer.discard()
        #expect(try directory.contents() == [])
    }
}
