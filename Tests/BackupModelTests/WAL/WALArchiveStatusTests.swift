import FoundationEssentials
import Testing

@testable import BackupModel

/// Segments of 16 MiB, by number; timeline 2 leaves timeline 1 in the middle of segment 11 unless a test says otherwise.
private enum Archive {
    static let size = WALSegmentSize.standard

    static func lsn(_ number: UInt64, _ offset: UInt64 = 0) -> LogSequenceNumber {
        LogSequenceNumber(position: number * size.bytes + offset)
    }

    static func name(_ number: UInt64, _ timeline: UInt32 = 1) throws -> WALSegmentName {
        try #require(WALSegmentName(timeline: timeline, number: number, segmentSize: size))
    }

    static func coverage(_ runs: [UInt32: [ClosedRange<UInt64>]]) -> WALCoverage {
        var coverage = WALCoverage(segmentSize: size)
        for (timeline, ranges) in runs { for range in ranges { coverage.insert(range, timeline: timeline) } }
        return coverage
    }

    /// The history of a timeline, of which each ancestor was left at a position.
    static func history(_ timeline: UInt32, _ ancestors: [(UInt32, LogSequenceNumber)]) throws -> TimelineHistory {
        try TimelineHistory(
            timeline: timeline,
            parsing: ancestors.map { "\($0.0)\t\($0.1)\tno recovery target specified\n" }.joined())
    }

    static func forked() throws -> [UInt32: TimelineHistory] {
        [1: TimelineHistory(first: 1), 2: try history(2, [(1, lsn(11, 5000))])]
    }
}

private let noon = Timestamp(Timestamp.Parts(year: 2026, month: 11, day: 21, hour: 12))
private func before(_ seconds: Int) -> Timestamp { noon.advanced(by: .seconds(-seconds)) }

@Suite struct `Gaps of the WAL archive` {
    private func gaps(
        _ runs: [UInt32: [ClosedRange<UInt64>]], _ histories: [UInt32: TimelineHistory]? = nil,
        server: (UInt32, LogSequenceNumber)? = nil
    ) throws -> [String] {
        let found = Archive.coverage(runs).gaps(
            histories: try histories ?? Archive.forked(), upTo: server.map { (timeline: $0.0, lsn: $0.1) })
        return found.map { gap in
            "\(gap.first.timeline): \(gap.first.number)-\(gap.last.number) "
                + (gap.next.map { "then \($0.timeline): \($0.number)" } ?? "at the end")
        }
    }

    @Test func `are between stored segments, not before the first`() throws {
        #expect(try gaps([1: [5...10]]) == [])
        #expect(try gaps([:]) == [])
        #expect(try gaps([1: [5...7, 9...10, 13...13]]) == ["1: 8-8 then 1: 9", "1: 11-12 then 1: 13"])
    }

    @Test func `are not where a timeline was left in the middle of a segment`() throws {
        #expect(try gaps([1: [5...10], 2: [11...20]]) == [])
        // The old primary finished its last segment after all.
        #expect(try gaps([1: [5...11], 2: [11...20]]) == [])
        #expect(try gaps([1: [5...14], 2: [11...20]]) == [])
    }

    @Test func `are found across a switch of timelines`() throws {
        #expect(try gaps([1: [5...9], 2: [11...20]]) == ["1: 10-10 then 2: 11"])
        #expect(try gaps([1: [5...10], 2: [12...20]]) == ["2: 11-11 then 2: 12"])
        #expect(try gaps([1: [5...9], 2: [13...20]]) == ["1: 10-10 then 2: 13", "2: 11-12 then 2: 13"])
        #expect(try gaps([2: [12...20]]) == [])
        // Timeline 1 has the segment, but recovery reads that of timeline 2.
        #expect(try gaps([1: [5...11], 2: [12...20]]) == ["2: 11-11 then 2: 12"])
    }

    @Test func `follow a timeline that was left at the very end of a segment`() throws {
        let histories: [UInt32: TimelineHistory] = [2: try Archive.history(2, [(1, Archive.lsn(11))])]
        #expect(try gaps([1: [5...10], 2: [11...20]], histories) == [])
        #expect(try gaps([1: [5...9], 2: [11...20]], histories) == ["1: 10-10 then 2: 11"])
    }

