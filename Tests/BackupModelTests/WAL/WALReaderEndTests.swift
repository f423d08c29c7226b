import TestSupport
import Testing

@testable import BackupModel

@Suite struct `The end of the WAL that is read` {
    /// Records, and where each begins.
    private func threeCommits() -> (writer: WALWriter, starts: [UInt64]) {
        var writer = WALWriter()
        let starts = (1...3).map { writer.commit(xid: $0, at: 0) }
        return (writer, starts)
    }

    private func end(_ position: UInt64, _ reason: WALEnd.Reason, _ unfinished: UnfinishedRecord? = nil) -> WALEnd {
        WALEnd(position: LogSequenceNumber(position: position), reason: reason, unfinished: unfinished)
    }

    private func lsn(_ position: UInt64) -> LogSequenceNumber { LogSequenceNumber(position: position) }

    @Test func `is where zeros follow`() {
        var (writer, _) = threeCommits()
        let position = writer.position
        writer.zeros(upTo: writer.start + 20_000)
        for size in [1, 5, 8192, .max] {
            let (records, found, _) = readWAL(writer.bytes, every: size)
            #expect(records.count == 3 && found == end(position, .zeroLength))
        }
    }

    @Test func `is where a page of zeros follows a full page`() {
        var writer = WALWriter()
        writer.filler(8192 - 40 - 24)
        #expect(writer.position % 8192 == 0)
        let position = writer.position
        writer.zeros(upTo: position + 8192)
        #expect(readWAL(writer.bytes).end == end(position, .wrongPage(lsn(position), .format(0))))
    }

    @Test func `is before a record that follows another one than the last`() {
        var (writer, starts) = threeCommits()
        writer.record(1, 0, WALWriter.main([UInt8](repeating: 0, count: 8)), previous: starts[0])
        let (records, found, _) = readWAL(writer.bytes)
        #expect(records.count == 3 && found == end(writer.previous, .wrongPreviousRecord(lsn(starts[0]))))
    }

    @Test func `is before a first record that does not follow an earlier one`() {
        var writer = WALWriter()
        writer.header(remaining: nil)
        let start = writer.position
        writer.record(10, 0, [1], previous: start)
        #expect(readWAL(writer.bytes).end == end(start, .wrongPreviousRecord(lsn(start))))
    }

    @Test func `is before a record whose checksum is wrong`() {
        let (writer, starts) = threeCommits()
        for offset in [4, 19, 20, 26, 33] {
            var bytes = writer.bytes
            bytes[Int(starts[1] - writer.start) + offset] ^= 0x40
            for size in [3, .max] {
                let (records, found, _) = readWAL(bytes, every: size)
                #expect(records.count == 1 && found == end(starts[1], .wrongChecksum), "byte \(offset)")
            }
        }
    }

    @Test func `is before a record that is not reported only if all checksums are computed`() {
        var writer = WALWriter()
        let start = writer.filler(10_000)
        writer.commit(xid: 1, at: 0)
        var bytes = writer.bytes
        bytes[9000] ^= 1
        for size in [100, .max] {
            #expect(readWAL(bytes, every: size).records.count == 1)
            let (records, found, _) = readWAL(bytes, every: size, checksums: .ofAllRecords)
            #expect(records.isEmpty && found == end(start, .wrongChecksum))
        }
    }

    @Test func `is before a record whose length or resource manager cannot be`() {
        let (writer, starts) = threeCommits()
        let offset = Int(starts[2] - writer.start)
        for (length, reason) in [
            (23, WALEnd.Reason.wrongLength(23)), (0xFFFF_FFFF, .wrongLength(.max)),
            (0x4000_0000, .wrongLength(0x4000_0000)),
        ] as [(UInt32, WALEnd.Reason)] {
            var bytes = writer.bytes
            for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
            #expect(readWAL(bytes).end == end(starts[2], reason))
        }
        var bytes = writer.bytes
        bytes[offset + 17] = 22
        #expect(readWAL(bytes).end == end(starts[2], .wrongResourceManager(22)))
        bytes[offset + 17] = 128
        #expect(readWAL(bytes).end.reason == .inputEnded)
    }

    @Test func `is before a record whose parts do not fit though its checksum is right`() {
        let body = [UInt8](repeating: 0, count: 8)
        let malformed: [[UInt8]] = [
            [], [255, 7] + body, [255, 9] + body, [251, 255, 8] + body, [33, 0, 0, 0], [0, 0x10, 0, 0], [254, 8, 0],
            [255, 4, 1, 2, 3, 4], [1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 255, 8] + body,
            (0...32).flatMap { [$0, 0x80, 0, 0, 0, 0, 0, 0] } + [32, 255, 8] + body, [253], [252, 1],
        ]
        for data in malformed {
            var writer = WALWriter()
            let start = writer.record(1, 0, xid: 1, data)
            for size in [1, .max] {
                #expect(readWAL(writer.bytes, every: size).end == end(start, .malformedRecord), "\(data)")
            }
        }
    }

