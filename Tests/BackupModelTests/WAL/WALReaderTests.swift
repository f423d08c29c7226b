import TestSupport
import Testing

@testable import BackupModel

/// What a reader says of `bytes`, which it gets in pieces of `size`.
func readWAL(
    _ bytes: [UInt8], from start: UInt64 = 0x300_0000, every size: Int = .max,
    checksums: WALReader.Checksums = .ofReportedRecords
) -> (records: [WALRecord], end: WALEnd, reader: WALReader) {
    var reader = WALReader(from: LogSequenceNumber(position: start), checksums: checksums)
    var records: [WALRecord] = []
    for begin in stride(from: 0, to: bytes.count, by: min(size, max(1, bytes.count))) {
        let end = begin + min(size, bytes.count - begin)
        reader.consume(bytes.span.extracting(begin..<end)) { records.append($0) }
    }
    return (records, reader.finish(), reader)
}

@Suite struct `Reading WAL` {
    /// The time 2026-11-22T19:51:44.115118Z as PostgreSQL writes it.
    private static let clock: Int64 = 848_692_304_115_118

    /// One record of each kind that is reported, as version 18 writes them.
    static func everyKind(magic: UInt16 = 0xD118) -> WALWriter {
        var writer = WALWriter(magic: magic)
        var time: [UInt8] = []
        time.number(Self.clock)
        writer.commit(xid: 700, at: Self.clock)
        writer.filler(5000)
        writer.record(1, 0x20, xid: 701, WALWriter.main(time))
        for (info, statistics) in [(0xB0, 1), (0xC0, 1), (0xB0, 0)] as [(UInt8, Int)] {
            // Two subtransactions, one file, dropped statistics, one invalidation message, and the transaction 703.
            var data = time
            let hasMessages = info == 0xB0
            data.number(UInt32(0x17 | (hasMessages ? 8 : 0) | (statistics > 0 && magic >= 0xD110 ? 0x100 : 0)))
            for number: UInt32 in [5, 1663, 2, 801, 802, 1, 1663, 5, 16384] { data.number(number) }
            if statistics > 0, magic >= 0xD110 {
                data.number(UInt32(1))
                data += [UInt8](repeating: 7, count: magic >= 0xD118 ? 16 : 12)
            }
            if hasMessages {
                data.number(UInt32(1))
                data += [UInt8](repeating: 8, count: 16)
            }
            data.number(UInt32(703))
            writer.record(1, info, WALWriter.main(data + Array("gid\0".utf8)))
        }
        var prepare: [UInt8] = []
        for number: UInt32 in [0x57F9_4534, 100, 703, 5] { prepare.number(number) }
        writer.record(1, 0x10, xid: 703, WALWriter.main(prepare + time + [UInt8](repeating: 0, count: 60)))
        writer.record(
            0, 0x70, WALWriter.main(time + Array("naïve point".utf8) + [UInt8](repeating: 0, count: 52)))
        var parameters: [UInt8] = []
        for number: Int32 in [30, 8, 4, 12, 64, 1] { parameters.number(number) }
        writer.record(0, 0x60, WALWriter.main(parameters + [1, 0, 0, 0]))
        var recovery = time
        for number: UInt32 in [2, 1] { recovery.number(number) }
        writer.record(0, 0x90, WALWriter.main(recovery))
        for info: UInt8 in [0x00, 0x10] {
            var checkpoint: [UInt8] = []
            checkpoint.number(UInt64(0x300_0028))
            for number: UInt32 in [2, 1] { checkpoint.number(number) }
            checkpoint += [UInt8](repeating: 1, count: 48)
            checkpoint.number(Int64(1_795_377_104))
            checkpoint += [UInt8](repeating: 1, count: 16)
            writer.record(0, info, WALWriter.main(checkpoint))
        }
        writer.record(0, 0x80, WALWriter.main([1]))
        var position: [UInt8] = []
        position.number(UInt64(0x300_0028))
        writer.record(0, 0x50, WALWriter.main(position))
        writer.record(0, 0xD0, WALWriter.main(position + time))
        var tablespace: [UInt8] = []
        tablespace.number(UInt32(16400))
        writer.record(5, 0x00, xid: 9, WALWriter.main(tablespace + Array("/srv/a space\0".utf8)))
        writer.record(5, 0x10, xid: 9, WALWriter.main(tablespace))
        writer.message("apex.heartbeat", Array("{\"seq\":1}".utf8), isTransactional: true)
        writer.message("", [])
        writer.record(0, 0x30, WALWriter.main([1, 2, 3, 4]))
        return writer
    }

    static let everyContent: [WALRecord.Content] = {
        let time = Timestamp(microseconds: 1_795_377_104_115_118)
        let start = LogSequenceNumber(position: 0x300_0028)
        func end(_ transactionID: UInt32, wasPrepared: Bool = false) -> TransactionEnd {
            TransactionEnd(transactionID: transactionID, time: time, wasPrepared: wasPrepared)
        }
        func checkpoint(isShutdown: Bool) -> WALCheckpoint {
            WALCheckpoint(
                isShutdown: isShutdown, redo: start, timeline: 2, previousTimeline: 1,
                time: Timestamp(microseconds: 1_795_377_104_000_000))
        }
        return [
            .commit(end(700)), .abort(end(701)), .commit(end(703, wasPrepared: true)),
            .abort(end(703, wasPrepared: true)), .commit(end(703, wasPrepared: true)),
            .prepare(transactionID: 703, time: time), .restorePoint(name: "naïve point", time: time),
            .parameterChange(
                WALParameters(
                    maxConnections: 30, maxWorkerProcesses: 8, maxWALSenders: 4, maxPreparedTransactions: 12,
                    maxLocksPerTransaction: 64, walLevel: 1)),
            .endOfRecovery(timeline: 2, previousTimeline: 1, time: time),
            .checkpoint(checkpoint(isShutdown: true)), .checkpoint(checkpoint(isShutdown: false)),
            .fullPageWrites(isOn: true), .backupEnd(start: start), .overwrittenRecord(start: start, time: time),
            .tablespaceCreation(oid: 16400, location: "/srv/a space"),
            .message(
                WALMessage(isTransactional: true, prefix: "apex.heartbeat", payload: Array("{\"seq\":1}".utf8), size: 9)
            ),
            .message(WALMessage(isTransactional: false, prefix: "", payload: [], size: 0)),
        ]
    }()