    @Test func `follow two switches in one segment, and a timeline of which nothing is stored`() throws {
        let twice: [UInt32: TimelineHistory] = [
            3: try Archive.history(3, [(1, Archive.lsn(11, 8)), (2, Archive.lsn(11, 800))])
        ]
        #expect(try gaps([1: [5...10], 3: [11...12]], twice) == [])
        let far: [UInt32: TimelineHistory] = [
            3: try Archive.history(3, [(1, Archive.lsn(11, 8)), (2, Archive.lsn(15, 8))])
        ]
        #expect(try gaps([1: [5...10], 3: [15...16]], far) == ["2: 11-14 then 3: 15"])
    }

    @Test func `are what the server has finished and is not stored`() throws {
        #expect(try gaps([1: [5...10]], server: (1, Archive.lsn(11, 77))) == [])
        #expect(try gaps([1: [5...10]], server: (1, Archive.lsn(13, 77))) == ["1: 11-12 at the end"])
        #expect(try gaps([1: [5...10]], server: (2, Archive.lsn(12, 7))) == ["2: 11-11 at the end"])
        #expect(try gaps([1: [5...10], 2: [11...11]], server: (2, Archive.lsn(12))) == [])
        #expect(try gaps([1: [5...9]], server: (2, Archive.lsn(11, 7000))) == ["1: 10-10 at the end"])
    }

    @Test func `take no time over ranges that nobody could store`() throws {
        let most = Archive.size.greatestNumber
        #expect(try gaps([1: [0...0, most...most]]) == ["1: 1-\(most - 1) then 1: \(most)"])
        _ = Archive.coverage([1: [0...0, UInt64.max...UInt64.max]]).gaps(histories: [:])
    }
}

@Suite struct `The backups before a gap of the WAL archive` {
    /// An archive without a server, whose timelines were written `latest` seconds ago.
    private func facts(
        _ runs: [UInt32: [ClosedRange<UInt64>]], backups: [RecoveryCandidate], latest: [UInt32: Int] = [1: 10]
    ) throws -> WALArchiveFacts {
        var facts = WALArchiveFacts(coverage: Archive.coverage(runs), now: noon, rpo: .seconds(900))
        facts.histories = try Archive.forked()
        facts.backups = backups
        facts.latestTime = before(10)
        facts.growth = latest.map { timeline, seconds in
            WALTimelineGrowth(
                timeline: timeline, beganAt: timeline > 1 ? before(seconds + 60) : nil, latestTime: before(seconds),
                newestSegment: runs[timeline]?.last?.upperBound ?? 0)
        }
        return facts
    }

    /// A backup that begins and ends in a segment.
    private func backup(_ number: UInt64, timeline: UInt32 = 1, isDamaged: Bool = false) -> RecoveryCandidate {
        RecoveryCandidate(
            id: RunID(at: noon, chance: UInt16(number)), start: Archive.lsn(number, 40), stop: Archive.lsn(number, 48),
            timeline: timeline, startedAt: noon, stoppedAt: noon, isDamaged: isDamaged)
    }

    private func summary(_ facts: WALArchiveFacts) -> [String] {
        WALArchiveStatus.judge(facts).gaps.map { "\($0.first.prefix(8)) \($0.first.suffix(4))-\($0.last.suffix(4))" }
    }

    private func level(_ facts: WALArchiveFacts) -> WALArchiveStatus.Level { WALArchiveStatus.judge(facts).level }

    @Test func `make it harmless, if one that is sound begins behind it`() throws {
        let runs: [UInt32: [ClosedRange<UInt64>]] = [1: [5...7, 9...20]]
        var facts = try facts(runs, backups: [backup(5)])
        #expect(summary(facts) == ["00000001 0008-0008"] && level(facts) == .critical)
        facts.backups.append(backup(9, isDamaged: true))
        #expect(level(facts) == .critical)
        facts.backups.append(backup(9))
        #expect(summary(facts) == [] && level(facts) == .ok)
    }

    @Test func `miss what they need themselves, whatever is stored behind`() throws {
        var facts = try facts([1: [12...20]], backups: [backup(10)])
        #expect(summary(facts) == ["00000001 000A-000B"] && level(facts) == .critical)
        facts = try self.facts([1: [5...7]], backups: [backup(5), backup(9)])
        #expect(summary(facts) == ["00000001 0009-0009"] && level(facts) == .critical)
        // As a backup of a standby leaves it.
        facts.unfinished = [try Archive.name(9)]
        #expect(summary(facts) == [] && level(facts) == .ok)
        facts.coverage = Archive.coverage([1: [5...7, 10...10]])
        #expect(summary(facts) == ["00000001 0009-0009"])
    }

