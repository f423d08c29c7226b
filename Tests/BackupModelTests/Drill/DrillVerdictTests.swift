import Testing

@testable import BackupModel

private let t0 = Timestamp(Timestamp.Parts(year: 2026, month: 11, day: 21, hour: 11, minute: 12))

private let policy = DrillPolicy(
    metadata: .init(name: "d"), objectives: .init(rto: .seconds(14_400), rpo: .seconds(900)),
    checks: [
        DrillCheck(id: "rows", .rows(tables: nil)), DrillCheck(id: "amcheck", .amcheck(heapAllIndexed: false)),
    ])

private func result(_ id: String, _ outcome: CheckOutcome) -> CheckResult {
    CheckResult(policy.checks[id == "rows" ? 0 : 1], outcome)
}

private func recovered(in seconds: Int) -> RecoveryTime {
    RecoveryTime(
        spans: [DrillSpan(.restore, start: .zero, duration: .seconds(seconds))], recoveredAt: .seconds(seconds),
        gaveUpAt: .seconds(seconds), objectives: policy.objectives)
}

private func point(_ age: Duration, uncertainty: Duration = .zero) -> RecoveryPoint? {
    RecoveryPoint(
        dumps: [.init(database: "apex", at: t0.advanced(by: .zero - age))], declaredFailure: t0,
        clockUncertainty: uncertainty)
}

/// What a drill observed in which all went well.
private let green = DrillObservation(
    results: [result("rows", .passed), result("amcheck", .passed)], recoveryTime: recovered(in: 100),
    recoveryPoint: point(.seconds(60)))

private func judge(_ change: (inout DrillObservation) -> Void) -> DrillVerdict {
    var observation = green
    change(&observation)
    return DrillVerdict.judge(observation, policy: policy)
}

@Suite struct `Judging a drill` {
    @Test func `passes when nothing is wrong`() {
        let verdict = judge { _ in }
        #expect(verdict.verdict == .pass)
        #expect(verdict.reasons.isEmpty && verdict.findings.isEmpty)
        #expect(verdict.hasRecovered && verdict.rto == .passed && verdict.rpo == .passed)
    }

    @Test(arguments: [
        (DrillFault.noBackup("x"), Verdict.fail), (.damagedBackup("x"), .fail), (.failedRestore("x"), .fail),
        (.failedServer("x"), .fail), (.noTarget("x"), .notVerified), (.wrongPolicy("x"), .notVerified),
        (.noRepository("x"), .notVerified),
        (.aborted("x"), .notVerified), (.notRecorded("x"), .notVerified),
    ])
    func `fails for what is wrong with the backup, and proves nothing for what kept it from trying`(
        fault: DrillFault, expected: Verdict
    ) {
        let verdict = judge {
            $0 = DrillObservation(faults: [fault])
        }
        #expect(verdict.verdict == expected)
        #expect(verdict.reasons.first == fault.text)
        #expect(verdict.checks.allSatisfy { $0.outcome == .notVerified("not run, because \(fault.text)") })
        #expect(!verdict.hasRecovered)
    }

    @Test func `keeps the recovery time of what was proved and could not be recorded`() {
        let verdict = judge { $0.faults = [.notRecorded("the ledger is broken")] }
        #expect(verdict.verdict == .notVerified && verdict.hasRecovered)
        #expect(verdict.reasons == ["the drill could not be recorded: the ledger is broken"])
        #expect(!judge { $0.faults = [.notRecorded("x"), .aborted("y")] }.hasRecovered)
    }

    @Test func `stays a failure when the drill was stopped after it`() {
        let verdict = judge {
            $0.faults = [.damagedBackup("x"), .aborted("SIGTERM")]
            $0.results = []
        }
        #expect(verdict.verdict == .fail)
        #expect(verdict.reasons.contains("aborted: SIGTERM"))
    }

