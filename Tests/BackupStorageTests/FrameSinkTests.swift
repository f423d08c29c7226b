import BackupModel
import TestSupport
import Testing

@testable import BackupStorage

/// What `content` is stored as, and the lengths of its frames.
private func stored(
    _ content: [UInt8], workers: Int, inPiecesOf size: Int = 300_000
) throws(BackupError) -> (bytes: [UInt8], frames: [Int]) {
    let collecting = CollectingSink(limit: 64 << 20)
    let sink = try FrameCompressingSink(level: 1, workers: workers, into: collecting)
    try give(content, to: sink, inPiecesOf: size)
    return (collecting.bytes, sink.frames)
}

private func content(
    of bytes: [UInt8], frames: [Int], workers: Int, inPiecesOf size: Int = 100_000
) throws(BackupError) -> [UInt8] {
    let collecting = CollectingSink(limit: 64 << 20)
    try give(
        bytes, to: try FrameDecompressingSink(frames: frames, workers: workers, into: collecting), inPiecesOf: size)
    return collecting.bytes
}

private func give(_ bytes: [UInt8], to sink: any ByteSink, inPiecesOf size: Int) throws(BackupError) {
    var rest = bytes.span
    while !rest.isEmpty {
        let length = min(size, rest.count)
        try sink.write(rest.extracting(0..<length))
        rest = rest.extracting(droppingFirst: length)
    }
    try sink.finish()
}

@Suite struct `Compressing frames side by side` {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: [1, 2, 3], [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 77, 5 << 20])
    func `gives the content back in its order`(workers: Int, count: Int) throws {
        let content = mixedContent(count: count, seed: UInt64(count + workers))
        let (bytes, frames) = try stored(content, workers: workers)
        #expect(frames.count == max(1, (count + (1 << 20) - 1) >> 20))
        #expect(frames.reduce(0, +) == bytes.count)
        for readers in [1, 2, 4] {
            for size in [bytes.count / 3 + 1, 100_000, 1 << 22] {
                let back = try BackupStorageTests.content(
                    of: bytes, frames: frames, workers: readers, inPiecesOf: size)
                #expect(back == content)
            }
        }
        #expect(try stored(content, workers: 2).bytes == bytes, "whoever compresses it")
    }

    @Test func `compares the checksum of each frame`() throws {
        var (bytes, frames) = try stored(mixedContent(count: (2 << 20) + 5, seed: 2), workers: 2)
        // The last four bytes of a frame are its content's checksum (RFC 8878, 3.1.1).
        let end = try #require(frames.first)
        bytes[end - 1] ^= 1
        let error = #expect(throws: BackupError.self) { try content(of: bytes, frames: frames, workers: 2) }
        #expect(error?.code == .objectDamaged && error?.reason?.contains("checksum") == true, "\(error)")
    }

    @Test func `makes one file that zstd reads`() throws {
        let content = mixedContent(count: (2 << 20) + 5, seed: 1)
        try directory.write(content, to: "content")
        try directory.write(stored(content, workers: 2).bytes, to: "stored.zst")
        run("zstd -q -dc \(directory.path(of: "stored.zst")) | cmp - \(directory.path(of: "content"))")
        try directory.write(stored([], workers: 2).bytes, to: "empty.zst")
        run("test \"$(zstd -q -dc \(directory.path(of: "empty.zst")) | wc -c)\" = 0")
    }

    @Test func `ignores what follows the last frame`() throws {
        let content = mixedContent(count: 2 << 20, seed: 2)
        let (bytes, frames) = try stored(content, workers: 2)
        #expect(try BackupStorageTests.content(of: bytes + [1, 2, 3], frames: frames, workers: 2) == content)
    }

    @Test func `notices what is cut off or of other lengths`() throws {
        let content = mixedContent(count: (2 << 20) + 1000, seed: 3)
        let (bytes, frames) = try stored(content, workers: 2)
        func refuses(_ bytes: [UInt8], _ frames: [Int]) -> Bool {
            let error = #expect(throws: BackupError.self) {
                try BackupStorageTests.content(of: bytes, frames: frames, workers: 2)
            }
            return error?.code == .objectDamaged
        }
        #expect(refuses(bytes.dropLast(), frames))
        #expect(refuses(Array(bytes[..<frames[0]]), frames))
        #expect(refuses(bytes, [frames[0] + 1, frames[1] - 1, frames[2]]))
        #expect(refuses(bytes, []))
        #expect(refuses(bytes, [0] + frames))
        #expect(refuses(bytes, [bytes.count * 100]))
    }

    @Test func `ends with the error of what follows`() throws {
        let failing = RefusingSink()
        let content = mixedContent(count: 4 << 20, seed: 4)
        let error = #expect(throws: BackupError.self) {
            try give(content, to: FrameCompressingSink(level: 1, workers: 2, into: failing), inPiecesOf: 1 << 20)
        }
        #expect(error?.code == .repositoryFull)
    }
}

/// A sink that takes nothing.
private final class RefusingSink: ByteSink {
    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        throw BackupError(.repositoryFull, "Nothing is taken.", remedy: "None.")
    }
    func finish() throws(BackupError) {}
}