    @Test func `need nothing of the segment in which their timeline was left right behind them`() throws {
        let facts = try facts([1: [5...10], 2: [12...12]], backups: [backup(11)], latest: [1: 100, 2: 10])
        #expect(summary(facts) == ["00000002 000B-000B"])
        var unpromoted = facts
        unpromoted.coverage = Archive.coverage([1: [5...10]])
        unpromoted.server = .init(timeline: 2, lsn: Archive.lsn(11, 9000))
        #expect(summary(unpromoted) == [])
    }

    @Test func `do not hide it if they are of a timeline that was given up`() throws {
        // Set back from segment 60 to the middle of segment 11.
        let runs: [UInt32: [ClosedRange<UInt64>]] = [1: [5...60], 2: [11...13, 15...20]]
        var facts = try facts(runs, backups: [backup(5), backup(50)], latest: [1: 7200, 2: 10])
        #expect(summary(facts) == ["00000002 000E-000E"] && level(facts) == .critical)
        facts.backups.append(backup(16, timeline: 2))
        #expect(summary(facts) == [] && level(facts) == .ok)
        // A hole of the one that was given up is less.
        facts.coverage = Archive.coverage([1: [5...30, 32...52, 54...60], 2: [11...13, 15...20]])
        #expect(summary(facts) == ["00000001 0035-0035"] && level(facts) == .warning)
    }

    @Test func `are those of the timeline that was written last`() throws {
        let runs: [UInt32: [ClosedRange<UInt64>]] = [1: [5...19, 21...30], 2: [11...11]]
        // A standby was promoted by mistake, and thrown away.
        var facts = try facts(runs, backups: [backup(5)], latest: [1: 10, 2: 7200])
        #expect(facts.currentTimeline == 1 && level(facts) == .critical)
        facts = try self.facts(runs, backups: [backup(5)], latest: [1: 7200, 2: 10])
        #expect(facts.currentTimeline == 2 && level(facts) == .warning)
        facts = try self.facts(runs, backups: [backup(5), backup(11, timeline: 2)], latest: [1: 10, 2: 7200])
        #expect(facts.currentTimeline == 2)
    }

    @Test func `tell whether WAL that a receiver found to be lost endangers anything`() throws {
        func lost(_ timeline: UInt32, _ number: UInt64) -> WALGapRecord {
            WALGapRecord(
                timeline: timeline, from: Archive.lsn(number), to: Archive.lsn(number + 1), foundAt: noon, slot: "s",
                reason: "removed")
        }
        let runs: [UInt32: [ClosedRange<UInt64>]] = [1: [5...60], 2: [11...13]]
        var facts = try facts(runs, backups: [backup(5), backup(50)], latest: [1: 7200, 2: 10])
        facts.recordedGaps = [lost(1, 61)]
        #expect(level(facts) == .ok)
        facts.recordedGaps = [lost(2, 14)]
        #expect(level(facts) == .critical)
        facts.backups.append(backup(15, timeline: 2))
        facts.coverage = Archive.coverage([1: [5...60], 2: [11...13, 15...16]])
        #expect(level(facts) == .ok)
        // Of a timeline whose history is not stored nobody knows what it continues.
        facts.histories = [:]
        facts.recordedGaps = [lost(1, 61)]
        #expect(WALArchiveStatus.judge(facts).findings.contains { $0.level == .critical })
    }
}

@Suite struct `The judgement of the WAL archive` {
    private func facts(_ runs: [UInt32: [ClosedRange<UInt64>]]) throws -> WALArchiveFacts {
        var facts = WALArchiveFacts(coverage: Archive.coverage(runs), now: noon, rpo: .seconds(900))
        facts.histories = try Archive.forked()
        facts.latestTime = before(40)
        return facts
    }

    private func status(_ facts: WALArchiveFacts) -> WALArchiveStatus { .judge(facts) }

    private func summary(_ gaps: [WALArchiveStatus.Gap]) -> [String] {
        gaps.map { "\($0.state) \($0.first.suffix(4))-\($0.last.suffix(4)) \($0.count)" }
    }

