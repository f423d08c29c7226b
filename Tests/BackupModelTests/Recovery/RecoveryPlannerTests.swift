import Testing

@testable import BackupModel

@Suite struct `Planning a recovery` {
    private let log = SyntheticLog.of(
        [
            (0x180000, .end(xid: 1, time: 50)), (0x200000, .other), (0x280000, .checkpoint(time: 100)),
            (0x300000, .end(xid: 2, time: 110)), (0x380000, .point(name: "release", time: 120)),
            (0x400000, .end(xid: 3, time: 130)), (0x580000, .point(name: "release", time: 140)),
            (0x600000, .checkpoint(time: 200)), (0x680000, .checkpoint(time: 300)),
            (0x6C0000, .end(xid: 4, time: 150)), (0x780000, .end(xid: 5, time: 290)),
            (0x7C0000, .checkpoint(time: 400)), (0x7E0000, .checkpoint(time: 500)),
        ], end: 0x800000)

    private func backup(
        _ number: UInt16, _ start: UInt64, _ stop: UInt64, timeline: UInt32 = 1, at time: Int64, isDamaged: Bool = false
    ) -> RecoveryCandidate {
        RecoveryCandidate(
            id: RunID(at: Timestamp(microseconds: 0), chance: number), start: LogSequenceNumber(position: start),
            stop: LogSequenceNumber(position: stop), timeline: timeline, startedAt: Timestamp(microseconds: time - 1),
            stoppedAt: Timestamp(microseconds: time), isDamaged: isDamaged)
    }

    private func planner(
        _ backups: [RecoveryCandidate], production: Set<UInt32> = [1]
    ) -> RecoveryPlanner<SyntheticLog> {
        RecoveryPlanner(
            backups: backups, coverage: log.coverage, histories: log.histories.values.filter { $0.timeline > 1 },
            production: production, index: log)
    }

    private func time(_ microseconds: Int64) -> RestoreMoment { .time(Timestamp(microseconds: microseconds)) }

    private func mark(_ position: UInt64, _ time: Int64?) -> LogMark {
        LogMark(LogSequenceNumber(position: position), time.map { Timestamp(microseconds: $0) })
    }

    private func refusal(_ planner: RecoveryPlanner<SyntheticLog>, _ request: RecoveryRequest) throws -> BackupError {
        let error = try #require(throws: BackupError.self) { _ = try planner.plan(request) }
        #expect(error.unchanged == "Nothing was restored.")
        return error
    }

    private var first: RecoveryCandidate { backup(1, 0x200000, 0x280000, at: 90) }

    // MARK: Times

