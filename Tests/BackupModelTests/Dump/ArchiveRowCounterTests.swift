import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Counting rows in a custom-format archive` {
    private static let fixtureCounts = [
        TableRowCount(schema: "Odd \"Schema", table: "naïve\ntable.x", rows: 4, bytes: 76),
        TableRowCount(schema: "public", table: "bare", rows: 3, bytes: 3),
        TableRowCount(schema: "public", table: "dots", rows: 5, bytes: 21),
        TableRowCount(schema: "public", table: "part_1", rows: 9, bytes: 63),
    ]

    @Test(arguments: ArchiveFixtures.all.map(\.major))
    func `counts what each major of pg_dump wrote, wherever the stream is cut`(major: Int) throws {
        let archive = try #require(ArchiveFixtures.all.first { $0.major == major }).bytes
        for size in Array(1...70) + [1000, archive.count] {
            let counter = try counted(archive, every: size)
            #expect(counter.rows == Self.fixtureCounts, "pieces of \(size)")
            #expect(counter.largeObjects == 3)
        }
    }

    @Test func `counts alike for every cut in two`() throws {
        let archive = ArchiveFixtures.major18
        for cut in 0...archive.count {
            #expect(try counted(archive, cutAt: [cut]).rows == Self.fixtureCounts, "cut at \(cut)")
        }
    }

    @Test(arguments: ArchiveFixtures.all.map(\.major))
    func `refuses every truncation of what each major wrote`(major: Int) throws {
        let archive = try #require(ArchiveFixtures.all.first { $0.major == major }).bytes
        var counter = ArchiveRowCounter()
        for length in 0..<archive.count {
            var truncated = counter
            #expect(throws: BackupError.self, "\(length) bytes") { try truncated.finish() }
            try counter.consume(archive.span.extracting(length..<length + 1))
        }
        #expect(try counter.finish() == Self.fixtureCounts)
    }

    @Test(arguments: ArchiveFixtures.all.map(\.major))
    func `tells what the table of contents says`(major: Int) throws {
        let archive = try #require(ArchiveFixtures.all.first { $0.major == major }).bytes
        let contents = try counted(archive).contents
        #expect(contents.entries.map(\.description) == ["EXTENSION"] + Array(repeating: "TABLE DATA", count: 4))
        #expect(contents.entries.first?.tag == "pg_trgm")
        #expect(contents.entries.first?.namespace == "")
    }

    @Test func `keeps who owns a table's data`() throws {
        var writer = ArchiveWriter(entries: 1)
        writer.entry(7, tag: "a")
        writer.rows(7, [])
        #expect(
            try counted(writer.bytes).contents.entries == [
                ArchiveEntry(dumpID: 7, description: "TABLE DATA", namespace: "public", tag: "a", owner: "owner")
            ])
    }

    @Test func `tells which roles and tablespaces its objects need, or the chosen ones of them`() throws {
        var writer = ArchiveWriter(entries: 3)
        writer.entry(1, "TABLE", tag: "a", hasData: false, tablespace: "fast")
        writer.entry(2, "INDEX", tag: "b", hasData: false, tablespace: "Cold \"one\"", owner: "team")
        writer.entry(3, "COMMENT", tag: "c", hasData: false, owner: "nobody")
        func read(_ reader: ArchiveContentsReader) throws -> ArchiveContents {
            var (reader, position) = (reader, 0)
            try reader.consume(writer.bytes.span, from: &position)
            #expect(reader.isComplete)
            return reader.contents
        }
        let all = try read(ArchiveContentsReader())
        #expect(all.owners == ["owner", "team"] && all.tablespaces == ["fast", "Cold \"one\""])
        let chosen = try read(ArchiveContentsReader(noting: [2, 3]))
        #expect(chosen.owners == ["team"] && chosen.tablespaces == ["Cold \"one\""])
        let fixtures = try ArchiveFixtures.all.map { try counted($0.bytes).contents }
        #expect(fixtures.allSatisfy { !$0.owners.isEmpty && $0.tablespaces.isEmpty })
    }

    @Test(arguments: [(14, 4), (15, 4), (16, 4), (16, 8), (16, 2)] as [(UInt8, Int)])
    func `reads every version and size of integers`(minorVersion: UInt8, integerSize: Int) throws {
        var writer = ArchiveWriter(minorVersion: minorVersion, integerSize: integerSize, entries: 2)
        writer.entry(1, "TABLE", tag: "a", hasData: false)
        writer.entry(2, tag: "a")
        writer.rows(2, ["1", "22", "333333333"])
        #expect(try counted(writer.bytes).rows == [TableRowCount(schema: "public", table: "a", rows: 3, bytes: 15)])
    }

    @Test func `does not take the bytes of a length for rows`() throws {
        // Lengths whose bytes are line feeds: 10, 0x0A0A, 0x0A00 and 0x0A.
        let lengths = [10, 0x0A0A, 0x0A00, 0x0A, 0x10A, 5, 4, 1]
        var writer = ArchiveWriter(entries: 1)
        writer.entry(1, tag: "a")
        writer.rows(1, lengths.map { String(repeating: "x", count: $0 - 1) })
        let expected = TableRowCount(
            schema: "public", table: "a", rows: Int64(lengths.count), bytes: Int64(lengths.reduce(0, +)))
        for size in 1...40 { #expect(try counted(writer.bytes, every: size).rows == [expected]) }
        #expect(try counted(writer.bytes).rows == [expected])
    }

    @Test(arguments: 0..<20)
    func `counts alike however rows, chunks and the stream are cut`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var expected: [TableRowCount] = []
        let tables = Int.random(in: 1...5, using: &random)
        var writer = ArchiveWriter(minorVersion: UInt8.random(in: 14...16, using: &random), entries: tables)
        for table in 1...tables {
            writer.entry(table, tag: "t\(table)", definition: String(repeating: "d", count: 700))
        }
        for table in 1...tables {
            let rows = (0..<Int.random(in: 0...300, using: &random)).map { _ in
                [UInt8](repeating: 0x61, count: Int.random(in: 0...30, using: &random)) + [0x0A]
            }
            let text = rows.flatMap { $0 } + Array("\\.\n\n\n".utf8)
            var chunks: [[UInt8]] = []
            var rest = text[...]
            while !rest.isEmpty {
                let size = min(rest.count, Int.random(in: 1...60, using: &random))
                chunks.append(Array(rest.prefix(size)))
                rest = rest.dropFirst(size)
            }
            writer.data(table, chunks: chunks)
            expected.append(
                TableRowCount(
                    schema: "public", table: "t\(table)", rows: Int64(rows.count), bytes: Int64(text.count - 5)))
        }
        for size in [1, 2, 3, 5, 7, 64, 1000, writer.bytes.count] {
            #expect(try counted(writer.bytes, every: size).rows == expected, "seed \(seed), pieces of \(size)")
        }
    }

    @Test func `lists no table without data, and leaves large objects' line feeds alone`() throws {
        var writer = ArchiveWriter(entries: 3)
        writer.entry(1, tag: "empty_schema_only", hasData: false)
        writer.entry(2, tag: "a")
        writer.entry(3, "BLOBS", schema: nil, tag: "BLOBS", copy: nil)
        writer.rows(2, ["x"])
        writer.largeObjects(3, [Array("a\nb\n".utf8), [], [UInt8](repeating: 0x0A, count: 5000)])
        let counter = try counted(writer.bytes)
        #expect(counter.rows == [TableRowCount(schema: "public", table: "a", rows: 1, bytes: 2)])
        #expect(counter.largeObjects == 3)
    }

    @Test func `takes an archive without any entry`() throws {
        #expect(try counted(ArchiveWriter(entries: 0).bytes).rows.isEmpty)
    }
}

