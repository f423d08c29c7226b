/// What went wrong in a drill outside its checks.
package enum DrillFault: Sendable, Hashable {
    /// There is no backup to restore.
    case noBackup(String)
    /// A stored object is missing or not what was stored.
    case damagedBackup(String)
    /// The restore ended with an error.
    case failedRestore(String)
    /// The restored server does not run or does not answer.
    case failedServer(String)
    /// There was no place to restore to: no room, no programs, no permission.
    case noTarget(String)
    /// The policy asks for what cannot be done.
    case wrongPolicy(String)
    /// The repository could not be read at all.
    case noRepository(String)
    /// The drill was stopped.
    case aborted(String)
    /// What was measured could not be put on record.
    case notRecorded(String)

    /// The verdict that follows: what is wrong with the backup or the restored server fails a drill; what kept us from
    /// trying does not prove anything.
    package var verdict: Verdict {
        switch self {
        case .noBackup, .damagedBackup, .failedRestore, .failedServer: .fail
        case .noTarget, .wrongPolicy, .noRepository, .aborted, .notRecorded: .notVerified
        }
    }

    /// Whether recovery may still have been proved beside it.
    var leavesRecovery: Bool { if case .notRecorded = self { true } else { false } }

    /// The fault in words.
    package var text: String {
        switch self {
        case .noBackup(let text): "there is nothing to restore: \(text)"
        case .damagedBackup(let text): "the backup is damaged: \(text)"
        case .failedRestore(let text): "the restore failed: \(text)"
        case .failedServer(let text): "the restored server failed: \(text)"
        case .noTarget(let text): "there was no target to restore to: \(text)"
        case .wrongPolicy(let text): "the policy cannot be carried out: \(text)"
        case .noRepository(let text): "the repository could not be read: \(text)"
        case .aborted(let text): "aborted: \(text)"
        case .notRecorded(let text): "the drill could not be recorded: \(text)"
        }
    }
}

/// What a drill observed.
package struct DrillObservation: Sendable, Hashable {
    /// What went wrong outside the checks.
    package var faults: [DrillFault]
    /// The answers; a check of the policy without one was not run.
    package var results: [CheckResult]
    /// How long recovery took, if it was begun.
    package var recoveryTime: RecoveryTime?
    /// Up to which moment the restored data reach; `nil` if nothing was restored.
    package var recoveryPoint: RecoveryPoint?

    /// Makes an observation.
    package init(
        faults: [DrillFault] = [], results: [CheckResult] = [], recoveryTime: RecoveryTime? = nil,
        recoveryPoint: RecoveryPoint? = nil
    ) {
        self.faults = faults
        self.results = results
        self.recoveryTime = recoveryTime
        self.recoveryPoint = recoveryPoint
    }
}

/// Something that a drill found and that somebody has to look at.
package struct DrillFinding: Sendable, Hashable, Codable {
    /// What the finding means for the verdict.
    package enum Severity: String, Sendable, Hashable, Codable {
        /// It failed the drill.
        case failed
        /// It kept the drill from proving recovery.
        case unproved
        /// It did not change the verdict.
        case advisory
    }

    /// `F-1`, `F-2`, in the order of the report.
    package var id: String
    /// What it means for the verdict.
    package var severity: Severity
    /// What was found.
    package var text: String
    /// The check that found it.
    package var check: String?
    /// Whether it was dealt with; a drill's own findings are open.
    package var state = "open"
}

