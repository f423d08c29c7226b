import Testing

@testable import BackupModel

@Suite struct `The path of a timeline through the segments` {
    private let size = WALSegmentSize(bytes: 1 << 20) ?? .standard

    private func path() throws -> TimelinePath {
        let text = "1\t0/580000\ta\n2\t0/5C0000\tb\n4\t0/900000\tc\n"
        return TimelinePath(try TimelineHistory(timeline: 6, parsing: text), size: size)
    }

    @Test func `takes each segment from the newest timeline that has a byte in it`() throws {
        let path = try path()
        for number in UInt64(0)...12 {
            #expect(path.segment(number) == path.history.segment(number, size: size))
        }
        let ranges = path.segments(3...20)
        #expect(ranges.map(\.timeline) == [1, 4, 6] && ranges.map(\.numbers) == [3...4, 5...8, 9...20])
        #expect(path.firstOwnNumber == 9 && ranges.map(\.count) == [2, 4, 12])
        #expect(ranges[1].first?.description == "000000040000000000000005")
        #expect(path.segments(0...size.greatestNumber).last?.last?.end.position == .max)
        #expect(path.segment(size.greatestNumber + 1) == nil)
    }

    @Test func `finds holes across timelines`() throws {
        let path = try path()
        var coverage = WALCoverage(segmentSize: size)
        #expect(path.last(from: 3, in: coverage) == nil && path.newest(in: coverage) == nil)
        coverage.insert(1...7, timeline: 1)
        #expect(path.last(from: 3, in: coverage) == 4 && path.newest(in: coverage) == 4)
        #expect(path.missing(after: 4, in: coverage)?.description == "000000040000000000000005")
        coverage.insert(5...8, timeline: 4)
        #expect(path.last(from: 3, in: coverage) == 8 && path.missing(after: 8, in: coverage) == nil)
        coverage.insert(11...12, timeline: 6)
        #expect(path.firstMissing(of: 3...12, in: coverage)?.description == "000000060000000000000009")
        #expect(path.missing(after: 8, in: coverage)?.description == "000000060000000000000009")
        #expect(path.last(from: 11, in: coverage) == 12 && path.newest(in: coverage) == 12)
        #expect(path.firstMissing(of: 3...8, in: coverage) == nil && path.missing(after: 12, in: coverage) == nil)
    }
}