@Suite struct `Refusing an archive` {
    @Test func `says which table's data is missing`() throws {
        var writer = ArchiveWriter(entries: 2)
        writer.entry(1, tag: "a")
        writer.entry(2, tag: "b")
        writer.rows(1, ["x"])
        let error = try #require(refusal(writer.bytes))
        #expect(error.code == .dumpIncomplete)
        #expect(error.reason == "the data of 1 of its entries is missing, first that of table 'public.b'")
    }

    @Test func `says in which table's data it ends`() throws {
        var writer = ArchiveWriter(entries: 1)
        writer.entry(1, tag: "a")
        writer.rows(1, ["x"])
        let error = try #require(refusal(Array(writer.bytes.dropLast(6))))
        #expect(error.code == .dumpIncomplete)
        #expect(error.reason?.contains("inside the data of table 'public.a'") == true)
    }

    @Test func `refuses table data that does not end with COPY's end`() throws {
        var writer = ArchiveWriter(entries: 1)
        writer.entry(1, tag: "a")
        writer.data(1, chunks: [Array("x\n".utf8)])
        let error = try #require(refusal(writer.bytes))
        #expect(error.code == .dumpIncomplete)
        #expect(error.reason == "the data of table 'public.a' ends without '\\.'")
    }

    @Test(arguments: [(14, 6, "gzip"), (15, 1, "gzip"), (16, 2, "lz4"), (16, 3, "zstd"), (16, 9, "algorithm 9")])
    func `refuses a compressed archive and names the compression`(version: Int, compression: Int, name: String) throws {
        let writer = ArchiveWriter(minorVersion: UInt8(version), compression: UInt8(compression), entries: 0)
        let error = try #require(refusal(writer.bytes))
        #expect(error.code == .toolFailed)
        #expect(error.message == "The archive is compressed by pg_dump (\(name)).")
        #expect(error.remedy.contains("-Z0"))
    }

