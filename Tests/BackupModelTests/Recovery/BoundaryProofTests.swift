import Testing

@testable import BackupModel

@Suite struct `The proof by the transactions on both sides of a target` {
    private func commit(_ number: UInt32, _ position: UInt64 = 0x100_0000) -> CommitMark {
        CommitMark(
            transactionID: number, lsn: LogSequenceNumber(position: position), time: Timestamp(microseconds: 0))
    }

    private func proof(before: String?, behind: String?) -> BoundaryProof {
        BoundaryProof(
            before: .init(commit(700), status: before), behind: .init(commit(701, 0x100_0100), status: behind))
    }

    @Test func `holds if the one before is there and the one behind is not`() {
        for absent in [nil, "aborted", "in progress"] {
            #expect(proof(before: "committed", behind: absent).differences.isEmpty)
        }
        #expect(proof(before: "committed", behind: nil).outcome(isAskedInTime: true) == .passed)
        #expect(proof(before: "committed", behind: nil).evidence.contains("transaction 700 at 0/1000000 is there"))
    }

    @Test func `fails where recovery stopped elsewhere`() {
        for early in [nil, "aborted", "in progress"] {
            let differences = proof(before: early, behind: nil).differences
            #expect(differences.count == 1 && differences[0].hasPrefix("transaction 700, "))
        }
        let late = proof(before: "committed", behind: "committed").differences
        #expect(late.count == 1 && late[0].hasPrefix("transaction 701, ") && late[0].hasSuffix("is there"))
    }

    @Test func `proves nothing without a transaction on either side, or by a server that may have begun its own`() {
        let none = BoundaryProof(before: nil, behind: nil)
        #expect(none.differences.isEmpty)
        #expect(
            none.outcome(isAskedInTime: true)
                == .notVerified(
                    "nothing is proved: no transaction was committed in the WAL before the end, none is stored behind it"
                ))
        let one = BoundaryProof(before: .init(commit(700), status: "committed"), behind: nil)
        #expect(one.outcome(isAskedInTime: false) == .passed)
        let two = proof(before: "committed", behind: nil)
        #expect(
            two.outcome(isAskedInTime: false) == .notVerified("the server had been promoted before it could be asked"))
        let late = proof(before: nil, behind: "committed").outcome(isAskedInTime: true)
        if case .failed(let reason) = late {
            #expect(reason.contains("; transaction 701"))
        } else {
            Issue.record("\(late)")
        }
    }

    @Test func `gives a transaction the epoch in which the server knows it`() {
        let wrap = UInt64(1) << 32
        #expect(commit(700).fullID(near: 750) == 700)
        #expect(commit(800).fullID(near: 750) == 800, "one that is still to come")
        #expect(commit(700).fullID(near: 5 * wrap + 750) == 5 * wrap + 700)
        #expect(commit(0xFFFF_FFF0).fullID(near: 5 * wrap + 10) == 4 * wrap + 0xFFFF_FFF0)
        #expect(commit(10).fullID(near: 5 * wrap - 10) == 5 * wrap + 10)
        #expect(commit(0xFFFF_FFF0).fullID(near: 10) == 0xFFFF_FFF0, "before the first epoch there is none")
    }

    @Test func `chooses the same moment for the same seed, and only from the window`() {
        let (start, end) = (Timestamp(microseconds: 1000), Timestamp(microseconds: 1010))
        var chosen: Set<Int64> = []
        for seed in 0..<200 as Range<UInt32> {
            var (one, other) = (MomentDraw(seed: seed), MomentDraw(seed: seed))
            let moment = one.moment(from: start, to: end)
            #expect(moment == other.moment(from: start, to: end) && start <= moment && moment <= end)
            chosen.insert(moment.microseconds)
        }
        #expect(chosen.count == 11)
        var generator = MomentDraw(seed: 1)
        #expect(generator.moment(from: start, to: start) == start)
    }
}
