import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `The checks of a recovery's end` {
    private func recovery(replayed: UInt64?, _ boundary: BoundaryProof, isAskedInTime: Bool = false) -> DrillRecovery {
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
        return DrillRecovery(plan: plan, replay: state, boundary: boundary, isAskedInTime: isAskedInTime)
    }

    private func outcome(replayed: UInt64?) -> CheckOutcome {
        recovery(replayed: replayed, BoundaryProof(before: nil, behind: nil)).replayAnswer.outcome
    }

    @Test func `fail by themselves for a replay that ended before it was planned to`() {
        #expect(outcome(replayed: 0x500_0000) == .passed)
        for position in [0x2FF_FFF8, nil] as [UInt64?] {
            guard case .failed(let why) = outcome(replayed: position) else {
                Issue.record("\(String(describing: position)) passed")
                continue
            }
            #expect(why.contains("was not replayed"))
        }
    }

    @Test func `prove nothing by the transactions beside it where there are none, or were asked for too late`() {
        func witness(_ status: String?) -> BoundaryProof.Witness {
            BoundaryProof.Witness(
                CommitMark(
                    transactionID: 7, lsn: LogSequenceNumber(position: 0x100_0100), time: Timestamp(microseconds: 1)),
                status: status)
        }
        func outcome(_ before: BoundaryProof.Witness?, _ behind: BoundaryProof.Witness?, inTime: Bool) -> CheckOutcome {
            let proof = BoundaryProof(before: before, behind: behind)
            return recovery(replayed: 0x500_0000, proof, isAskedInTime: inTime).boundaryAnswer.outcome
        }
        let committed = witness("committed")
        #expect(outcome(committed, witness(nil), inTime: true) == .passed)
        #expect(outcome(committed, nil, inTime: false) == .passed)
        #expect(outcome(nil, nil, inTime: true).verdict == .notVerified)
        #expect(outcome(committed, witness(nil), inTime: false).verdict == .notVerified)
        #expect(outcome(witness(nil), nil, inTime: true).verdict == .fail)
        #expect(outcome(committed, committed, inTime: true).verdict == .fail)
    }
}