    @Test func `is good where everything is stored`() throws {
        var facts = try facts([1: [5...10]])
        #expect(status(facts).level == .ok && status(facts).findings.isEmpty)
        facts.server = .init(timeline: 1, lsn: Archive.lsn(11, 100))
        let status = status(facts)
        #expect(status.level == .ok && status.lag == .init(bytes: 0, time: .zero))
        #expect(status.exposure == .init(bytes: 100, atMost: .seconds(40), storedEnd: Archive.lsn(11)))
        let data = try JSONEncoder().encode(status)
        #expect(try JSONDecoder().decode(WALArchiveStatus.self, from: data) == status)
    }

    @Test func `calls a gap delayed, uploading or lost by what the server has`() throws {
        var facts = try facts([1: [5...9, 17...18]])
        facts.storedAt = [try Archive.name(17): before(60)]
        facts.server = .init(timeline: 1, lsn: Archive.lsn(19, 1))
        facts.server?.segments = [try Archive.name(13), try Archive.name(14)]
        facts.server?.ready = [try Archive.name(12), try Archive.name(13), try Archive.name(99)]
        facts.uploads = [try Archive.name(14): .seconds(5), try Archive.name(15): .seconds(601)]
        let status = status(facts)
        #expect(
            summary(status.gaps) == [
                "lost 000A-000B 2", "delayed 000C-000D 2", "uploading 000E-000E 1", "lost 000F-0010 2",
            ])
        #expect(status.level == .critical && status.findings.count == 2)
        #expect(status.findings[0].text.contains("00000001000000000000000A to 00000001000000000000000B"))
        #expect(status.gaps[0].age == .seconds(60))
    }

    @Test func `goes by age where nobody can say what the server has`() throws {
        var facts = try facts([1: [5...9, 12...18]])
        #expect(summary(status(facts).gaps) == ["lost 000A-000B 2"])
        facts.storedAt = [try Archive.name(12): before(600)]
        #expect(summary(status(facts).gaps) == ["delayed 000A-000B 2"] && status(facts).level == .ok)
        facts.storedAt = [try Archive.name(12): before(601)]
        #expect(summary(status(facts).gaps) == ["lost 000A-000B 2"] && status(facts).level == .critical)
        facts.server = .init(timeline: 1, lsn: Archive.lsn(19))
        #expect(summary(status(facts).gaps) == ["lost 000A-000B 2"])
        facts.server?.ready = [try Archive.name(10), try Archive.name(11)]
        #expect(summary(status(facts).gaps) == ["delayed 000A-000B 2"] && status(facts).level == .warning)
    }

    @Test func `takes a lost segment of a timeline that was left for less`() throws {
        var facts = try facts([1: [5...11, 13...13], 2: [11...20]])
        let gap = status(facts)
        #expect(summary(gap.gaps) == ["lost 000C-000C 1"] && gap.level == .warning)
        facts = try self.facts([1: [5...7, 9...10], 2: [11...20]])
        #expect(status(facts).level == .critical)
    }

    @Test func `takes what is behind the first gap for lost with the server, as long as it is one`() throws {
        var facts = try facts([1: [5...9, 11...20]])
        facts.latestTime = before(901)
        facts.server = .init(timeline: 1, lsn: Archive.lsn(21, 100))
        facts.server?.segments = [try Archive.name(10)]
        facts.unfinished = [try Archive.name(21)]
        let status = status(facts)
        #expect(summary(status.gaps) == ["delayed 000A-000A 1"])
        #expect(status.lag == .init(bytes: 1 << 24, time: .seconds(901)))
        #expect(
            status.exposure == .init(bytes: 11 << 24 + 100, atMost: .seconds(901), storedEnd: Archive.lsn(10)))
        #expect(status.level == .critical && facts.unfinishedSegment == nil)
        facts.coverage = Archive.coverage([1: [5...20]])
        #expect(self.status(facts).exposure.bytes == 100)
        #expect(try facts.unfinishedSegment == Archive.name(21))
    }

    @Test func `knows pieces of a timeline of which nothing else is stored`() throws {
        var facts = try facts([1: [5...12]])
        facts.server = .init(timeline: 2, lsn: Archive.lsn(11, 9000))
        facts.unfinished = [try Archive.name(11, 2), try Archive.name(13)]
        #expect(try facts.unfinishedSegment == Archive.name(11, 2))
        facts.piecesEnd = Archive.lsn(11, 8000)
        #expect(status(facts).exposure.bytes == 1000)
    }

    @Test func `takes a gap on the way for as old as it is, whatever its timeline has behind it`() throws {
        var facts = try facts([1: [5...9, 13...13], 2: [11...20]])
        facts.storedAt = [try Archive.name(11, 2): before(9000), try Archive.name(13): before(10)]
        let status = status(facts)
        #expect(summary(status.gaps) == ["delayed 000B-000C 2", "lost 000A-000A 1"])
        #expect(status.level == .critical && status.gaps.map(\.age) == [.seconds(10), .seconds(9000)])
    }

    @Test func `learns nothing from a time that is to come`() throws {
        var facts = try facts([1: [5...9, 12...18]])
        facts.storedAt = [try Archive.name(12): before(-60)]
        #expect(summary(status(facts).gaps) == ["delayed 000A-000B 2"])
        facts.storedAt = [try Archive.name(12): before(-61)]
        #expect(summary(status(facts).gaps) == ["lost 000A-000B 2"] && status(facts).level == .critical)
        facts = try self.facts([1: [5...10]])
        facts.latestTime = before(-61)
        #expect(status(facts).level == .warning && status(facts).exposure.atMost == nil)
        #expect(status(facts).findings.first?.text.contains("which is to come") == true)
        facts.latestTime = before(-60)
        #expect(status(facts).level == .ok && status(facts).exposure.atMost == .zero)
    }

    @Test func `tells the lag and what would be lost`() throws {
        var facts = try facts([1: [5...10]])
        facts.latestTime = before(1300)
        facts.server = .init(timeline: 1, lsn: Archive.lsn(13, 500))
        facts.server?.segments = [try Archive.name(11), try Archive.name(12), try Archive.name(13)]
        var status = status(facts)
        #expect(status.lag == .init(bytes: 2 << 24, time: .seconds(1300)))
        #expect(status.exposure == .init(bytes: 2 << 24 + 500, atMost: .seconds(1300), storedEnd: Archive.lsn(11)))
        #expect(status.level == .critical && summary(status.gaps) == ["delayed 000B-000C 2"])
        facts.piecesEnd = Archive.lsn(13, 500)
        status = self.status(facts)
        #expect(status.exposure.bytes == 0 && status.exposure.atMost == .zero && status.lag?.bytes == 0)
    }

    @Test func `does not take rest for loss`() throws {
        var facts = try facts([1: [5...10]])
        facts.latestTime = before(9000)
        #expect(status(facts).level == .warning)
        facts.server = .init(timeline: 1, lsn: Archive.lsn(11))
        #expect(status(facts).level == .ok && status(facts).exposure.atMost == .zero)
        facts.server?.lsn = Archive.lsn(11, 300)
        #expect(status(facts).level == .warning)
        facts.server?.lastCommitAt = before(9000)
        #expect(status(facts).level == .ok && status(facts).exposure.atMost == .zero)
        facts.server?.lastCommitAt = before(8000)
        #expect(status(facts).level == .critical && status(facts).exposure.atMost == .seconds(9000))
    }

    @Test func `says that nothing is stored, that a history is missing, and that the archiver fails`() throws {
        #expect(status(try facts([:])).findings.map(\.level) == [.critical])
        var facts = try facts([1: [5...10], 3: [14...14]])
        #expect(status(facts).findings.map(\.text).contains { $0.contains("00000003.history") })
        facts.coverage = Archive.coverage([1: [5...10]])
        facts.server = .init(timeline: 3, lsn: Archive.lsn(11))
        #expect(status(facts).findings.map(\.text).contains { $0.contains("00000003.history") })
        facts.server = .init(timeline: 1, lsn: Archive.lsn(11))
        facts.server?.archiver.lastArchivedAt = before(50)
        facts.server?.archiver.lastFailedAt = before(60)
        #expect(status(facts).level == .ok)
        facts.server?.archiver.lastFailedAt = before(40)
        #expect(status(facts).level == .warning)
    }

    @Test func `ends on a new timeline where the old one was left, until something of it is stored`() throws {
        var facts = try facts([1: [5...12]])
        facts.server = .init(timeline: 2, lsn: Archive.lsn(11, 9000))
        #expect(status(facts).exposure == .init(bytes: 4000, atMost: .seconds(40), storedEnd: Archive.lsn(11, 5000)))
    }
}

