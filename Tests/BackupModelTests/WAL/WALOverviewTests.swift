import Testing

@testable import BackupModel

@Suite struct `The overview of WAL segments` {
    private func summary(_ writer: WALWriter, segments: Int = 1) throws -> WALSegmentSummary {
        var reader = WALSegmentReader(from: LogSequenceNumber(position: writer.start))
        reader.consume(writer.bytes.span.extracting(0..<min(segments << 20, writer.bytes.count)))
        return try #require(reader.finish())
    }

    @Test func `says the same of a log in whatever steps it is made`() throws {
        let log = SyntheticLog.of(
            [
                (0x180000, .end(xid: 1, time: 70)), (0x280000, .point(name: "a", time: 90)),
                (0x300000, .end(xid: 2, time: 60)), (0x400000, .checkpoint(time: 80)),
                (0x480000, .checkpoint(time: 85)),
            ], end: 0x580000)
        var summaries: [WALSegmentSummary] = []
        for number in UInt64(1)...5 {
            let name = try #require(WALSegmentName(timeline: 1, number: number, segmentSize: SyntheticLog.size))
            summaries.append(try log.summary(of: name))
        }
        var whole = WALOverview()
        for summary in summaries { whole.add(summary) }
        #expect(whole.latestTransactionTime?.microseconds == 70 && whole.latestWitnessTime?.microseconds == 90)
        #expect(whole.lastTransactionEnd?.position == 0x300000 && whole.restorePoints == 1)
        #expect(whole.latestTime?.microseconds == 90 && whole.firstUnreadable?.position == 0x500000)
        for cut in 0...5 {
            var (first, second) = (WALOverview(), WALOverview())
            for summary in summaries[..<cut] { first.add(summary) }
            for summary in summaries[cut...] { second.add(summary) }
            first.add(second)
            #expect(first == whole)
        }
    }

    @Test func `a summary names the last record that is whole`() throws {
        var writer = WALWriter()
        for xid in UInt32(1)...3 { writer.commit(xid: xid, at: 0) }
        #expect(try summary(writer).lastWholeRecord?.position == writer.previous)
        let last = writer.previous
        writer.filler(3 << 20)
        #expect(try summary(writer).lastWholeRecord?.position == last)
        #expect(try summary(writer, segments: 2).lastWholeRecord?.position == last)
        let giant = writer.previous
        writer.commit(xid: 4, at: 0)
        let whole = try summary(writer, segments: 9)
        #expect(whole.lastWholeRecord?.position == giant && whole.commits == 3 && giant > last)
        #expect(whole.lastKnownRecord == whole.lastWholeRecord)
    }
}
