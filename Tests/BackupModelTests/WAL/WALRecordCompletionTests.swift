import TestSupport
import Testing

@testable import BackupModel

/// The summaries of the segments of 1 MiB that `bytes` are.
func summaries(of bytes: [UInt8], from start: UInt64, every size: Int = 65_536) throws -> [WALSegmentSummary] {
    try stride(from: 0, to: bytes.count, by: 1 << 20).map { offset in
        var reader = WALSegmentReader(from: LogSequenceNumber(position: start + UInt64(offset)))
        let end = min(offset + 1 << 20, bytes.count)
        for begin in stride(from: offset, to: end, by: size) {
            reader.consume(bytes.span.extracting(begin..<min(begin + size, end)))
        }
        return try #require(reader.finish())
    }
}

@Suite struct `Completing a record that a segment's end cuts` {
    private static let segment = 1 << 20

    /// One segment up to 4096 bytes before its end.
    private static let most: WALWriter = {
        var writer = WALWriter()
        writer.commit(xid: 1, at: 5)
        // A page's header of 24 bytes for each of the 127 other pages, and 24 of the record itself.
        writer.filler(segment - 4096 - writer.bytes.count - 127 * 24 - 24)
        return writer
    }()

    /// One segment up to `room` bytes before its end.
    private func upTo(_ room: Int) -> WALWriter {
        var writer = Self.most
        writer.filler(4096 - room - 24)
        return writer
    }

    /// The summaries of what `write` adds `room` bytes before the end of a segment, and the same read whole.
    private func cut(
        at room: Int, every size: Int = 65_536, _ write: (inout WALWriter) -> Void
    ) throws -> (segments: [WALSegmentSummary], whole: WALSegmentSummary) {
        var writer = upTo(room)
        #expect(writer.bytes.count == Self.segment - room)
        write(&writer)
        writer.commit(xid: 99, at: 1)
        var reader = WALSegmentReader(from: LogSequenceNumber(position: writer.start))
        reader.consume(writer.bytes.span)
        return (try summaries(of: writer.bytes, from: writer.start, every: size), try #require(reader.finish()))
    }

    /// Every record of interest, with headers of an origin and a top-level transaction before the longest.
    private static let records: [(String, @Sendable (inout WALWriter) -> Void)] = [
        ("commit", { $0.commit(xid: 7, at: 99) }),
        (
            "abort with an origin",
            { writer in
                var time: [UInt8] = []
                time.number(Int64(77))
                writer.record(1, 0x20, xid: 8, [253, 1, 0, 252, 5, 0, 0, 0] + WALWriter.main(time))
            }
        ),
        (
            "commit of many subtransactions",
            { writer in
                var data: [UInt8] = []
                data.number(Int64(123_456))
                data.number(UInt32(2))
                data.number(UInt32(3000))
                writer.record(1, 0x80, xid: 9, WALWriter.main(data + [UInt8](repeating: 3, count: 12_000)))
            }
        ),
        (
            "restore point",
            { writer in
                let name = Array(String(repeating: "n", count: 63).utf8) + [0]
                writer.record(0, 0x70, WALWriter.main([UInt8](repeating: 1, count: 8) + name))
            }
        ),
        ("heartbeat", { $0.message("apex.heartbeat", [UInt8](repeating: 0x61, count: 300), isTransactional: true) }),
        ("other message", { $0.message("other", [UInt8](repeating: 0x61, count: 900)) }),
        ("parameters", { $0.record(0, 0x60, WALWriter.main([UInt8](repeating: 1, count: 28))) }),
        ("recovery", { $0.record(0, 0x90, WALWriter.main([UInt8](repeating: 2, count: 16))) }),
        ("checkpoint", { $0.record(0, 0x10, WALWriter.main([UInt8](repeating: 4, count: 88))) }),
    ]

    @Test func `says the same as reading it whole, wherever it is cut`() throws {
        for (name, write) in Self.records {
            for room in [8, 16, 24, 32, 40, 64, 96, 200, 320] {
                var (segments, whole) = try cut(at: room, every: room == 64 ? 1013 : 65_536, write)
                guard var first = segments.first, segments.count == 2, first.unfinished != nil else { continue }
                #expect(first.unfinished?.mayBeReported == true && first != whole)
                segments.removeFirst()
                #expect(first.complete(with: segments) == .completed, "\(name), \(room) bytes before the end")
                #expect(first.commits == whole.commits && first.aborts == whole.aborts)
                #expect(first.latestTime == whole.latestTime && first.lastTransactionEnd == whole.lastTransactionEnd)
                #expect(first.restorePoints == whole.restorePoints && first.heartbeats == whole.heartbeats, "\(name)")
                #expect(first.parameterChanges == whole.parameterChanges && first.checkpoint == whole.checkpoint)
                #expect(first.timelineBeginnings == whole.timelineBeginnings)
                #expect(first.unfinished == nil && first.unfinishedPiece == nil && first.validEnd == first.end)
            }
        }
    }

    @Test func `cuts every kind of record in the cases of these tests`() throws {
        for (name, write) in Self.records {
            let segments = try cut(at: 24, write).segments
            #expect(segments.count == 2 && segments[0].unfinishedPiece?.length == 24, "\(name)")
            #expect(segments[0].lastRecord == segments[0].unfinished?.start && segments[0].lastRecord != nil)
            let rest = try #require(segments[1].continuation)
            #expect(
                rest.length == UInt64(segments[1].continuedBytes)
                    && rest.first.bytes.count == min(Int(rest.length), 384))
        }
    }

