import BackupModel
import TestSupport
import Testing

@testable import BackupStorage

private let everyCompression: [Compression] =
    [.none] + [1, 2, 3, 4, 6, 9].map { .gzip(level: $0) } + [1, 3, 19].map { .zstd(level: $0) }

private func compressed(_ content: [UInt8], _ compression: Compression, inPiecesOf size: Int = 64 << 10) throws
    -> [UInt8]
{
    try output(of: content, inPiecesOf: size) { next throws(BackupError) in try makeCompressor(compression, into: next)
    }
}

private func decompressed(
    _ bytes: [UInt8], _ compression: Compression, for purpose: DecompressionPurpose = .proof,
    inPiecesOf size: Int = 64 << 10
) throws(BackupError) -> [UInt8] {
    try output(of: bytes, inPiecesOf: size) { next throws(BackupError) in
        try makeDecompressor(compression, for: purpose, into: next)
    }
}

@Suite struct `Compressing a stream` {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: everyCompression)
    func `gives the content back whatever it is and however it is cut`(_ compression: Compression) throws {
        for (seed, count) in [0, 1, 2, 100, 65_535, 65_536, 262_144, 700_001].enumerated() {
            let content = mixedContent(count: count, seed: UInt64(seed))
            for size in [max(1, count / 97), 64 << 10, 1 << 20] {
                let stored = try compressed(content, compression, inPiecesOf: size)
                for purpose in DecompressionPurpose.allCases {
                    let back = try decompressed(
                        stored, compression, for: purpose, inPiecesOf: max(1, stored.count / 89))
                    #expect(back == content, "seed \(seed), \(count) bytes in pieces of \(size), for \(purpose)")
                }
            }
        }
    }

    @Test(arguments: everyCompression)
    func `holds for content that hardly fits its buffers`(_ compression: Compression) throws {
        var generator = SeededGenerator(seed: 7)
        let noise = (0..<(600 << 10)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        let zeros = [UInt8](repeating: 0, count: 5 << 20)
        #expect(try decompressed(compressed(noise, compression), compression) == noise)
        #expect(try decompressed(compressed(zeros, compression), compression) == zeros)
    }

    @Test(arguments: everyCompression.dropFirst())
    func `makes files that the stock tools read`(_ compression: Compression) throws {
        let content = mixedContent(count: 300_000, seed: 1)
        try directory.write(content, to: "content")
        let name = "stored\(compression.fileExtension)"
        try directory.write(compressed(content, compression), to: name)
        let tool = compression.fileExtension == ".gz" ? "gzip" : "zstd"
        run("\(tool) -q -t \(directory.path(of: name))")
        run("\(tool) -q -dc \(directory.path(of: name)) | cmp - \(directory.path(of: "content"))")
    }

    @Test(arguments: [("gzip", 1), ("gzip", 6), ("gzip", 9), ("zstd", 1), ("zstd", 19)])
    func `reads files that the stock tools made`(tool: String, level: Int) throws {
        let content = mixedContent(count: 300_000, seed: 2)
        try directory.write(content, to: "content")
        let path = directory.path(of: "content")
        run("\(tool) -q -\(level) -c \(path) > \(path).packed")
        run("cat \(path).packed \(path).packed > \(path).twice")
        let compression = try #require(Compression(parsing: tool))
        for purpose in DecompressionPurpose.allCases {
            #expect(try decompressed(directory.read("content.packed"), compression, for: purpose) == content)
            let twice = try directory.read("content.twice")
            #expect(try decompressed(twice, compression, for: purpose) == content + content)
            #expect(try decompressed(twice, compression, for: purpose, inPiecesOf: 1000) == content + content)
        }
    }

    @Test func `reads zstd with a skippable frame before and after the data`() throws {
        let content = mixedContent(count: 10_000, seed: 3)
        let skippable: [UInt8] = [0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]
        let stored = skippable + (try compressed(content, .zstd(level: 3))) + skippable
        #expect(try decompressed(stored, .zstd(level: 3), inPiecesOf: 5) == content)
    }

    @Test(arguments: [Compression.gzip(level: 1), .gzip(level: 6), .zstd(level: 3)], DecompressionPurpose.allCases)
    func `notices a stream that is cut off at any byte`(
        _ compression: Compression, for purpose: DecompressionPurpose
    ) throws {
        let stored = try compressed(mixedContent(count: 3000, seed: 4), compression)
        #expect(try decompressed(stored, compression, for: purpose).count == 3000)
        for count in 0..<stored.count {
            let code = errorCode { () throws(BackupError) in
                _ = try decompressed(Array(stored.prefix(count)), compression, for: purpose)
            }
            #expect(code == .objectDamaged, "cut off after \(count) of \(stored.count) bytes")
        }
    }

    @Test(arguments: [Compression.gzip(level: 1), .gzip(level: 6), .zstd(level: 3)], DecompressionPurpose.allCases)
    func `never gives wrong content for a flipped bit`(
        _ compression: Compression, for purpose: DecompressionPurpose
    ) throws {
        let content = mixedContent(count: 1000, seed: 5)
        let stored = try compressed(content, compression)
        var undetected = 0
        for bit in 0..<stored.count * 8 {
            var flipped = stored
            flipped[bit / 8] ^= 1 << (bit % 8)
            do {
                let back = try decompressed(flipped, compression, for: purpose)
                #expect(back == content, "bit \(bit)")
                undetected += 1
            } catch {
                #expect(error.code == .objectDamaged, "bit \(bit)")
            }
        }
        // Times and operating systems in headers mean nothing to the content.
        #expect(undetected <= 64)
    }

    @Test(arguments: [Compression.gzip(level: 1), .zstd(level: 3)], DecompressionPurpose.allCases)
    func `refuses anything behind the last checksum`(
        _ compression: Compression, for purpose: DecompressionPurpose
    ) throws {
        let stored = try compressed(mixedContent(count: 1000, seed: 6), compression)
        for garbage: [UInt8] in [[0], [0, 0, 0, 0], Array("garbage behind".utf8)] {
            let code = errorCode { () throws(BackupError) in
                _ = try decompressed(stored + garbage, compression, for: purpose)
            }
            #expect(code == .objectDamaged, "\(garbage)")
        }
    }

    @Test(arguments: [Compression.gzip(level: 0), .gzip(level: 10), .zstd(level: 0), .zstd(level: 20)])
    func `refuses a level that the format does not have`(_ compression: Compression) {
        let code = errorCode { () throws(BackupError) in _ = try makeCompressor(compression, into: DiscardSink()) }
        #expect(code == .usage)
    }
}

