import TestSupport
import Testing

@testable import BackupModel

/// On random small logs every plan is carried out by a server that is simulated record by record, and every refusal is
/// compared with what trying all backups comes to.
@Suite struct `A recovery plan, carried out` {
    private struct Case {
        let random: RandomLog
        let oracle: RecoveryOracle
        let planner: RecoveryPlanner<SyntheticLog>
        let timeline: UInt32
        let seed: UInt64

        func plan(_ moment: RestoreMoment, _ isInclusive: Bool, nearest: Bool = false) throws -> RecoveryPlan? {
            let request = RecoveryRequest(
                moment, isInclusive: isInclusive, timeline: timeline, otherwise: nearest ? .nearest : .refuse)
            do throws(BackupError) {
                return try planner.plan(request)
            } catch {
                #expect([.momentUnreachable, .walMissing, .walSegmentInvalid].contains(error.code), "\(error)")
                return nil
            }
        }

        /// What a server does that is given nothing but what the plan says.
        func carryOut(_ plan: RecoveryPlan) -> SyntheticLog.Result {
            var files = WALCoverage(segmentSize: SyntheticLog.size)
            for range in plan.segments { files.insert(range.numbers, timeline: range.timeline) }
            return random.log.recover(
                plan.backup, timeline: plan.timeline, target: plan.target, isInclusive: plan.isInclusive, files: files)
        }

        func name(_ moment: RestoreMoment, _ isInclusive: Bool = true) -> Comment {
            "seed \(seed), timeline \(timeline), \(moment.words), \(isInclusive ? "inclusive" : "exclusive")"
        }
    }

    private static func cases(_ seeds: Range<UInt64>) -> [Case] {
        seeds.flatMap { seed in
            let random = RandomLog(seed: seed)
            let planner = RecoveryPlanner(
                backups: random.backups, coverage: random.log.coverage, histories: Array(random.log.histories.values),
                production: [], index: random.log)
            return random.log.own.keys.sorted().map { timeline in
                Case(
                    random: random, oracle: RecoveryOracle(random.log, random.backups, timeline: timeline),
                    planner: planner, timeline: timeline, seed: seed)
            }
        }
    }

    /// The plan's end is where a server gets to.
    private func check(_ plan: RecoveryPlan, _ test: Case, _ name: Comment) {
        let result = test.carryOut(plan)
        switch plan.end {
        case .before(let mark): #expect(result == .before(mark.lsn.position), name)
        case .after(let mark): #expect(result == .after(mark.lsn.position), name)
        case .around(let position, let record):
            let met = position.position...max(position, record).position
            switch result {
            case .before(let start): #expect(!plan.isInclusive && met.contains(start), name)
            case .after(let start): #expect(plan.isInclusive && met.contains(start), name)
            default: Issue.record("\(name): \(result)")
            }
        case .consistent(let mark):
            #expect(mark.lsn == plan.backup.stop && plan.target == .immediate, name)
            guard case .before(let start) = result else {
                Issue.record("\(name): \(result)")
                return
            }
            #expect(start >= mark.lsn.position, name)
        case .endOfWAL(let mark): #expect(result == .ended(mark.lsn.position), name)
        }
        #expect(plan.lost.to.lsn >= plan.lost.from.lsn && plan.lost.from == plan.end.mark, name)
        if let first = plan.segments.first?.numbers.lowerBound {
            #expect(first == plan.backup.start.position >> 20, name)
        }
    }

