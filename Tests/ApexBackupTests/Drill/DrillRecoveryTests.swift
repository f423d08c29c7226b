import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `The check that replay is complete` {
    private func outcome(replayed: UInt64?) -> CheckOutcome {
        let end = LogMark(LogSequenceNumber(position: 0x500_0000), nil)
        let backup = RecoveryCandidate(
            id: RunID(at: Timestamp(microseconds: 0), chance: 1), start: LogSequenceNumber(position: 0x100_0028),
            stop: LogSequenceNumber(position: 0x100_0100), timeline: 1, startedAt: Timestamp(microseconds: 1),
            stoppedAt: Timestamp(microseconds: 2))
        let plan = RecoveryPlan(
            backup: backup, timeline: 1, path: [],
            segments: [WALSegmentRange(timeline: 1, numbers: 1...5, size: .standard)], histories: [], target: .latest,
            isInclusive: true, end: .endOfWAL(end), lost: RecoveryLoss(from: end, to: end), reasons: [])
        let state = RecoveryState(
            isInRecovery: false, isPaused: false, replayed: replayed.map(LogSequenceNumber.init(position:)))
        return DrillRecovery(
            plan: plan, replay: state, boundary: BoundaryProof(before: nil, behind: nil), isAskedInTime: false
        ).replayAnswer.outcome
    }

    @Test func `fails by itself for a replay that ended before it was planned to`() {
        #expect(outcome(replayed: 0x500_0000) == .passed)
        for position in [0x2FF_FFF8, nil] as [UInt64?] {
            guard case .failed(let why) = outcome(replayed: position) else {
                Issue.record("\(String(describing: position)) passed")
                continue
            }
            #expect(why.contains("was not replayed"))
        }
    }
}
