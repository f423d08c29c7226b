import BackupModel
import TestSupport
import Testing

@testable import BackupStorage

/// Packs: frames of content, each proved on its own, in zstd files that prove themselves.
@Suite struct `Storing frames in packs` {
    let directory: TemporaryDirectory
    let storage: PosixStorage
    let folder = ObjectKey("packs")
    let backup: RunID

    init() throws {
        directory = try TemporaryDirectory()
        storage = PosixStorage(root: directory.path(of: "repository"))
        try storage.makeRoot()
        backup = try #require(RunID(parsing: "20261121T020000Z-7f3a"))
    }

    private func pieces(_ count: Int) -> [[UInt8]] {
        var chance = SeededGenerator(seed: 7)
        return (0..<count).map { index in
            (0..<(1 + index * 1000)).map { _ in UInt8.random(in: 0..<16, using: &chance) }
        }
    }

    @discardableResult
    private func store(_ pieces: [[UInt8]], packSize: Int64) throws -> (frames: [FrameReference], packs: [PackLine]) {
        let writer = try PackWriter(storage, folder: folder, backup: backup, worker: 3, level: 1, packSize: packSize)
        var frames: [FrameReference] = []
        for piece in pieces { frames.append(try writer.store(piece.span)) }
        try writer.finish()
        return (frames, writer.packs)
    }

    @Test func `gives every frame back from its place, and cuts packs where they are full`() throws {
        let pieces = pieces(20)
        let (frames, packs) = try store(pieces, packSize: 20_000)
        #expect(packs.count > 2 && packs.map(\.pack) == packs.indices.map { "\(backup)/3-\($0)" })
        let reader = try FrameDecompressor(largestContent: FrameReference.largestContent)
        for (frame, piece) in zip(frames, pieces) {
            let stored = try storage.read(
                folder.appending(frame.pack.file), at: frame.offset, count: Int(frame.storedLength))
            let content = try reader.decompress(stored.span) { bytes throws(BackupError) -> [UInt8] in
                var copy: [UInt8] = []
                copy.append(copying: bytes)
                return copy
            }
            #expect(content == piece && frame.contentLength == piece.count)
            #expect(SHA256.digest(of: piece.span) == frame.sha256)
        }
        #expect(packs.reduce(0) { $0 + $1.used } == frames.reduce(0) { $0 + $1.storedLength })
    }

    @Test func `writes packs that stock zstd reads, and that say what is in them`() throws {
        let pieces = pieces(5)
        let (frames, packs) = try store(pieces, packSize: 1 << 30)
        let key = folder.appending("3-0")
        _ = try storage.putIfAbsent(ObjectKey("content"), pieces.flatMap(\.self))
        let root = directory.path(of: "repository")
        run("zstd -dcq '\(root)/packs/3-0' | cmp - '\(root)/content'")
        let size = try #require(try storage.info(key)?.size)
        let trailer = try ObjectTrailer.read(key, size: size, from: storage)
        #expect(trailer.proof == packs.first?.proof && size == packs.first?.bytes)
        let lines = String(decoding: trailer.payload, as: UTF8.self).split(separator: "\n")
        #expect(
            lines.map(String.init)
                == frames.map { "\($0.offset) \($0.storedLength) \($0.contentLength) \($0.sha256)" })
    }

    @Test(arguments: [0, 5000, -33, -32, -1])
    func `shows a flipped byte wherever it is`(_ place: Int) throws {
        try store(pieces(8), packSize: 1 << 30)
        let key = folder.appending("3-0")
        var bytes = try #require(try storage.readAll(key, limit: 1 << 30))
        #expect(try proof(of: key) != nil)
        bytes[place < 0 ? bytes.count + place : place] ^= 1
        try storage.remove(key)
        _ = try storage.putIfAbsent(key, bytes)
        #expect(errorCode { () throws(BackupError) in _ = try proof(of: key) } == .objectDamaged)
    }

    private func proof(of key: ObjectKey) throws(BackupError) -> SHA256Digest? {
        let proof = ObjectProof(of: key)
        try storage.read(key, into: proof)
        try proof.finish()
        return proof.proof
    }

    @Test func `proves an object that comes in pieces of any size, and passes on all of it`() throws {
        try store(pieces(8), packSize: 1 << 30)
        let key = folder.appending("3-0")
        let bytes = try #require(try storage.readAll(key, limit: 1 << 30))
        for size in [1, 7, 31, 32, 33, 4096] {
            let passed = CollectingSink(limit: 1 << 30)
            let proof = ObjectProof(of: key, into: passed)
            for start in stride(from: 0, to: bytes.count, by: size) {
                try proof.write(Array(bytes[start..<min(start + size, bytes.count)]).span)
            }
            try proof.finish()
            #expect(passed.bytes == bytes)
        }
    }

    @Test func `refuses a trailer that cannot be`() throws {
        let key = ObjectKey("odd")
        for bytes in [[], [UInt8](repeating: 255, count: 100), [UInt8](repeating: 0, count: 5000)] {
            try storage.remove(key)
            _ = try storage.putIfAbsent(key, bytes)
            let code = errorCode { () throws(BackupError) in
                _ = try ObjectTrailer.read(key, size: Int64(bytes.count), from: storage)
            }
            #expect(code == .objectDamaged)
        }
    }

    @Test func `leaves no unfinished pack when it is dropped`() throws {
        do {
            let writer = try PackWriter(storage, folder: folder, backup: backup, worker: 0, level: 1)
            for piece in pieces(4) { _ = try writer.store(piece.span) }
        }
        #expect(try storage.children(of: nil) == [] && storage.temporaryFiles(under: nil) == [])
    }
}