    @Test(arguments: [13, 17] as [UInt8])
    func `refuses a version it does not know`(minorVersion: UInt8) throws {
        let error = try #require(refusal(ArchiveWriter(minorVersion: minorVersion, entries: 0).bytes))
        #expect(error.message.contains("1.\(minorVersion)"))
    }

    @Test func `refuses data dumped as INSERT statements`() throws {
        var writer = ArchiveWriter(entries: 1)
        writer.entry(1, tag: "a", copy: nil)
        let error = try #require(refusal(writer.bytes))
        #expect(error.message == "The data of table 'public.a' was dumped as INSERT statements.")
    }

    @Test func `refuses what is no archive`() throws {
        #expect(try #require(refusal(Array("-- PostgreSQL database dump\n".utf8))).reason?.contains("PGDMP") == true)
        #expect(try #require(refusal(Array("PGDMx".utf8))).code == .dumpIncomplete)
        #expect(try #require(refusal([])).code == .dumpIncomplete)
    }

    @Test func `refuses a malformed archive`() throws {
        var whole = ArchiveWriter(entries: 2)
        whole.entry(1, tag: "a")
        whole.entry(2, "BLOBS", schema: nil, tag: "BLOBS", copy: nil)
        func refused(_ append: (inout ArchiveWriter) -> Void) throws -> String {
            var writer = whole
            append(&writer)
            let error = try #require(refusal(writer.bytes))
            #expect(error.code == .dumpIncomplete)
            return error.reason ?? ""
        }
        #expect(try refused { $0.raw([9]) }.contains("a block of type 9 at byte"))
        #expect(try refused { $0.rows(5, []) }.contains("an entry 5 that has none"))
        #expect(
            try refused {
                $0.rows(1, [])
                $0.rows(1, [])
            }.contains("or has had it"))
        #expect(try refused { $0.rows(2, []) }.contains("which is no table"))
        #expect(
            try refused {
                $0.raw([1])
                $0.integer(1)
                $0.integer(-4)
            }.contains("a piece of data of -4 bytes"))
    }

    private func refusal(_ archive: [UInt8]) -> BackupError? {
        do {
            _ = try counted(archive)
            return nil
        } catch {
            return error as? BackupError
        }
    }
}

private struct Counted {
    var rows: [TableRowCount]
    var largeObjects: Int64
    var contents: ArchiveContents
}

/// Counts `archive` in the pieces between the offsets of `cuts`.
private func counted(_ archive: [UInt8], cutAt cuts: [Int] = []) throws -> Counted {
    var counter = ArchiveRowCounter()
    var start = 0
    for end in cuts + [archive.count] {
        try counter.consume(archive.span.extracting(start..<end))
        start = end
    }
    return Counted(rows: try counter.finish(), largeObjects: counter.largeObjects, contents: counter.contents)
}

private func counted(_ archive: [UInt8], every size: Int) throws -> Counted {
    try counted(archive, cutAt: Array(stride(from: 0, to: archive.count, by: size)))
}

@Suite struct `Counting line feeds` {
    @Test(arguments: [0, 1, 15, 16, 239, 240, 241, 480, 10_000])
    func `finds all of them at every length`(length: Int) {
        let all = [UInt8](repeating: 0x0A, count: length)
        #expect(countLineFeeds(in: all.span) == length)
        var random = SeededGenerator(seed: UInt64(length))
        let some = (0..<length).map { _ in UInt8.random(in: 9...12, using: &random) }
        #expect(countLineFeeds(in: some.span) == some.count { $0 == 0x0A })
    }
}