    @Test(arguments: [0xD10D, 0xD110, 0xD113, 0xD116, 0xD118] as [UInt16])
    func `reports what each major version writes, wherever the bytes are cut`(magic: UInt16) {
        let writer = Self.everyKind(magic: magic)
        for size in Array(1...50) + [8191, 8192, .max] {
            let (records, end, _) = readWAL(writer.bytes, every: size, checksums: .ofAllRecords)
            #expect(records.map(\.content) == Self.everyContent, "pieces of \(size)")
            #expect(end == WALEnd(position: LogSequenceNumber(position: writer.position), reason: .inputEnded))
        }
    }

    @Test func `tells where each record begins and ends`() {
        var writer = WALWriter()
        let one = writer.commit(xid: 5, at: 0)
        let middle = writer.position
        let other = writer.message("p", [1])
        writer.filler(9000)
        let far = writer.commit(xid: 6, at: 1)
        let (records, _, reader) = readWAL(writer.bytes)
        #expect(records.map(\.start.position) == [one, other, far])
        #expect(records.map(\.transactionID) == [5, 9, 6])
        #expect(records.first?.end.position == middle && records.last?.end.position == writer.position)
        #expect(reader.firstRecord?.position == one && reader.recordCount == 4 && reader.timeline == 1)
    }

    @Test func `finds the main data behind blocks, images and origins`() throws {
        for (magic, compressed) in [(0xD10D, 0x03), (0xD118, 0x09)] as [(UInt16, UInt8)] {
            var headers: [UInt8] = [253, 1, 0, 252, 1, 2, 3, 4]
            // Block 0: relation, data and an image with a hole; block 2: the same relation and a compressed image.
            headers += [0, 0x30, 10, 0, 0x10, 0x27, 0, 0, 0x01] + [UInt8](repeating: 3, count: 16)
            headers += [2, 0x90, 0, 0, 100, 0, 0, 0, compressed, 9, 9] + [4, 4, 4, 4]
            var time: [UInt8] = []
            time.number(Self.clock)
            let data = headers + [255, 8] + [UInt8](repeating: 255, count: 10 + 10_000 + 100) + time
            var writer = WALWriter(magic: magic)
            writer.record(1, 0x00, xid: 77, data)
            writer.record(1, 0x00, xid: 78, [255, 8] + time)
            for size in [1, 1000, .max] {
                let records = readWAL(writer.bytes, every: size).records
                let end = Timestamp(microseconds: Self.clock + 946_684_800_000_000)
                #expect(
                    records.map(\.content)
                        == [77, 78].map { .commit(TransactionEnd(transactionID: $0, time: end, wasPrepared: false)) })
            }
        }
    }

    @Test func `keeps no more than the beginning of a long message`() throws {
        var writer = WALWriter()
        let payload = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 3) }
        writer.message("long", payload)
        writer.message(String(repeating: "p", count: 5000), [1, 2])
        for size in [777, .max] {
            let contents = readWAL(writer.bytes, every: size).records.map(\.content)
            #expect(
                contents == [
                    .message(
                        WALMessage(
                            isTransactional: false, prefix: "long", payload: Array(payload.prefix(1024)), size: 300_000)
                    ),
                    .message(
                        WALMessage(
                            isTransactional: false, prefix: String(repeating: "p", count: 1024), payload: [], size: 2)),
                ])
        }
    }

    @Test func `a commit of a prepared transaction may have more subtransactions than can be kept`() {
        for (count, known) in [(200_000, 703), (300_000, nil)] as [(Int, UInt32?)] {
            var data = [UInt8](repeating: 0, count: 8)
            data.number(UInt32(0x12))
            data.number(UInt32(count))
            data += [UInt8](repeating: 1, count: 4 * count)
            data.number(UInt32(703))
            var writer = WALWriter()
            writer.segmentSize = 1 << 24
            writer.record(1, 0xB0, WALWriter.main(data))
            let contents = readWAL(writer.bytes, every: 65_536).records.map(\.content)
            let time = Timestamp(microseconds: 946_684_800_000_000)
            #expect(contents == [.commit(TransactionEnd(transactionID: known, time: time, wasPrepared: true))])
        }
    }

    @Test(arguments: [Int64.min, .max, -1_000_000_000_000_000_000, 1_000_000_000_000_000_000])
    func `times beyond the years 1 to 9999 become the nearest instant that can be written`(time: Int64) throws {
        var writer = WALWriter()
        writer.commit(xid: 1, at: time)
        let record = try #require(readWAL(writer.bytes).records.first)
        guard case .commit(let end) = record.content else {
            Issue.record("not a commit")
            return
        }
        #expect(end.time.description == (time < 0 ? "0001-01-01T00:00:00Z" : "9999-12-31T23:59:59.999999Z"))
    }
}