    @Test func `stops before the first later transaction`() throws {
        let plan = try planner([first]).plan(RecoveryRequest(time(120)))
        #expect(plan.target == time(120) && plan.isInclusive && plan.timeline == 1 && plan.histories.isEmpty)
        #expect(plan.end == .before(mark(0x400000, 130)))
        #expect(plan.segments == [WALSegmentRange(timeline: 1, numbers: 2...4, size: SyntheticLog.size)])
        #expect(plan.lost == RecoveryLoss(from: mark(0x400000, 130), to: mark(0x800000, 500)))
        #expect(plan.lost.bytes == 0x400000)
        #expect(plan.reasons == [.timelineOfProduction(1), .newestBackup(first.id)])
        #expect(try planner([first]).plan(RecoveryRequest(time(130))).end == .before(mark(0x6C0000, 150)))
        #expect(
            try planner([first]).plan(RecoveryRequest(time(130), isInclusive: false)).end
                == .before(mark(0x400000, 130)))
    }

    @Test func `turns a time without a later transaction into a position that certainly is there`() throws {
        let plan = try planner([first]).plan(RecoveryRequest(time(350)))
        #expect(plan.target == .position(LogSequenceNumber(position: 0x7E0000)) && !plan.isInclusive)
        #expect(plan.end == .before(mark(0x7E0000, 500)))
        let known = Timestamp(microseconds: 500)
        #expect(plan.reasons.last == .noLaterTransaction(than: Timestamp(microseconds: 350), known: known))
        // The checkpoint with the time 300 is before the last transaction.
        let last = try planner([first]).plan(RecoveryRequest(time(290)))
        #expect(last.end == .before(mark(0x7E0000, 500)))
        let end = try planner([first]).plan(RecoveryRequest(time(500)))
        #expect(end.target == .position(LogSequenceNumber(position: 0x780000)) && end.isInclusive)
        #expect(end.end == .after(mark(0x780000, nil)))
    }

    @Test func `refuses a time behind all that is stored, with the moments that can be reached`() throws {
        let error = try refusal(planner([first]), RecoveryRequest(time(501)))
        #expect(error.code == .momentUnreachable && error.reason == "the stored WAL ends before it")
        #expect(error.message.contains("1970-01-01T00:00:00.000501Z on timeline 1"))
        #expect(error.remedy.contains("between 0/280000 (1970-01-01T00:00:00.000090Z) and 0/800000"))
        #expect(error.remedy.contains("--nearest"))
        let plan = try planner([first]).plan(RecoveryRequest(time(501), otherwise: .nearest))
        #expect(plan.target == .position(LogSequenceNumber(position: 0x7E0000)) && plan.isInclusive)
        guard case .nearest(let refusal)? = plan.reasons.last else {
            Issue.record("\(plan.reasons)")
            return
        }
        #expect(refusal.before == mark(0x800000, 500) && refusal.after == nil && refusal.cause == .beyondEnd)
    }

    @Test func `refuses a time before every backup, and recovers to the first one instead if asked`() throws {
        let error = try refusal(planner([first]), RecoveryRequest(time(89)))
        #expect(error.reason == "every backup that can be used ended after it")
        let plan = try planner([first]).plan(RecoveryRequest(time(89), otherwise: .nearest))
        #expect(plan.target == .immediate && plan.end == .consistent(mark(0x280000, 90)))
    }

    @Test func `names the last record where no record shows that the backup is consistent`() throws {
        let last = backup(4, 0x780000, 0x800000, at: 500)
        let plan = try planner([first, last]).plan(RecoveryRequest(.immediate))
        #expect(plan.backup == last && plan.target == .position(LogSequenceNumber(position: 0x7E0000)))
        #expect(plan.isInclusive && plan.end == .after(mark(0x7E0000, 500)))
        let followed = backup(4, 0x780000, 0x7E0000, at: 500)
        #expect(try planner([first, followed]).plan(RecoveryRequest(.immediate)).target == .immediate)
    }

    @Test func `passes over a backup during which a transaction of a later time ended`() throws {
        let second = backup(2, 0x680000, 0x700000, at: 140)
        let plan = try planner([first, second]).plan(RecoveryRequest(time(145)))
        #expect(plan.backup == first && plan.end == .before(mark(0x6C0000, 150)))
        #expect(plan.reasons.last == .passedOver(second.id, .laterTransaction(mark(0x6C0000, 150))))
        let error = try refusal(planner([first, second]), RecoveryRequest(time(145), backup: second.id))
        #expect(error.reason?.contains("before the data are consistent") == true)
        #expect(try planner([first, second]).plan(RecoveryRequest(time(150))).backup == second)
    }

    // MARK: Backups

    @Test func `uses a damaged backup only if it is named`() throws {
        let damaged = backup(3, 0x300000, 0x380000, at: 115, isDamaged: true)
        let plan = try planner([first, damaged]).plan(RecoveryRequest(.latest))
        #expect(plan.backup == first && plan.reasons.last == .passedOver(damaged.id, .damaged))
        let named = try planner([first, damaged]).plan(RecoveryRequest(.latest, backup: damaged.id))
        #expect(named.backup == damaged && named.reasons.last == .backupNamed(damaged.id))
        #expect(try planner([first, damaged]).plan(RecoveryRequest(.immediate)).backup == first)
        let alone = try refusal(planner([damaged]), RecoveryRequest(.latest))
        #expect(alone.reason == "no backup can be used" && alone.remedy.contains("--kind physical"))
    }

    @Test func `refuses a backup that is not there, or ended too late`() throws {
        let error = try refusal(planner([first]), RecoveryRequest(.latest, backup: backup(2, 0, 0, at: 0).id))
        #expect(error.code == .backupMissing && error.remedy.hasPrefix("Did you mean \(first.id)?"))
        let late = try refusal(planner([first]), RecoveryRequest(time(10), backup: first.id))
        #expect(late.code == .momentUnreachable && late.reason == "backup \(first.id) ended after it")
        #expect(try refusal(planner([]), RecoveryRequest(.latest)).code == .momentUnreachable)
        #expect(try refusal(planner([]), RecoveryRequest(.immediate)).code == .momentUnreachable)
    }

    // MARK: Holes

    @Test func `never recovers to an earlier end because of a hole, and names the segment`() throws {
        log.coverage = WALCoverage(segmentSize: SyntheticLog.size)
        log.coverage.insert(1...4, timeline: 1)
        log.coverage.insert(6...7, timeline: 1)
        let later = backup(2, 0x680000, 0x700000, at: 310)
        let segment = "000000010000000000000005"
        for request in [RecoveryRequest(.latest), RecoveryRequest(time(145))] {
            let error = try refusal(planner([first]), request)
            #expect(error.code == .walMissing)
            #expect(error.reason == "WAL segment \(segment) is not stored, but later ones are")
            #expect(error.remedy.hasPrefix("If the server, a standby or a copy still has \(segment), store it."))
            #expect(error.remedy.contains("before it that can be reached is 0/500000 (1970-01-01T00:00:00.000130Z)"))
        }
        let error = try refusal(planner([first, later]), RecoveryRequest(time(145)))
        #expect(error.remedy.contains("The first one behind it is 0/700000 (1970-01-01T00:00:00.000310Z)."))
        #expect(try planner([first, later]).plan(RecoveryRequest(.latest)).backup == later)
        let nearest = try planner([first, later]).plan(RecoveryRequest(time(145), otherwise: .nearest))
        #expect(nearest.backup == first && nearest.end == .after(mark(0x480000, 130)))
        #expect(nearest.segments.map(\.numbers) == [2...4])
    }

    @Test func `takes an older backup that lies inside a newer one with a hole`() throws {
        log.coverage = WALCoverage(segmentSize: SyntheticLog.size)
        log.coverage.insert(1...1, timeline: 1)
        log.coverage.insert(3...7, timeline: 1)
        let long = backup(1, 0x180000, 0x500000, at: 132)
        let short = backup(2, 0x380000, 0x400000, at: 131)
        let plan = try planner([long, short]).plan(RecoveryRequest(time(140)))
        #expect(plan.backup == short && plan.end == .before(mark(0x6C0000, 150)))
        let missing = WALSegmentName(timeline: 1, number: 2, segmentSize: SyntheticLog.size)
        #expect(plan.reasons.last == missing.map { .passedOver(long.id, .obstacle(.missing($0))) })
        #expect(try refusal(planner([long, short]), RecoveryRequest(.immediate)).code == .walMissing)
        let instead = try planner([long, short]).plan(RecoveryRequest(.immediate, otherwise: .nearest))
        #expect(instead.backup == short && instead.target == .position(LogSequenceNumber(position: 0x380000)))
    }

    @Test func `does not go on behind a segment whose WAL ends early`() throws {
        let segment = try #require(WALSegmentName(timeline: 1, number: 5, segmentSize: SyntheticLog.size))
        log.broken[segment] = 0x580010
        let error = try refusal(planner([first]), RecoveryRequest(.latest))
        #expect(error.code == .walSegmentInvalid)
        #expect(error.reason?.contains("\(segment) ends before the segment does (no record follows)") == true)
        #expect(
            try planner([first]).plan(RecoveryRequest(.position(LogSequenceNumber(position: 0x580000)))).end
                == .after(mark(0x500000, 130)))
    }

    @Test(arguments: [5, 7] as [UInt64])
    func `does not take a segment of which nobody can say anything for the end, and plans what is before it`(
        _ number: UInt64
    ) throws {
        let segment = try #require(WALSegmentName(timeline: 1, number: number, segmentSize: SyntheticLog.size))
        log.unknown = [segment]
        let error = try refusal(planner([first]), RecoveryRequest(.latest))
        #expect(error.code == .walSegmentInvalid && error.reason?.contains("\(segment)") == true)
        #expect(error.reason?.contains("its trailer is damaged") == true)
        #expect(try planner([first]).plan(RecoveryRequest(time(120))).end == .before(mark(0x400000, 130)))
        #expect(try planner([first]).plan(RecoveryRequest(.immediate)).backup == first)
    }

    // MARK: Restore points and transactions

    @Test func `stops at the first restore point of a name behind the backup, and tells of the others`() throws {
        let second = backup(2, 0x480000, 0x500000, at: 135)
        let older = try planner([first]).plan(RecoveryRequest(.restorePoint("release")))
        #expect(older.end == .after(mark(0x380000, 120)) && older.reasons.last == .sameName([mark(0x580000, 140)]))
        let newer = try planner([first, second]).plan(RecoveryRequest(.restorePoint("release")))
        #expect(newer.backup == second && newer.end == .after(mark(0x580000, 140)))
        #expect(newer.target == .restorePoint("release"))
        let inside = backup(3, 0x500000, 0x600000, at: 145)
        let error = try refusal(planner([inside]), RecoveryRequest(.restorePoint("release")))
        #expect(error.reason?.contains("0/580000 (1970-01-01T00:00:00.000140Z), before the data") == true)
    }

    @Test func `guesses the name of a restore point`() throws {
        let error = try refusal(planner([first]), RecoveryRequest(.restorePoint("realease")))
        #expect(error.code == .momentUnreachable)
        #expect(error.remedy == "Did you mean 'release'? The newest ones are 'release'.")
    }

    @Test func `finds a transaction behind the backup that is named`() throws {
        let error = try refusal(planner([first]), RecoveryRequest(.transaction(3)))
        #expect(error.code == .usage && error.remedy.contains("restore BACKUP --to xid:3"))
        let plan = try planner([first]).plan(RecoveryRequest(.transaction(3 + 1 << 32), backup: first.id))
        #expect(plan.end == .after(mark(0x400000, 130)) && plan.target == .transaction(3 + 1 << 32))
        let before = try planner([first]).plan(RecoveryRequest(.transaction(3), isInclusive: false, backup: first.id))
        #expect(before.end == .before(mark(0x400000, 130)) && !before.isInclusive)
        let missing = RecoveryRequest(.transaction(9), backup: first.id, otherwise: .nearest)
        #expect(try refusal(planner([first]), missing).reason?.contains("neither committed nor rolled back") == true)
        let early = backup(2, 0x180000, 0x280000, at: 90)
        let inside = try refusal(planner([early]), RecoveryRequest(.transaction(1), backup: early.id))
        #expect(inside.remedy.hasPrefix("Name an older backup."))
    }

    // MARK: Timelines

    /// Timeline 2 left timeline 1 at 0/580000, timeline 3 is a clone's.
    private func branch() throws {
        log.histories[2] = try TimelineHistory(timeline: 2, parsing: "1\t0/580000\tx\n")
        log.histories[3] = try TimelineHistory(timeline: 3, parsing: "1\t0/380000\tx\n")
        log.own[2] = [
            .init(start: 0x580000, end: 0x600000, kind: .checkpoint(time: 210)),
            .init(start: 0x600000, end: 0x680000, kind: .end(xid: 7, time: 220)),
        ]
        log.own[3] = [.init(start: 0x380000, end: 0x480000, kind: .end(xid: 7, time: 130))]
        log.coverage.insert(5...6, timeline: 2)
        log.coverage.insert(3...4, timeline: 3)
    }

    @Test func `follows the newest timeline of production, and others only if they are named`() throws {
        try branch()
        let planner = planner([first], production: [1, 2])
        let plan = try planner.plan(RecoveryRequest(.latest))
        #expect(plan.timeline == 2 && plan.end == .endOfWAL(mark(0x680000, 220)) && plan.histories == [2])
        #expect(plan.segments.map(\.timeline) == [1, 2] && plan.segments.map(\.numbers) == [2...4, 5...6])
        #expect(plan.path.map(\.timeline) == [1, 2] && plan.reasons.first == .timelineOfProduction(2))
        let named = try planner.plan(RecoveryRequest(.latest, timeline: 1))
        #expect(named.timeline == 1 && named.end.mark.lsn.position == 0x800000)
        #expect(named.reasons.first == .timelineNamed(1))
        #expect(try planner.plan(RecoveryRequest(.latest, timeline: 3)).end == .endOfWAL(mark(0x480000, 130)))
        let error = try refusal(planner, RecoveryRequest(.latest, timeline: 4))
        #expect(error.code == .usage && error.remedy.contains("1, 2, 3"))
    }

    @Test func `tells the server the timeline on which recovery ends`() throws {
        try branch()
        let plan = try planner([first], production: [2]).plan(RecoveryRequest(time(115)))
        #expect(plan.timeline == 1 && plan.reasons.last == .endsOnAncestor(1, of: 2) && plan.histories.isEmpty)
        #expect(plan.end == .before(mark(0x400000, 130)) && plan.lost.to == mark(0x680000, 220))
        // The segment in which timeline 1 was left is there only as that of timeline 2.
        log.coverage = WALCoverage(segmentSize: SyntheticLog.size)
        log.coverage.insert(1...4, timeline: 1)
        log.coverage.insert(5...6, timeline: 2)
        let position = RestoreMoment.position(LogSequenceNumber(position: 0x500000))
        let kept = try planner([first], production: [2]).plan(RecoveryRequest(position))
        #expect(kept.timeline == 2 && kept.segments.map(\.timeline) == [1, 2])
    }

    @Test func `refuses a timeline without a history, and a backup that does not lead to it`() throws {
        try branch()
        let abandoned = backup(2, 0x600000, 0x680000, at: 310)
        let error = try refusal(
            planner([first, abandoned], production: [2]), RecoveryRequest(.latest, backup: abandoned.id))
        #expect(error.code == .momentUnreachable && error.remedy.hasPrefix("Add --timeline 1"))
        #expect(try planner([first, abandoned], production: [2]).plan(RecoveryRequest(.latest)).backup == first)
        let immediate = try planner([first, abandoned], production: [2])
            .plan(RecoveryRequest(.immediate, backup: abandoned.id))
        #expect(immediate.timeline == 1 && immediate.reasons.first == .timelineOfBackup(1))
        log.histories[2] = nil
        let missing = try refusal(planner([first], production: [2]), RecoveryRequest(.latest))
        #expect(missing.code == .objectMissing && missing.reason?.hasPrefix("00000002.history is not stored") == true)
    }

    @Test func `the end of the WAL is not in front of where a server would go on with an older timeline`() throws {
        try branch()
        log.coverage = WALCoverage(segmentSize: SyntheticLog.size)
        log.coverage.insert(1...4, timeline: 1)
        let plan = try planner([first], production: [2]).plan(RecoveryRequest(.latest))
        #expect(plan.timeline == 1 && plan.end.mark.lsn.position == 0x500000)
        log.coverage.insert(5...7, timeline: 1)
        let error = try refusal(planner([first], production: [2]), RecoveryRequest(.latest))
        #expect(error.reason == "WAL segment 000000020000000000000005 is not stored, but later ones are")
    }
}
