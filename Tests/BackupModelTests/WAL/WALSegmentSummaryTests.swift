import FoundationEssentials
import TestSupport
import Testing

@testable import BackupModel

@Suite struct `The summary of a WAL segment` {
    private func summary(_ writer: WALWriter, every size: Int = 1000) throws -> WALSegmentSummary {
        var reader = WALSegmentReader(from: LogSequenceNumber(position: writer.start))
        for begin in stride(from: 0, to: writer.bytes.count, by: size) {
            reader.consume(writer.bytes.span.extracting(begin..<min(begin + size, writer.bytes.count)))
        }
        return try #require(reader.finish())
    }

    @Test func `says what the records say`() throws {
        let summary = try summary(`Reading WAL`.everyKind())
        let time = Timestamp(microseconds: 1_795_377_104_115_118)
        #expect(summary.systemIdentifier == "7000000000000000001" && summary.major == 18 && summary.timeline == 1)
        #expect(summary.start.description == "0/3000000" && summary.end.description == "0/3100000")
        #expect(summary.firstRecord?.description == "0/3000028" && summary.continuedBytes == 0)
        #expect(summary.commits == 3 && summary.aborts == 2 && summary.latestTime == time)
        #expect(summary.restorePoints.entries.map(\.name) == ["naïve point"])
        #expect(summary.heartbeats.entries.map(\.text) == ["{\"seq\":1}"])
        #expect(summary.heartbeats.entries.map(\.transactionID) == [9])
        #expect(summary.parameterChanges.entries.map(\.parameters.maxConnections) == [30])
        #expect(summary.timelineBeginnings.entries.map(\.timeline) == [2, 2, 2])
        #expect(summary.checkpoint?.redo.description == "0/3000028" && summary.backupEnds.entries.count == 1)
        #expect(summary.fullPageWrites.entries.map(\.isOn) == [true] && summary.overwrittenRecords.entries.count == 1)
        #expect(summary.tablespaceCreations.entries.map(\.location) == ["/srv/a space"])
        #expect(summary.damage == nil && summary.unfinished == nil && summary.switchedAt == nil)
    }

    @Test func `is written without empty lists, and read again`() throws {
        var writer = WALWriter()
        writer.commit(xid: 1, at: 5)
        for summary in try [summary(writer), summary(`Reading WAL`.everyKind())] {
            let data = try JSONEncoder().encode(summary)
            #expect(try JSONDecoder().decode(WALSegmentSummary.self, from: data) == summary)
            let text = String(decoding: data, as: UTF8.self)
            #expect(text.contains("heartbeats") == !summary.heartbeats.entries.isEmpty && !text.contains("[]"))
        }
    }

    @Test func `has the greatest time and the last end of a transaction, which may be two`() throws {
        var writer = WALWriter()
        for (xid, time) in [(1, 5), (2, 9), (3, 7)] as [(UInt32, Int64)] { writer.commit(xid: xid, at: time) }
        let summary = try summary(writer)
        #expect(summary.latestTime?.microseconds == 946_684_800_000_009)
        #expect(summary.lastTransactionEnd?.position == writer.previous)
    }

    @Test func `counts no record that begins in another segment`() throws {
        var writer = WALWriter()
        writer.filler((1 << 20) - 40 - 127 * 24 - 24 - 16)
        writer.commit(xid: 1, at: 0)
        #expect(writer.bytes.count > 1 << 20)
        let whole = try summary(writer)
        #expect(whole.commits == 1 && whole.validEnd.position == writer.position)
        writer.commit(xid: 2, at: 0)
        #expect(try summary(writer).commits == 1)

        var second = WALSegmentReader(from: LogSequenceNumber(position: writer.start + 1 << 20))
        second.consume(writer.bytes.span.extracting(droppingFirst: 1 << 20))
        let next = try #require(second.finish())
        #expect(next.commits == 1 && next.continuedBytes == 18)
    }

    @Test func `tells what ends it early`() throws {
        var writer = WALWriter()
        writer.commit(xid: 1, at: 0)
        let end = writer.position
        writer.zeros(upTo: end + 500)
        let summary = try summary(writer)
        #expect(summary.validEnd.position == end && summary.damage == "no record follows")
        #expect(WALSegmentReader(from: LogSequenceNumber(position: 0)).finish() == nil)
    }

    @Test func `stays small whatever the segment holds`() throws {
        var writer = WALWriter()
        for number in 0..<1000 {
            writer.message("apex.heartbeat", Array("\(number) ".utf8) + [UInt8](repeating: 0x7A, count: 500))
        }
        let heartbeats = try summary(writer, every: 8192).heartbeats
        #expect(heartbeats.entries.count == 64 && heartbeats.omitted == 936)
        let texts = heartbeats.entries.map(\.text)
        #expect(texts.first?.hasPrefix("0 zz") == true && texts[62].hasPrefix("62 z") && texts[63].hasPrefix("999 z"))
        #expect(texts.allSatisfy { $0.utf8.count == 256 })
    }
}
