import Testing

@testable import BackupModel

@Suite struct `Planning a recovery over a million segments` {
    /// Segments of one commit each, whose time is the segment's number.
    private final class Index: RecoveryIndex {
        var overviews = 0
        var summaries = 0
        var segments = 0

        func overview(of segments: WALSegmentRange) throws(BackupError) -> WALOverview {
            overviews += 1
            #expect(segments.first?.logFolder == segments.last?.logFolder)
            var overview = WALOverview()
            overview.add(try made(segments.numbers.upperBound))
            return overview
        }

        func summary(of segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary {
            summaries += 1
            return try made(segment.number)
        }

        func firstTransactionEnd(
            _ condition: TransactionEndCondition, in segment: WALSegmentName, from position: LogSequenceNumber
        ) throws(BackupError) -> LogMark? {
            segments += 1
            let time = Timestamp(microseconds: Int64(segment.number))
            return condition.includes(time: time, transactionID: nil) && position <= segment.start
                ? LogMark(segment.start, time) : nil
        }

        private static let header: WALSegmentHeader? = {
            var writer = WALWriter()
            writer.commit(xid: 1, at: 0)
            return WALSegmentHeader(parsing: writer.bytes.span)
        }()

        private func made(_ number: UInt64) throws(BackupError) -> WALSegmentSummary {
            guard let header = Self.header,
                let name = WALSegmentName(timeline: 1, number: number, segmentSize: .standard)
            else { throw BackupError(.walSegmentInvalid, "\(number)", remedy: "Mend the test.") }
            var summary = WALSegmentSummary(header)
            summary.start = name.start
            summary.end = name.end
            summary.validEnd = name.end
            summary.firstRecord = name.start
            summary.lastWholeRecord = name.start
            summary.lastTransactionEnd = name.start
            summary.latestTime = Timestamp(microseconds: Int64(number))
            return summary
        }
    }

    @Test(
        arguments: [
            .latest, .time(Timestamp(microseconds: 900_000)), .time(Timestamp(microseconds: 999_999)),
            .time(Timestamp(microseconds: 2_000_000)), .position(LogSequenceNumber(position: 900_000 << 24)),
            .immediate,
            .restorePoint("none"),
        ] as [RestoreMoment])
    func `asks for log folders, not for segments`(moment: RestoreMoment) {
        let index = Index()
        var coverage = WALCoverage(segmentSize: .standard)
        coverage.insert(1...999_999, timeline: 1)
        let backups = (1...20).map { (number: Int) -> RecoveryCandidate in
            let start = UInt64(number) << 24
            let time = Timestamp(microseconds: Int64(number))
            return RecoveryCandidate(
                id: RunID(at: Timestamp(microseconds: 0), chance: UInt16(number)),
                start: LogSequenceNumber(position: start), stop: LogSequenceNumber(position: start + 64), timeline: 1,
                startedAt: time, stoppedAt: time)
        }
        let planner = RecoveryPlanner(
            backups: backups, coverage: coverage, histories: [], production: [1], index: index)
        let plan = try? planner.plan(RecoveryRequest(moment))
        #expect((plan == nil) == [.time(Timestamp(microseconds: 2_000_000)), .restorePoint("none")].contains(moment))
        #expect(index.overviews <= 10 * 3907 && index.summaries <= 2 * 256 + 20 && index.segments <= 2)
    }
}
