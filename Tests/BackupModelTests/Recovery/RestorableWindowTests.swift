import Testing

@testable import BackupModel

@Suite struct `The restorable windows` {
    private func backup(
        _ number: UInt16, _ start: UInt64, _ stop: UInt64, timeline: UInt32 = 1, isDamaged: Bool = false
    ) -> RecoveryCandidate {
        RecoveryCandidate(
            id: RunID(at: Timestamp(microseconds: 0), chance: number), start: LogSequenceNumber(position: start << 20),
            stop: LogSequenceNumber(position: stop << 20), timeline: timeline,
            startedAt: Timestamp(microseconds: Int64(start)), stoppedAt: Timestamp(microseconds: Int64(stop)),
            isDamaged: isDamaged)
    }

    private func windows(
        _ backups: [RecoveryCandidate], _ stored: [UInt32: [ClosedRange<UInt64>]], histories: [UInt32: String] = [:]
    ) throws -> [String] {
        var coverage = WALCoverage(segmentSize: try #require(WALSegmentSize(bytes: 1 << 20)))
        for (timeline, runs) in stored { for run in runs { coverage.insert(run, timeline: timeline) } }
        let histories = try histories.map { try TimelineHistory(timeline: $0.key, parsing: $0.value) }
        return restorableWindows(backups, coverage: coverage, histories: histories).map { window in
            let backups = window.backups.map { $0.text.suffix(1) }.joined(separator: ",")
            let missing = window.missing.map { " without \($0)" } ?? ""
            return "\(window.timeline): \(window.start.words)...\(window.end) by \(backups)\(missing)"
        }
    }

    @Test func `reach from where the oldest backup is consistent to the first hole`() throws {
        let backups = [backup(2, 5, 6), backup(1, 2, 4), backup(3, 12, 13), backup(4, 3, 4, isDamaged: true)]
        #expect(
            try windows(backups, [1: [1...9, 11...14]]) == [
                "1: 0/400000 (1970-01-01T00:00:00.000004Z)...0/A00000 by 1,2 without 00000001000000000000000A",
                "1: 0/D00000 (1970-01-01T00:00:00.000013Z)...0/F00000 by 3",
            ])
    }

    @Test func `begin with no backup whose own WAL has a hole`() throws {
        #expect(try windows([backup(1, 2, 4), backup(2, 6, 7)], [1: [2...2, 4...6]]).map { $0.suffix(4) } == ["by 2"])
        #expect(try windows([backup(1, 2, 4)], [:]) == [])
        #expect(try windows([], [1: [1...9]]) == [])
        #expect(try windows([backup(1, 2, 4)], [1: [2...3]]).count == 1)
    }

    @Test func `count for the timeline on which they end`() throws {
        let stored: [UInt32: [ClosedRange<UInt64>]] = [1: [1...9], 2: [5...7]]
        let backups = [backup(1, 2, 4), backup(2, 6, 7), backup(3, 6, 7, timeline: 2)]
        #expect(
            try windows(backups, stored, histories: [2: "1\t0/580000\tx\n"]) == [
                "1: 0/400000 (1970-01-01T00:00:00.000004Z)...0/A00000 by 1,2",
                "2: 0/400000 (1970-01-01T00:00:00.000004Z)...0/800000 by 1,3",
            ])
        // No server follows a timeline without its history.
        #expect(try windows(backups, stored).map { $0.prefix(2) } == ["1:"])
        // Nothing of timeline 2 is reached.
        let hole: [UInt32: [ClosedRange<UInt64>]] = [1: [1...3], 2: [5...7]]
        #expect(try windows([backup(1, 2, 4)], hole, histories: [2: "1\t0/580000\tx\n"]).map { $0.prefix(2) } == ["1:"])
    }

    @Test func `the last segments of the log are no trap`() throws {
        let size = try #require(WALSegmentSize(bytes: 1 << 20))
        var coverage = WALCoverage(segmentSize: size)
        coverage.insert(1...UInt64.max, timeline: 1)
        let greatest = LogSequenceNumber(position: .max)
        var last = backup(1, 2, 4)
        last.stop = greatest
        #expect(restorableWindows([last], coverage: coverage, histories: []).first?.end == greatest)
        last.start = greatest
        #expect(restorableWindows([last], coverage: coverage, histories: []).count == 1)
        last.stop = LogSequenceNumber(position: 0)
        #expect(restorableWindows([last], coverage: coverage, histories: []).isEmpty)
    }
}