@Suite struct `Naming a compression` {
    @Test(arguments: [
        ("none", "none", ""), ("gzip", "gzip:2", ".gz"), ("gzip:9", "gzip:9", ".gz"), ("zstd", "zstd:1", ".zst"),
        ("zstd:19", "zstd:19", ".zst"),
    ])
    func `reads it with and without its level`(text: String, full: String, fileExtension: String) throws {
        let compression = try #require(Compression(parsing: text))
        #expect(compression.description == full)
        #expect(compression.fileExtension == fileExtension)
        #expect(Compression(parsing: full) == compression)
    }

    @Test(arguments: [
        "", "gzip:", "gzip:0", "gzip:10", "gzip:06", "gzip:+6", "gzip:6:1", "zstd:20", "none:1", "GZIP", "lz4", " gzip",
    ])
    func `refuses everything else`(text: String) { #expect(Compression(parsing: text) == nil) }
}

@Suite struct `What a decompressing library reports` {
    @Test func `is damage, unless the host had no memory for it`() {
        for (error, code) in [
            (CodecError.inflating(-3), ErrorCode.objectDamaged), (CodecError.inflating(-4), .storageFailed),
            (CodecError.decompressing(zstd: -20), .objectDamaged),
            (CodecError.decompressing(zstd: -64), .storageFailed),
        ] {
            #expect(error.code == code)
            #expect((error.reason == "Cannot allocate memory") == (code == .storageFailed))
        }
    }
}