@Suite struct `Two servers that write` {
    private func growth(_ timeline: UInt32, _ began: Int?, _ latest: Int?, _ newest: UInt64) -> WALTimelineGrowth {
        WALTimelineGrowth(
            timeline: timeline, beganAt: began.map(before), latestTime: latest.map(before), newestSegment: newest)
    }

    private func find(
        _ growth: [WALTimelineGrowth], _ histories: [UInt32: TimelineHistory]? = nil
    ) throws -> [TwoServersWrite] {
        TwoServersWrite.find(
            growth, histories: try histories ?? Archive.forked(), segmentSize: Archive.size, now: noon,
            lately: .seconds(900))
    }

    @Test func `are not a standby that was promoted after its primary had stopped`() throws {
        #expect(try find([growth(1, nil, 3600, 10), growth(2, 3500, 10, 20)]) == [])
        // The primary had written more than the standby received.
        #expect(try find([growth(1, nil, 3600, 13), growth(2, 3500, 10, 20)]) == [])
        // Its clock was ahead.
        #expect(try find([growth(1, nil, 3440, 13), growth(2, 3500, 10, 20)]) == [])
        #expect(try find([growth(1, nil, nil, 13), growth(2, 3500, 10, 20)]) == [])
        #expect(try find([growth(1, nil, 20, 10), growth(2, 3500, 10, 20)]) == [])
    }

