import Testing

@testable import BackupModel

@Suite struct `The proof of a recovery` {
    private func plan(_ end: RecoveryEnd, isInclusive: Bool = true) -> RecoveryPlan {
        let mark = LogMark(LogSequenceNumber(position: 0x100_0028), nil)
        return RecoveryPlan(
            backup: RecoveryCandidate(
                id: RunID(at: Timestamp(microseconds: 0), chance: 1), start: mark.lsn, stop: mark.lsn, timeline: 1,
                startedAt: Timestamp(microseconds: 1), stoppedAt: Timestamp(microseconds: 2)), timeline: 1, path: [],
            segments: [WALSegmentRange(timeline: 1, numbers: 1...5, size: .standard)], histories: [],
            target: .latest, isInclusive: isInclusive, end: end, lost: RecoveryLoss(from: mark, to: mark), reasons: [])
    }

    private func mark(_ position: UInt64) -> LogMark { LogMark(LogSequenceNumber(position: position), nil) }

    private func code(_ plan: RecoveryPlan, _ replayed: UInt64?) -> ErrorCode? {
        do throws(BackupError) {
            try plan.requireEnd(replayed.map(LogSequenceNumber.init(position:)))
            return nil
        } catch { return error.code }
    }

    @Test func `of everything stored is that the replay reached its end`() {
        let plan = plan(.endOfWAL(mark(0x500_0000)))
        #expect(code(plan, 0x500_0000) == nil && code(plan, 0x500_1000) == nil)
        #expect(code(plan, 0x4FF_FFF8) == .walMissing && code(plan, nil) == .walMissing)
    }

    @Test func `names the first segment that was not replayed`() throws {
        let plan = plan(.endOfWAL(mark(0x500_0000)))
        for (replayed, segment) in [
            (0x300_0000, "000000010000000000000003"), (0x2FF_FFF8, "000000010000000000000002"),
        ] as [(UInt64, String)] {
            let error = try #require(throws: BackupError.self) {
                try plan.requireEnd(LogSequenceNumber(position: replayed))
            }
            #expect(error.message.contains("WAL segment \(segment) was not replayed"))
        }
    }

    @Test func `of a target is that the replay ended at it, neither before nor behind`() {
        let before = plan(.before(mark(0x200_0100)))
        #expect(code(before, 0x200_0100) == nil)
        #expect(code(before, 0x200_00F8) == .walMissing && code(before, 0x200_0108) == .restoreFailed)
        let after = plan(.after(mark(0x200_0100)))
        #expect(code(after, 0x200_0130) == nil && code(after, 0x200_0100) == .walMissing)
        let consistent = plan(.consistent(mark(0x200_0100)))
        #expect(code(consistent, 0x200_0100) == nil && code(consistent, 0x200_00E0) == .walMissing)
        let (position, record) = (LogSequenceNumber(position: 0x200_0100), LogSequenceNumber(position: 0x200_0140))
        let around = plan(.around(position, record: record), isInclusive: false)
        #expect(code(around, 0x200_0120) == nil && code(around, 0x200_0140) == nil)
        #expect(code(around, 0x200_00E0) == .walMissing && code(around, 0x200_0160) == .restoreFailed)
    }

    @Test func `knows that a page begins with a header, in which no record can be`() {
        #expect(code(plan(.before(mark(0x200_2018))), 0x200_2000) == nil)
        #expect(code(plan(.before(mark(0x200_2020))), 0x200_2000) == .walMissing)
        #expect(code(plan(.before(mark(0x200_0028))), 0x200_0000) == nil)
        #expect(code(plan(.before(mark(0x200_0030))), 0x200_0000) == .walMissing)
        // The record behind the header is not replayed yet.
        #expect(code(plan(.after(mark(0x200_2018))), 0x200_2000) == .walMissing)
    }
}