    @Test func `fails without a recovery time when a gating check failed`() {
        let verdict = judge { $0.results[0].outcome = .failed("2 tables differ") }
        #expect(verdict.verdict == .fail)
        #expect(!verdict.hasRecovered)
        #expect(
            verdict.reasons == [
                "check 'rows' failed: 2 tables differ", "there is no recovery time: not recovered within 1 min 40 s",
            ])
        #expect(verdict.rto.verdict == .fail)
    }

    @Test func `proves nothing when a gating check could not run, and nothing failed`() {
        let verdict = judge { $0.results[0].outcome = .notVerified("timed out") }
        #expect(verdict.verdict == .notVerified)
        #expect(verdict.reasons.first == "check 'rows' is not verified: timed out")
        #expect(!verdict.hasRecovered)
    }

    @Test func `takes a check without an answer for one that was not run`() {
        let verdict = judge { $0.results.removeFirst() }
        #expect(verdict.verdict == .notVerified)
        #expect(verdict.checks.map(\.id) == ["rows", "amcheck"])
    }

    @Test(arguments: [CheckOutcome.failed("x"), .notVerified("x")])
    func `passes with a finding when an advisory check did not`(outcome: CheckOutcome) {
        let verdict = judge { $0.results[1].outcome = outcome }
        #expect(verdict.verdict == .pass)
        #expect(verdict.reasons.isEmpty)
        #expect(verdict.findings.map(\.severity) == [.advisory])
        #expect(verdict.findings.first?.check == "amcheck")
        #expect(verdict.findings.first?.id == "F-1")
    }

    @Test func `needs a gating check to prove anything`() {
        var advisory = policy
        advisory.checks.removeFirst()
        let verdict = DrillVerdict.judge(green, policy: advisory)
        #expect(verdict.verdict == .notVerified)
        #expect(verdict.reasons.contains("no gating check was asked"))
    }

    @Test(arguments: [(14_400, Verdict.pass), (14_401, .fail)])
    func `compares the recovery time with the RTO`(seconds: Int, expected: Verdict) {
        let verdict = judge { $0.recoveryTime = recovered(in: seconds) }
        #expect(verdict.verdict == expected)
        if expected == .fail {
            #expect(verdict.reasons == ["recovery took 4 h, which is 1.0 s more than the RTO of 4 h"])
        }
    }

    @Test func `counts assumed time against the RTO`() {
        var slow = policy
        slow.objectives.declare = .seconds(14_400)
        var observation = green
        observation.recoveryTime = RecoveryTime(
            spans: [], recoveredAt: .seconds(1), gaveUpAt: .seconds(1), objectives: slow.objectives)
        #expect(DrillVerdict.judge(observation, policy: slow).rto.verdict == .fail)
    }

    @Test func `says why an old dump misses the RPO`() {
        let verdict = judge { $0.recoveryPoint = point(.seconds(9 * 3600 + 12 * 60)) }
        #expect(verdict.verdict == .fail)
        #expect(
            verdict.reasons == [
                "the newest logical backup was 9 h 12 min old at the declared failure; a logical backup can not be rolled "
                    + "forward; an RPO of 15 min needs WAL archiving"
            ])
        #expect(verdict.hasRecovered, "the recovery time stands all the same")
    }

    @Test(arguments: [
        (Duration.seconds(900), Duration.zero, Verdict.pass), (.seconds(890), .seconds(10), .pass),
        (.seconds(890), .seconds(11), .notVerified), (.seconds(901), .seconds(60), .fail),
    ])
    func `meets the RPO only if the uncertainty allows no other answer`(
        age: Duration, uncertainty: Duration, expected: Verdict
    ) {
        #expect(judge { $0.recoveryPoint = point(age, uncertainty: uncertainty) }.verdict == expected)
    }

    @Test func `does not pass without a recovery point`() {
        #expect(judge { $0.recoveryPoint = nil }.verdict == .notVerified)
        #expect(judge { $0.recoveryTime = nil }.verdict == .notVerified)
    }

    @Test func `has an exit status for each verdict`() {
        #expect(Verdict.allCases.map(\.exitStatus) == [0, 1, 2])
        #expect(Verdict.allCases.map(\.rawValue) == ["pass", "fail", "not_verified"])
    }
}
