import Testing

@testable import BackupModel

@Suite struct `Holes in archived WAL` {
    private static let size = WALSegmentSize(bytes: 1 << 20) ?? .standard

    private static func day(_ number: Int) -> Timestamp {
        Timestamp(Timestamp.Parts(year: 2026, month: 3, day: 1)).advanced(by: .seconds(86_400 * number))
    }

    private static func position(_ segment: Double) -> LogSequenceNumber {
        LogSequenceNumber(position: UInt64(segment * Double(size.bytes)))
    }

    /// A backup of the segments `first` to `first + 1`.
    private static func backup(
        _ first: Double, day number: Int, timeline: UInt32 = 1, isDamaged: Bool = false
    ) -> WALRetention.Backup {
        WALRetention.Backup(
            id: RunID(at: day(number), chance: 0), start: position(first + 0.5), stop: position(first + 1.5),
            timeline: timeline, finishedAt: day(number), isDamaged: isDamaged)
    }

    /// The holes on day 16 with a window of six days, in few words: their numbers, and the day of the backup that does not
    /// get past them.
    private static func holes(
        _ backups: [WALRetention.Backup], _ runs: [ClosedRange<UInt64>], _ evidence: WALHoleEvidence = .init(),
        on timelines: [UInt32: [ClosedRange<UInt64>]] = [:], histories: [TimelineHistory] = []
    ) -> [String] {
        var coverage = WALCoverage(segmentSize: size)
        for run in runs { coverage.insert(run, timeline: 1) }
        for (timeline, runs) in timelines { for run in runs { coverage.insert(run, timeline: timeline) } }
        let retention = WALRetention(
            kept: backups, expiring: [], coverage: coverage, histories: histories, window: .seconds(6 * 86_400))
        return retention.holes(at: day(16), evidence).map { hole in
            let backup = backups.first { $0.id == hole.neededBy }
            let name = backup.map { ", day \($0.finishedAt.parts.day - 1)" } ?? ""
            return "\(hole.gap.first.number)-\(hole.gap.last.number)\(name)"
        }
    }

    @Test func `are needed by the backup before them that leads to WAL behind them`() {
        #expect(Self.holes([Self.backup(3, day: 12)], [0...40]).isEmpty)
        #expect(Self.holes([Self.backup(3, day: 12)], [0...9, 12...40]) == ["10-11, day 12"])
        // Right behind what it needs itself, and twice.
        #expect(Self.holes([Self.backup(3, day: 12)], [3...4, 6...8, 10...11]) == ["5-5, day 12", "9-9, day 12"])
        // An old one that is the only one.
        #expect(Self.holes([Self.backup(3, day: 1)], [0...9, 12...40]) == ["10-11, day 1"])
        let both = [Self.backup(3, day: 11), Self.backup(20, day: 12)]
        #expect(Self.holes(both, [3...9, 12...40]) == ["10-11, day 11"])
        #expect(Self.holes(both, [3...30, 32...40]) == ["31-31, day 12"])
    }

    @Test func `cost nothing before the first backup, nor where WAL goes on with the next one`() {
        #expect(Self.holes([Self.backup(20, day: 12)], [0...9, 12...40]) == ["10-11"])
        #expect(Self.holes([], [0...9, 12...40]) == ["10-11"])
        let both = [Self.backup(3, day: 11), Self.backup(20, day: 12)]
        #expect(Self.holes(both, [3...4, 20...40]) == ["5-19"])
        #expect(Self.holes([Self.backup(3, day: 12, isDamaged: true)], [0...9, 12...40]) == ["10-11"])
        // A damaged one begins nothing.
        #expect(
            Self.holes([Self.backup(3, day: 11), Self.backup(20, day: 12, isDamaged: true)], [3...4, 20...40])
                == ["5-19, day 11"])
    }

    @Test func `cost nothing that is promised before the backup with which the window begins`() {
        let backups = [Self.backup(3, day: 1), Self.backup(20, day: 9), Self.backup(30, day: 12)]
        #expect(Self.holes(backups, [3...9, 12...40]) == ["10-11"])
        #expect(Self.holes(backups, [3...24, 26...40]) == ["25-25, day 9"])
    }

    @Test func `cost nothing where only failed backups left WAL, unless it is archived`() {
        var evidence = WALHoleEvidence()
        evidence.unfinishedRuns = [Self.day(13)]
        #expect(Self.holes([Self.backup(3, day: 12)], [3...4, 8...9], evidence) == ["5-7"])
        evidence.isArchived = true
        #expect(Self.holes([Self.backup(3, day: 12)], [3...4, 8...9], evidence) == ["5-7, day 12"])
        evidence = WALHoleEvidence()
        evidence.unfinishedRuns = [Self.day(11)]
        #expect(Self.holes([Self.backup(3, day: 12)], [3...4, 8...9], evidence) == ["5-7, day 12"])
    }

    @Test func `are looked for along each timeline`() throws {
        let history = try TimelineHistory(timeline: 2, parsing: "1\t\(Self.position(10.5))\tno reason\n")
        let backup = [Self.backup(3, day: 12)]
        #expect(Self.holes(backup, [3...9], on: [2: [10...20]], histories: [history]).isEmpty)
        #expect(Self.holes(backup, [3...8], on: [2: [10...20]], histories: [history]) == ["9-9, day 12"])
        #expect(Self.holes(backup, [3...9], on: [2: [12...20]], histories: [history]) == ["10-11, day 12"])
    }
}