    @Test func `is before a page that is not the next one`() {
        var (writer, _) = threeCommits()
        let start = writer.filler(10_000)
        let page = writer.start + 8192
        let unfinished = UnfinishedRecord(
            start: lsn(start), totalLength: 10_024, missingBytes: UInt32(10_024 - (page - start)), mayBeReported: false)
        let cases: [(Int, UInt8, WALEnd.PageProblem)] = [
            (0, 0x16, .format(0xD116)), (8, 1, .address(lsn(page + 1))), (2, 0x11, .flags(0x11)), (2, 3, .flags(3)),
            (2, 0, .continuation(unfinished.missingBytes)), (4, 0, .timeline(0)),
            (16, 0, .continuation(unfinished.missingBytes & ~0xFF)),
        ]
        for (offset, value, problem) in cases {
            var bytes = writer.bytes
            bytes[8192 + offset] = value
            for size in [7, .max] {
                #expect(
                    readWAL(bytes, every: size).end == end(start, .wrongPage(lsn(page), problem), unfinished),
                    "\(problem)")
            }
        }
    }

    @Test func `is before a page that continues a record where none is unfinished`() {
        var writer = WALWriter()
        writer.filler(8192 - 40 - 24)
        writer.header(remaining: 100)
        writer.zeros(upTo: writer.position + 200)
        let page = writer.start + 8192
        #expect(readWAL(writer.bytes).end == end(page, .wrongPage(lsn(page), .continuation(100))))
    }

    @Test func `is before a segment of another cluster, size or timeline`() {
        for (problem, change) in [
            (.systemIdentifier(5), { $0.systemIdentifier = 5 }), (.timeline(1), { $0.timeline = 1 }),
            (.sizes, { $0.pageSize = 4096 }),
        ] as [(WALEnd.PageProblem, (inout WALWriter) -> Void)] {
            var writer = WALWriter()
            writer.timeline = 2
            writer.filler(20)
            writer.record(0, 0x40, [])
            writer.zeros(upTo: writer.start + 1 << 20)
            change(&writer)
            writer.header(remaining: nil)
            let position = writer.start + 1 << 20
            #expect(readWAL(writer.bytes).end == end(position, .wrongPage(lsn(position), problem)))
        }
    }

    @Test func `is at once where no segment begins`() {
        var writer = WALWriter(start: 0x300_2000)
        writer.filler(20)
        #expect(
            readWAL(writer.bytes, from: writer.start).end == end(writer.start, .wrongPage(lsn(writer.start), .flags(0)))
        )
        let zeros = [UInt8](repeating: 0, count: 100)
        #expect(readWAL(zeros).end == end(0x300_0000, .wrongPage(lsn(0x300_0000), .format(0))))
        #expect(readWAL([]).end == end(0x300_0000, .inputEnded))
        let (other, _) = threeCommits()
        #expect(
            readWAL(other.bytes, from: 0x400_0000).end
                == end(0x400_0000, .wrongPage(lsn(0x400_0000), .address(lsn(0x300_0000)))))
    }

    @Test func `is before a record that is not whole, of which it tells what is missing`() {
        var (writer, starts) = threeCommits()
        let start = writer.commit(xid: 4, at: 0)
        writer.message("late", [UInt8](repeating: 1, count: 9000))
        let late = writer.previous
        let whole = Int(start - writer.start)
        for cut in whole..<whole + 34 {
            let found = readWAL(Array(writer.bytes[..<cut])).end
            let expected = UnfinishedRecord(
                start: lsn(start), totalLength: 34, missingBytes: UInt32(34 - (cut - whole)), mayBeReported: true)
            #expect(found == end(start, .inputEnded, cut < whole + 4 ? nil : expected), "cut at \(cut)")
        }
        let found = readWAL(Array(writer.bytes[..<9000])).end
        // A page header of 24 bytes is among what was read.
        let read = 9000 - 24 - Int(late - writer.start)
        #expect(found.position.position == late && found.unfinished?.mayBeReported == true)
        #expect(found.unfinished.map { Int($0.totalLength ?? 0) - Int($0.missingBytes) } == read)
        #expect(starts.count == 3)
    }

    @Test func `comes for nobody who still has bytes`() {
        var reader = WALReader(from: lsn(0x300_0000))
        let (writer, starts) = threeCommits()
        var bytes = writer.bytes
        bytes[Int(starts[1] - writer.start) + 30] ^= 1
        var count = 0
        for index in bytes.indices {
            reader.consume(bytes.span.extracting(index..<index + 1)) { _ in count += 1 }
        }
        #expect(count == 1 && reader.end == end(starts[1], .wrongChecksum) && reader.finish() == reader.end)
    }
}
