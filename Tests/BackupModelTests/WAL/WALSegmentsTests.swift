import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Reading several WAL segments` {
    private static let segment = 1 << 20

    /// Two and a half segments: a record of 50 KB and one commit cross the ends.
    private func long() -> (writer: WALWriter, commits: [UInt64]) {
        var writer = WALWriter()
        var commits: [UInt64] = []
        while writer.bytes.count < Self.segment - 40_000 { writer.filler(3001) }
        commits.append(writer.commit(xid: 1, at: 5))
        writer.filler(50_000)
        commits.append(writer.commit(xid: 2, at: 3))
        while writer.bytes.count < 2 * Self.segment - 4000 { writer.filler(3001) }
        writer.filler(2 * Self.segment - writer.bytes.count - 24 - 24)
        commits.append(writer.commit(xid: 3, at: 4))
        writer.filler(10)
        commits.append(writer.commit(xid: 4, at: 1))
        return (writer, commits)
    }

    @Test func `goes on over their ends`() {
        let (writer, commits) = long()
        for size in [Self.segment, 8192, 1021] {
            let (records, end, _) = readWAL(writer.bytes, every: size)
            #expect(records.map(\.start.position) == commits && end.reason == .inputEnded)
        }
    }

    @Test func `begins at each of them with its first record`() throws {
        let (writer, commits) = long()
        let starts = [0, Self.segment, 2 * Self.segment]
        var seen: [UInt64] = []
        var ends: [WALEnd] = []
        for start in starts {
            let bytes = Array(writer.bytes[start..<min(start + Self.segment, writer.bytes.count)])
            let (records, end, reader) = readWAL(bytes, from: writer.start + UInt64(start), every: 4096)
            seen += records.map(\.start.position)
            ends.append(end)
            #expect(try #require(reader.firstRecord).position > writer.start + UInt64(start))
        }
        #expect(seen == [commits[0], commits[1], commits[3]])
        #expect(ends.map(\.reason) == [.inputEnded, .inputEnded, .inputEnded])
        #expect(ends[0].unfinished?.totalLength == 50_024 && ends[0].unfinished?.mayBeReported == false)
        #expect(ends[1].unfinished?.start?.position == commits[2] && ends[1].unfinished?.mayBeReported == true)
        #expect(ends[1].position.position == commits[2] && ends[2].unfinished == nil)
    }

    @Test func `passes over one that a record fills from end to end`() throws {
        var writer = WALWriter()
        writer.filler(100)
        let start = writer.message("m", [UInt8](repeating: 5, count: 3 * Self.segment))
        let commit = writer.commit(xid: 1, at: 0)
        #expect(readWAL(writer.bytes, every: 100_000).records.map(\.start.position) == [start, commit])
        let second = Array(writer.bytes[Self.segment..<2 * Self.segment])
        let (records, end, reader) = readWAL(second, from: writer.start + UInt64(Self.segment))
        #expect(records.isEmpty && reader.firstRecord == nil && reader.recordCount == 0)
        let missing = try #require(end.unfinished)
        #expect(missing.start == nil && missing.totalLength == nil && missing.missingBytes > UInt32(Self.segment))
        #expect(end.position.position == writer.start + 2 * UInt64(Self.segment))
    }

    @Test func `passes over what follows a switch, whatever it is`() {
        for garbage: UInt8 in [0, 0xEE] {
            var writer = WALWriter()
            writer.commit(xid: 1, at: 0)
            let switched = writer.record(0, 0x40, [])
            var bytes = writer.bytes
            bytes += [UInt8](repeating: garbage, count: Self.segment - bytes.count)
            var next = WALWriter(start: writer.start + UInt64(Self.segment))
            next.previous = switched
            next.commit(xid: 2, at: 0)
            bytes += next.bytes
            for size in [1000, .max] {
                let (records, end, _) = readWAL(bytes, every: size)
                #expect(records.map(\.transactionID) == [1, 0, 2] && end.reason == .inputEnded)
                #expect(records[1].end.position == next.start)
            }
            let (_, end, _) = readWAL(writer.bytes)
            #expect(end.position.position == next.start && end.unfinished == nil)
        }
    }

    @Test func `goes on after a record that a crash left unfinished`() {
        for size in [1, 8192, .max] {
            var writer = WALWriter()
            let last = writer.commit(xid: 1, at: 0)
            let lost = writer.filler(20_000)
            var bytes = Array(writer.bytes.prefix(2 * 8192))
            var after = WALWriter(start: writer.start + 2 * 8192)
            after.header(remaining: nil, extraFlags: 8)
            after.previous = last
            var data: [UInt8] = []
            data.number(lost)
            data.number(Int64(0))
            after.record(0, 0xD0, WALWriter.main(data))
            after.commit(xid: 2, at: 0)
            bytes += after.bytes
            let (records, end, _) = readWAL(bytes, every: size)
            #expect(records.map(\.transactionID) == [1, 0, 2] && end.reason == .inputEnded)
            guard records.count == 3, case .overwrittenRecord(let start, _) = records[1].content else {
                Issue.record("no record of the loss")
                continue
            }
            #expect(start.position == lost)
        }
    }

    @Test(arguments: 0..<200) func `survives every damage`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var bytes = `Reading WAL`.everyKind(magic: [0xD10D, 0xD118].randomElement(using: &random) ?? 0xD118).bytes
        for _ in 0..<Int.random(in: 1...20, using: &random) {
            bytes[.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
        }
        let (whole, end, _) = readWAL(bytes)
        for size in [1, 13, 8192] {
            let (records, sameEnd, _) = readWAL(bytes, every: size)
            #expect(records == whole && sameEnd == end)
        }
        _ = WALSegmentHeader(parsing: bytes.span)
    }

    @Test(arguments: 0..<200) func `survives odd records whose checksums are right`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var writer = WALWriter(magic: [0xD10D, 0xD110, 0xD118].randomElement(using: &random) ?? 0xD118)
        for _ in 0..<20 {
            var data = (0..<Int.random(in: 0...120, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) { data = WALWriter.main(data) }
            if Bool.random(using: &random), data.count > 20 {
                // Lengths that are far too great.
                for index in 10..<18 { data[index] = 0xFF }
            }
            let manager: UInt8 = [0, 1, 21].randomElement(using: &random) ?? 0
            let info = UInt8.random(in: 0...15, using: &random) << 4
            var one = writer
            one.record(manager, info == 0x40 ? 0 : info, data)
            let (whole, end, _) = readWAL(one.bytes)
            let (records, sameEnd, _) = readWAL(one.bytes, every: 11)
            #expect(records == whole && sameEnd == end)
            if end.reason == .inputEnded { writer = one }
        }
    }

    @Test(arguments: 0..<100) func `survives bytes of no meaning`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var writer = WALWriter()
        writer.header(remaining: [nil, 17, 100_000].randomElement(using: &random) ?? nil)
        let bytes =
            writer.bytes
            + (0..<20_000).map { _ in UInt8.random(in: 0...255, using: &random) & .random(in: 0...255, using: &random) }
        #expect(readWAL(bytes, every: 100).end == readWAL(bytes).end)
    }
}