    @Test func `goes on over segments that the record fills`() throws {
        var (segments, whole) = try cut(at: 32) {
            $0.message("apex.heartbeat", [UInt8](repeating: 0x61, count: 2 * Self.segment))
        }
        #expect(segments.count == 4)
        var first = segments.removeFirst()
        var early = first
        for count in 0..<segments.count - 1 {
            #expect(early.complete(with: segments.prefix(count)) == .needsMore && early == first)
        }
        #expect(first.complete(with: segments) == .completed)
        #expect(first.heartbeats == whole.heartbeats && first.heartbeats.entries.first?.text.utf8.count == 256)
    }

    @Test func `takes a timeline that continues this one, and no other`() throws {
        var segments = try cut(at: 32) { $0.commit(xid: 7, at: 9) }.segments
        var first = segments.removeFirst()
        let changes: [(inout WALSegmentSummary) -> Void] = [
            { $0.systemIdentifier = "5" }, { $0.major = 17 }, { $0.timeline = 0 },
            { $0.start.position += 1 << 20 },
        ]
        for change in changes {
            var other = segments
            change(&other[0])
            let before = first
            #expect(first.complete(with: other) == .contradicted(.otherSegment(first.end)) && first == before)
        }
        segments[0].timeline = 2
        #expect(first.complete(with: segments) == .completed && first.commits == 2)
    }

    @Test func `believes no record whose length or checksum is wrong`() throws {
        let segments = try cut(at: 32) { $0.commit(xid: 7, at: 9) }.segments
        let second = segments[1]
        var first = segments[0]
        var other = second
        other.continuedBytes += 1
        #expect(first.complete(with: [other]) == .contradicted(.otherLength(second.start, second.continuedBytes + 1)))

        let rest = try #require(second.continuation)
        for index in rest.first.bytes.indices {
            var bytes = rest.first.bytes
            bytes[index] ^= 0x10
            other = second
            other.continuation = WALRecordPiece(bytes)
            #expect(first.complete(with: [other]) == .contradicted(.invalid(.wrongChecksum)), "byte \(index)")
        }
        other.continuation = WALRecordPiece(rest.first.bytes + [0])
        #expect(first.complete(with: [other]) == .contradicted(.damaged(second.start)))
        other.continuation = nil
        #expect(first.complete(with: [other]) == .contradicted(.damaged(second.start)))
        #expect(first == segments[0])
    }