    /// What is said to be reachable can be reached, and the nearest moment is one of those.
    private func checkRefusal(_ moment: RestoreMoment, _ isInclusive: Bool, _ test: Case) throws {
        let name = test.name(moment, isInclusive)
        guard let plan = try test.plan(moment, isInclusive, nearest: true) else { return }
        check(plan, test, name)
        var found: RecoveryRefusal?
        for case .nearest(let refusal) in plan.reasons { found = refusal }
        guard let refusal = found else { return }
        for mark in [refusal.earliest, refusal.latest, refusal.before, refusal.after].compactMap(\.self) {
            #expect(try test.plan(.position(mark.lsn), true) != nil, "\(name): \(mark)")
        }
        // The nearest backup may have ended while a transaction had a later time than its end.
        let ends = moment == .immediate ? [refusal.latest] : [refusal.latest, refusal.before]
        for time in ends.compactMap({ $0?.time }) {
            #expect(try test.plan(.time(time), true) != nil, "\(name): \(time)")
        }
        if let before = refusal.before, case .position(let position) = moment { #expect(before.lsn < position, name) }
        if let after = refusal.after, case .position(let position) = moment { #expect(after.lsn > position, name) }
    }

    @Test(arguments: [0..<10, 10..<20, 20..<30] as [Range<UInt64>])
    func `meets every time, or turns it into a position that loses nothing`(seeds: Range<UInt64>) throws {
        var counts = (met: 0, turned: 0, refused: 0)
        for test in Self.cases(seeds) {
            var random = test.random
            for time in test.random.times where random.pick(1...3) == 1 {
                let isInclusive = random.pick(1...3) > 1
                let moment = RestoreMoment.time(Timestamp(microseconds: time))
                let name = test.name(moment, isInclusive)
                let expected = test.oracle.ending(at: time, isInclusive: isInclusive)
                let plan = try test.plan(moment, isInclusive)
                #expect(plan?.backup == expected?.backup, name)
                guard let plan, let expected else {
                    counts.refused += 1
                    try checkRefusal(moment, isInclusive, test)
                    continue
                }
                check(plan, test, name)
                let result = test.carryOut(plan)
                guard expected.isTurned else {
                    counts.met += 1
                    #expect(result == expected.result && plan.target == moment, name)
                    continue
                }
                counts.turned += 1
                #expect(plan.target != moment, name)
                let ends = test.oracle.readable(plan.backup).filter {
                    if case .end = $0.kind { $0.end > plan.backup.stop.position } else { false }
                }
                switch result {
                case .before(let start): #expect(ends.allSatisfy { $0.start < start }, name)
                case .after(let start): #expect(ends.allSatisfy { $0.start <= start }, name)
                default: Issue.record("\(name): \(result)")
                }
            }
        }
        #expect(counts.met > 10 && counts.turned > 2 && counts.refused > 10, "\(counts)")
    }

    @Test(arguments: [200..<210, 210..<220] as [Range<UInt64>])
    func `meets every position that a record or the end of the WAL meets`(seeds: Range<UInt64>) throws {
        var counts = (met: 0, refused: 0)
        for test in Self.cases(seeds) {
            var random = test.random
            for position in test.random.positions where random.pick(1...3) == 1 {
                let isInclusive = random.pick(1...2) > 1
                let moment = RestoreMoment.position(LogSequenceNumber(position: position))
                let name = test.name(moment, isInclusive)
                let expected = test.oracle.ending(atPosition: position, isInclusive: isInclusive)
                let plan = try test.plan(moment, isInclusive)
                #expect(plan?.backup == expected?.backup, name)
                guard let plan, let expected else {
                    counts.refused += 1
                    try checkRefusal(moment, isInclusive, test)
                    continue
                }
                counts.met += 1
                check(plan, test, name)
                #expect(test.carryOut(plan) == expected.result, name)
            }
        }
        #expect(counts.met > 20 && counts.refused > 20, "\(counts)")
    }

    @Test func `meets the restore point that a server meets first`() throws {
        var counts = (met: 0, refused: 0)
        for test in Self.cases(400..<520) {
            for name in ["a", "b"] {
                let moment = RestoreMoment.restorePoint(name)
                let expected = test.oracle.ending(atRestorePoint: name)
                let plan = try test.plan(moment, true)
                #expect(plan?.backup == expected?.backup, test.name(moment))
                guard let plan, let expected else {
                    counts.refused += 1
                    try checkRefusal(moment, true, test)
                    continue
                }
                counts.met += 1
                check(plan, test, test.name(moment))
                #expect(test.carryOut(plan) == expected.result, test.name(moment))
            }
        }
        #expect(counts.met > 40 && counts.refused > 40, "\(counts)")
    }

    @Test func `meets the end of a transaction from the backup that is named`() throws {
        var counts = (met: 0, refused: 0)
        for test in Self.cases(700..<720) {
            for backup in test.random.backups {
                for number in stride(from: UInt64(1), through: 60, by: 7) {
                    let moment = RestoreMoment.transaction(number)
                    let expected = test.random.log.recover(
                        backup, timeline: test.timeline, target: moment, isInclusive: false,
                        files: test.random.log.coverage)
                    let request = RecoveryRequest(
                        moment, isInclusive: number % 2 == 0, timeline: test.timeline, backup: backup.id)
                    guard let plan = try? test.planner.plan(request) else {
                        counts.refused += 1
                        if case .before = expected, test.oracle.backups.contains(backup) {
                            Issue.record("\(test.name(moment)) from \(backup.id) was refused")
                        }
                        continue
                    }
                    counts.met += 1
                    check(plan, test, test.name(moment))
                    #expect(expected == .before(plan.end.mark.lsn.position), test.name(moment))
                }
            }
        }
        #expect(counts.met > 20 && counts.refused > 20, "\(counts)")
    }

    @Test func `reaches the end of the WAL, or names what interrupts it`() throws {
        var counts = (met: 0, refused: 0)
        for test in Self.cases(800..<950) {
            let expected = test.oracle.latest()
            let plan = try test.plan(.latest, true)
            #expect(
                plan?.backup == expected?.backup && plan?.end.mark.lsn.position == expected?.end, test.name(.latest))
            if let plan {
                counts.met += 1
                check(plan, test, test.name(.latest))
                #expect(plan.lost.bytes == 0, test.name(.latest))
            } else {
                counts.refused += 1
                try checkRefusal(.latest, true, test)
            }
            if let plan = try test.plan(.immediate, true) {
                check(plan, test, test.name(.immediate))
                #expect(plan.backup == test.oracle.backups.first, test.name(.immediate))
            } else {
                #expect(test.oracle.backups.first.map(test.oracle.isUsable) != true, test.name(.immediate))
                try checkRefusal(.immediate, true, test)
            }
        }
        #expect(counts.met > 40 && counts.refused > 40, "\(counts)")
    }

    @Test func `every position of a window is reached, and none outside`() throws {
        for test in Self.cases(1300..<1330) where test.random.log.broken.isEmpty {
            let windows = restorableWindows(
                test.random.backups, coverage: test.random.log.coverage,
                histories: Array(test.random.log.histories.values)
            ).filter { $0.timeline == test.timeline }
            var random = test.random
            let own = test.random.log.path(test.timeline).firstOwnNumber << 20
            for position in test.random.positions where random.pick(1...4) == 1 && position >= own {
                let lsn = LogSequenceNumber(position: position)
                let isInside = windows.contains { $0.start.lsn <= lsn && lsn <= $0.end }
                if try test.plan(.position(lsn), true) != nil {
                    #expect(isInside, test.name(.position(lsn)))
                } else if let end = windows.last(where: { $0.start.lsn <= lsn })?.end, lsn < end {
                    // Only in the last segment, whose WAL may end before it does.
                    #expect(lsn.position >= end.position - (3 << 20), test.name(.position(lsn)))
                }
            }
        }
    }
}
