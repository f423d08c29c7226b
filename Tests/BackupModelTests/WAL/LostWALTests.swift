import Testing

@testable import BackupModel

@Suite struct `A hole in stored WAL` {
    private static let size = WALSegmentSize.standard

    private func coverage(_ runs: [UInt32: [ClosedRange<UInt64>]]) -> WALCoverage {
        var coverage = WALCoverage(segmentSize: Self.size)
        for (timeline, runs) in runs { for run in runs { coverage.insert(run, timeline: timeline) } }
        return coverage
    }

    private func lsn(_ segment: UInt64, _ offset: UInt64 = 0) -> LogSequenceNumber {
        LogSequenceNumber(position: segment << 24 + offset)
    }

    /// Timeline 2, which began in the middle of segment 11 of timeline 1.
    private var second: TimelineHistory {
        get throws { try TimelineHistory(timeline: 2, parsing: "1\t\(lsn(11, 5000))\tno recovery target specified\n") }
    }

    private func hole(
        before position: LogSequenceNumber, _ runs: [UInt32: [ClosedRange<UInt64>]], _ history: TimelineHistory? = nil
    ) -> [UInt64] {
        let hole = coverage(runs).lastHole(before: position, along: history ?? TimelineHistory(first: 1))
        return hole.map { [$0.lowerBound.position >> 24, $0.upperBound.position >> 24] } ?? []
    }

    @Test func `is the last one before where a stream goes on`() {
        #expect(hole(before: lsn(11, 7), [1: [5...10]]) == [])
        #expect(hole(before: lsn(11), [:]) == [])
        #expect(hole(before: lsn(0, 7), [1: [5...10]]) == [])
        #expect(hole(before: lsn(13), [1: [5...10]]) == [11, 13])
        #expect(hole(before: lsn(13), [1: [5...6, 8...8, 10...12]]) == [9, 10])
        // What is behind it does not count.
        #expect(hole(before: lsn(9, 1), [1: [5...8, 20...30]]) == [])
        // What was there before was never stored.
        #expect(hole(before: lsn(31), [1: [20...30]]) == [])
    }

    @Test func `is looked for along the history`() throws {
        let history = try second
        #expect(hole(before: lsn(14), [1: [5...10], 2: [11...13]], history) == [])
        #expect(hole(before: lsn(14), [1: [5...9], 2: [11...13]], history) == [10, 11])
        // Recovery reads segment 11 of timeline 2.
        #expect(hole(before: lsn(14), [1: [5...13], 2: [12...13]], history) == [11, 12])
        #expect(hole(before: lsn(14), [1: [5...8], 2: [13...13]], history) == [9, 13])
        #expect(hole(before: lsn(11, 100), [1: [5...10]], history) == [])
    }

    private func missing(
        _ gaps: [(UInt32, LogSequenceNumber, LogSequenceNumber)], _ runs: [UInt32: [ClosedRange<UInt64>]],
        current: UInt32 = 1
    ) throws -> [String] {
        let records = gaps.map {
            WALGapRecord(
                timeline: $0.0, from: $0.1, to: $0.2, foundAt: Timestamp(microseconds: 0), slot: "s", reason: "r")
        }
        return WALGapRecord.missing(
            of: records, from: coverage(runs), histories: [2: try second], current: current
        ).map { "\($0.timeline): \($0.from) \($0.to)" }
    }

    @Test func `that was recorded is none when it is filled, and smaller when a part of it is`() throws {
        let gap = (UInt32(1), lsn(5, 96), lsn(9))
        #expect(try missing([gap], [1: [3...4, 9...12]]) == ["1: 0/5000060 0/9000000"])
        #expect(try missing([gap], [1: [3...12]]) == [])
        #expect(try missing([gap], [1: [3...8]]) == [])
        #expect(try missing([gap], [1: [3...5, 9...12]]) == ["1: 0/6000000 0/9000000"])
        #expect(try missing([gap], [1: [3...4, 7...12]]) == ["1: 0/5000060 0/7000000"])
        #expect(try missing([gap], [1: [3...5, 7...7, 9...12]]) == ["1: 0/6000000 0/9000000"])
        // Of one that was found twice once.
        let rest = (UInt32(1), lsn(7), lsn(9))
        #expect(try missing([gap, rest], [1: [3...5]]) == ["1: 0/6000000 0/9000000"])
        #expect(try missing([gap, rest], [1: [3...8]]) == [])
        // A stream that went on in the middle of a segment.
        #expect(try missing([(1, lsn(5, 96), lsn(8, 7))], [1: [3...6]]) == ["1: 0/7000000 0/8000007"])
    }

    @Test func `may reach over the end of a timeline`() throws {
        let gap = (UInt32(1), lsn(9), lsn(13))
        #expect(try missing([gap], [1: [3...10], 2: [11...12]], current: 2) == [])
        #expect(try missing([gap], [1: [3...9], 2: [12...12]], current: 2) == ["1: 0/A000000 0/C000000"])
        #expect(try missing([gap], [1: [3...10], 2: [12...12]], current: 2) == ["2: 0/B000000 0/C000000"])
        // What was lost on timeline 2 is not looked for on 1.
        let behind = (UInt32(2), lsn(12), lsn(13))
        #expect(try missing([behind], [1: [3...20]], current: 2) == ["2: 0/C000000 0/D000000"])
        #expect(try missing([behind], [1: [3...20], 2: [12...12]], current: 1) == [])
    }
}