    @Test func `believes no long record of which a byte that is not kept is wrong`() throws {
        var writer = upTo(400)
        writer.message("apex.heartbeat", [UInt8](repeating: 0x61, count: 9000))
        writer.commit(xid: 5, at: 5)
        writer.zeros(upTo: writer.start + 2 << 20)
        for offset in [5000, 8000] {
            var bytes = writer.bytes
            bytes[Self.segment + offset] ^= 1
            let segments = try summaries(of: bytes, from: writer.start)
            var first = segments[0]
            #expect(first.complete(with: segments.dropFirst()) == .contradicted(.invalid(.wrongChecksum)))
        }
        let segments = try summaries(of: writer.bytes, from: writer.start)
        var first = segments[0]
        #expect(first.complete(with: segments.dropFirst()) == .completed && first.heartbeats.entries.count == 1)
    }

    @Test func `leaves out a record that a crash left unfinished`() throws {
        var writer = upTo(32)
        writer.commit(xid: 7, at: 9)
        var next = WALWriter(start: writer.start + UInt64(Self.segment))
        // Flag 8: the record of the page before was never finished.
        next.header(remaining: nil, extraFlags: 8)
        next.previous = writer.start + 0x28
        next.commit(xid: 8, at: 10)
        let segments = try summaries(
            of: Array(writer.bytes.prefix(Self.segment)) + next.bytes, from: writer.start)
        var first = segments[0]
        #expect(first.complete(with: segments.dropFirst()) == .abandoned)
        #expect(first.commits == 1 && first.unfinished == nil && first.validEnd < first.end)
    }

    @Test func `does nothing where nothing of interest is cut`() throws {
        var segments = try cut(at: 32) { $0.filler(500) }.segments
        #expect(segments[0].unfinished?.mayBeReported == false && segments[0].unfinishedPiece == nil)
        let before = segments[0]
        #expect(segments[0].complete(with: segments.dropFirst()) == .notNeeded && segments[0] == before)
        #expect(segments[1].complete(with: []) == .notNeeded)

        segments = try cut(at: 32) { $0.commit(xid: 7, at: 9) }.segments
        segments[0].damage = "broken"
        #expect(segments[0].complete(with: segments.dropFirst()) == .notNeeded)
    }

    @Test func `knows the first and the last record, though they are cut`() throws {
        let segments = try cut(at: 32) { $0.commit(xid: 7, at: 9) }.segments
        #expect(segments[0].firstRecord?.position == 0x300_0028)
        #expect(segments[0].lastRecord?.position == 0x310_0000 - 32)
        #expect(segments[1].lastRecord == segments[1].firstRecord && segments[1].lastRecord != nil)
        var writer = WALWriter()
        writer.message("m", [UInt8](repeating: 1, count: Self.segment))
        let only = try #require(try summaries(of: writer.bytes, from: writer.start).first)
        #expect(only.firstRecord?.position == 0x300_0028 && only.lastRecord == only.firstRecord)
    }
}

@Suite struct `The checksum of parts` {
    @Test func `is that of the whole, and the other way round`() {
        var random = SeededGenerator(seed: 32)
        for _ in 0..<200 {
            let bytes = (0..<Int.random(in: 0...3000, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            let middle = Int.random(in: 0...bytes.count, using: &random)
            let first = slowCRC32C(Array(bytes[..<middle]))
            let second = slowCRC32C(Array(bytes[middle...]))
            let length = UInt64(bytes.count - middle)
            let whole = slowCRC32C(bytes)
            #expect(CRC32C.joined(first, second, length: length) == whole)
            #expect(CRC32C.remainder(whole, without: first, length: length) == second)
            var rest = CRC32C(continuing: first)
            rest.update(bytes[middle...])
            #expect(rest.value == whole)
        }
    }

    @Test func `is that of pieces in any grouping`() {
        var random = SeededGenerator(seed: 33)
        for _ in 0..<100 {
            let parts = (0..<3).map { _ in
                (0..<Int.random(in: 0...500, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            }
            let pieces = parts.map { WALRecordPiece($0) }
            let left = pieces[0].followed(by: pieces[1]).followed(by: pieces[2])
            #expect(left == pieces[0].followed(by: pieces[1].followed(by: pieces[2])))
            #expect(left == WALRecordPiece(parts.flatMap(\.self)))
        }
    }
}