    @Test func `are a standby that was promoted while its primary goes on`() throws {
        let found = try find([growth(2, 3500, 10, 20), growth(1, nil, 20, 13)])
        #expect(found == [TwoServersWrite(timelines: [1, 2], from: before(3500), until: before(20), isNow: true)])
        // The last segment is the one in which the timelines part.
        #expect(try find([growth(1, nil, 20, 11), growth(2, 3500, 10, 20)]).count == 1)
    }

    @Test func `were two, if one of them stopped some time ago`() throws {
        #expect(try find([growth(1, nil, 3000, 13), growth(2, 3500, 10, 20)]).map(\.isNow) == [false])
        #expect(try find([growth(1, nil, 10, 13), growth(2, 3500, 3000, 20)]).map(\.isNow) == [false])
    }

    @Test func `may be two standbys of one primary, or a timeline further on`() throws {
        var histories = try Archive.forked()
        histories[3] = try Archive.history(3, [(1, Archive.lsn(12, 8))])
        #expect(try find([growth(2, 3500, 10, 20), growth(3, 3000, 20, 20)], histories).count == 1)
        #expect(try find([growth(2, 3500, 3100, 20), growth(3, 3000, 20, 20)], histories) == [])
        histories[3] = try Archive.history(3, [(1, Archive.lsn(11, 5000)), (2, Archive.lsn(15, 8))])
        let found = try find([growth(1, nil, 20, 13), growth(2, 3500, 3100, 15), growth(3, 3000, 10, 20)], histories)
        #expect(found.map(\.timelines) == [[1, 2], [1, 3]] && found.map(\.isNow) == [false, true])
        #expect(found.map(\.from) == [before(3500), before(3500)])
    }

    @Test func `make the archive critical, also if only the server says that it still writes`() throws {
        var facts = WALArchiveFacts(
            coverage: Archive.coverage([1: [5...10], 2: [11...20]]), now: noon, rpo: .seconds(900))
        facts.histories = try Archive.forked()
        facts.latestTime = before(10)
        facts.growth = [growth(1, nil, 3600, 10), growth(2, 3500, 10, 20)]
        #expect(WALArchiveStatus.judge(facts).level == .ok)
        facts.server = .init(timeline: 1, lsn: Archive.lsn(11, 9000))
        let status = WALArchiveStatus.judge(facts)
        #expect(status.level == .critical && status.findings.first?.text.hasPrefix("Two servers write") == true)
        facts.server?.isInRecovery = true
        #expect(WALArchiveStatus.judge(facts).twoServersWrite == [])
        facts.growth[0] = growth(1, nil, 3000, 13)
        #expect(WALArchiveStatus.judge(facts).level == .warning)
    }

    @Test func `are found whatever times are claimed`() throws {
        var extremes = [growth(1, nil, 20, 13), growth(2, 3500, 10, 20)]
        extremes[0].latestTime = Timestamp(microseconds: .max)
        extremes[1].latestTime = Timestamp(microseconds: .max)
        extremes[1].beganAt = Timestamp(microseconds: .min)
        #expect(try find(extremes).count == 1)
    }
}