/// The verdict on a drill, with its reasons.
package struct DrillVerdict: Sendable, Hashable {
    /// The verdict.
    package var verdict: Verdict
    /// Why it is not PASS: what failed first, then what could not be proved.
    package var reasons: [String]
    /// Everything that somebody has to look at.
    package var findings: [DrillFinding]
    /// The answers to all checks of the policy, in its order.
    package var checks: [CheckResult]
    /// Whether recovery was proved, without a fault and by every gating check; if not, there is no recovery time.
    package var hasRecovered: Bool
    /// Whether the RTO was met.
    package var rto: CheckOutcome
    /// Whether the RPO was met.
    package var rpo: CheckOutcome

    /// Judges what a drill of `policy` observed.
    ///
    /// - Whatever is wrong with the backup or the restored server is FAIL, also when later checks could then not run: a
    ///   damaged object, a failed restore, a failed gating check, a missed objective.
    /// - What kept us from proving is NOT VERIFIED: no target, an abort, a gating check that could not run, an objective
    ///   whose measure is not known well enough.
    /// - An advisory check changes no verdict; its failure is a finding.
    package static func judge(_ observation: DrillObservation, policy: DrillPolicy) -> DrillVerdict {
        let checks = allResults(of: observation, policy: policy)
        let gating = checks.filter(\.isGating)
        let hasFailed =
            observation.faults.contains { $0.verdict == .fail }
            || gating.contains { $0.outcome.verdict == .fail }
        let hasRecovered =
            observation.faults.allSatisfy(\.leavesRecovery) && !gating.isEmpty
            && gating.allSatisfy { $0.outcome == .passed }
            && observation.recoveryTime?.total != nil
        let rto = judgeRTO(observation, policy: policy, hasRecovered: hasRecovered, hasFailed: hasFailed)
        let rpo = judgeRPO(observation, policy: policy)

        var drafts = observation.faults.map {
            DrillFinding(id: "", severity: $0.verdict == .fail ? .failed : .unproved, text: $0.text)
        }
        for check in checks {
            guard let reason = check.outcome.reason else { continue }
            let isFailure = check.outcome.verdict == .fail
            let severity: DrillFinding.Severity = !check.isGating ? .advisory : isFailure ? .failed : .unproved
            let words = isFailure ? "failed" : "is not verified"
            drafts.append(
                DrillFinding(
                    id: "", severity: severity, text: "check '\(check.id)' \(words): \(reason)", check: check.id))
        }
        for outcome in [rto, rpo] {
            guard let reason = outcome.reason else { continue }
            drafts.append(
                DrillFinding(id: "", severity: outcome.verdict == .fail ? .failed : .unproved, text: reason))
        }
        if gating.isEmpty {
            drafts.append(DrillFinding(id: "", severity: .unproved, text: "no gating check was asked"))
        }
        let order: [DrillFinding.Severity] = [.failed, .unproved, .advisory]
        var findings = order.flatMap { severity in drafts.filter { $0.severity == severity } }
        for index in findings.indices { findings[index].id = "F-\(index + 1)" }
        let verdict: Verdict =
            findings.contains { $0.severity == .failed }
            ? .fail : findings.contains { $0.severity == .unproved } ? .notVerified : .pass
        return DrillVerdict(
            verdict: verdict, reasons: findings.filter { $0.severity != .advisory }.map(\.text), findings: findings,
            checks: checks, hasRecovered: hasRecovered, rto: rto, rpo: rpo)
    }

    private static func allResults(of observation: DrillObservation, policy: DrillPolicy) -> [CheckResult] {
        let reason = observation.faults.first.map { "not run, because \($0.text)" } ?? "not run"
        return policy.checks.map { check in
            observation.results.first { $0.id == check.id } ?? CheckResult(check, .notVerified(reason))
        }
    }

    private static func judgeRTO(
        _ observation: DrillObservation, policy: DrillPolicy, hasRecovered: Bool, hasFailed: Bool
    ) -> CheckOutcome {
        let target = DurationText.format(policy.objectives.rto)
        guard let total = observation.recoveryTime?.total, hasRecovered else {
            guard let tried = observation.recoveryTime?.measured, tried > .zero else {
                let text = "there is no recovery time: nothing was restored"
                return hasFailed ? .failed(text) : .notVerified(text)
            }
            let text = "there is no recovery time: not recovered within \(DurationText.format(tried))"
            return hasFailed ? .failed(text) : .notVerified(text)
        }
        guard total <= policy.objectives.rto else {
            let excess = DurationText.format(total - policy.objectives.rto)
            return .failed(
                "recovery took \(DurationText.format(total)), which is \(excess) more than the RTO of \(target)")
        }
        return .passed
    }

    private static func judgeRPO(_ observation: DrillObservation, policy: DrillPolicy) -> CheckOutcome {
        let target = DurationText.format(policy.objectives.rpo)
        guard let point = observation.recoveryPoint else {
            return .notVerified(
                observation.results.isEmpty
                    ? "the recovery point is not known: nothing was restored"
                    : "the recovery point was not measured: the WAL that was replayed tells no time")
        }
        if point.actual > policy.objectives.rpo, policy.source.kind == .physical {
            let age = DurationText.format(point.actual)
            guard point.failure == nil else {
                return .failed(
                    "the last thing that the recovered WAL tells is \(age) before the end of the backup; the RPO is "
                        + target
                )
            }
            return .failed(
                point.isUpperBound
                    ? "the WAL that was recovered ends \(age) before the declared failure, so that up to so much may be "
                        + "lost; the RPO is \(target); with heartbeats in the WAL it would be known how much"
                    : "the WAL that was recovered ends \(age) before the declared failure; the RPO is \(target)")
        }
        if point.actual > policy.objectives.rpo {
            let which =
                switch policy.source.selection {
                case .latest: "newest"
                case .oldest: "oldest"
                case .id: "chosen"
                }
            return .failed(
                "the \(which) logical backup was \(DurationText.format(point.actual)) old at the declared failure; a "
                    + "logical backup can not be rolled forward; an RPO of \(target) needs WAL archiving")
        }
        guard point.actual + point.uncertainty <= policy.objectives.rpo else {
            return .notVerified(
                "the recovery point is \(DurationText.format(point.actual)) before the failure, but known only to "
                    + "± \(DurationText.format(point.uncertainty)); the RPO is \(target)")
        }
        return .passed
    }
}
