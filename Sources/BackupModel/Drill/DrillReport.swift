/// What a drill proved, as JSON: the record of which all other forms of the report are views.
///
/// A field without a value is absent. Null is a value: a check got SQL's NULL, or the chain has nothing in this place. A
/// number is a number, a time is RFC 3339 in UTC, and a length is in seconds under a name that ends in `_s` or is `s`.
package struct DrillReport: Sendable, Hashable, Codable {
    /// The format of the report and its version.
    package static let currentSchema = "apex-backup/drill-report/1"

    /// The format of the report and its version.
    package var schema = Self.currentSchema
    /// The drill's run.
    package var id: RunID
    /// The verdict.
    package var verdict: Verdict
    /// Why it is not PASS.
    package var reasons: [String]
    /// The policy as it was run.
    package var policy: PolicyRecord
    /// What recovery must achieve.
    package var objectives: ObjectiveRecord
    /// When it was.
    package var clock: ClockRecord
    /// How long recovery took.
    package var recoveryTime: RecoveryTimeRecord
    /// Up to which moment the restored data reach; absent if nothing was restored.
    package var recoveryPoint: RecoveryPointRecord?
    /// The backup that was restored; absent if there was none.
    package var backup: BackupRecord?
    /// How the WAL was replayed; absent for a logical backup, or if recovery was not begun.
    package var recovery: RecoveryRecord?
    /// The answers to the checks.
    package var checks: [CheckRecord]
    /// What somebody has to look at.
    package var findings: [DrillFinding]
    /// The server that was restored to; absent if none was made.
    package var target: TargetRecord?
    /// Whether the target is gone.
    package var cleanup: CleanupRecord
    /// Where the drill ran.
    package var environment: EnvironmentRecord
    /// What went otherwise than the policy says, or than a real recovery would.
    package var deviations: [String]
    /// What the numbers rest on without having been measured.
    package var assumptions: [String]
    /// What this drill does not prove.
    package var notTested: [String]
    /// What ties the report to the drills before it.
    package var chain: ChainRecord

    private enum CodingKeys: String, CodingKey {
        case schema, id, verdict, reasons, policy, objectives, clock
        case recoveryTime = "recovery_time"
        case recoveryPoint = "recovery_point"
        case backup, recovery, checks, findings, target, cleanup, environment, deviations, assumptions
        case notTested = "not_tested"
        case chain
    }

    /// Makes the report on a judged drill; what is known beside the judgement is set afterwards.
    package init(
        id: RunID, policy: DrillPolicy, policySHA256: String, clock: ClockRecord, observation: DrillObservation
    ) {
        let judged = DrillVerdict.judge(observation, policy: policy)
        self.id = id
        verdict = judged.verdict
        reasons = judged.reasons
        self.policy = PolicyRecord(policy, sha256: policySHA256)
        objectives = ObjectiveRecord(
            rto: ReportSeconds(policy.objectives.rto), rpo: ReportSeconds(policy.objectives.rpo),
            rtoVerdict: judged.rto.verdict, rpoVerdict: judged.rpo.verdict)
        self.clock = clock
        let recovery = judged.hasRecovered ? observation.recoveryTime : observation.recoveryTime?.withoutProof
        recoveryTime = RecoveryTimeRecord(recovery, since: clock.t0)
        recoveryPoint = observation.recoveryPoint.map(RecoveryPointRecord.init)
        checks = judged.checks.map(CheckRecord.init)
        findings = judged.findings
        cleanup = CleanupRecord(isDone: false, proof: [])
        environment = EnvironmentRecord()
        deviations = []
        assumptions = policy.assumptions
        notTested = policy.notTested
        chain = ChainRecord()
    }
}

extension DrillReport {
    /// The policy as it was run.
    package struct PolicyRecord: Sendable, Hashable, Codable {
        package var name: String
        package var version: Int?
        package var sha256: String
        package var owner: String?
        package var function: String?
        package var criticality: String?
        package var planReference: String?
        package var labels: [String: String]
        package var scenario: ScenarioRecord

        private enum CodingKeys: String, CodingKey {
            case name, version, sha256, owner, function, criticality
            case planReference = "plan_ref"
            case labels, scenario
        }

        init(_ policy: DrillPolicy, sha256: String) {
            name = policy.metadata.name
            version = policy.metadata.version
            self.sha256 = sha256
            owner = policy.metadata.owner
            function = policy.metadata.function
            criticality = policy.metadata.criticality?.rawValue
            planReference = policy.metadata.planReference
            labels = policy.metadata.labels
            scenario = ScenarioRecord(
                type: DrillPolicy.Scenario.type, text: policy.scenario.text, controls: policy.scenario.controls)
        }
    }

    /// What is supposed to have happened.
    package struct ScenarioRecord: Sendable, Hashable, Codable {
        package var type: String
        package var text: String?
        package var controls: [String]
    }

    /// What recovery must achieve, and whether it did.
    package struct ObjectiveRecord: Sendable, Hashable, Codable {
        package var rto: ReportSeconds
        package var rpo: ReportSeconds
        package var rtoVerdict: Verdict
        package var rpoVerdict: Verdict

        private enum CodingKeys: String, CodingKey {
            case rto = "rto_s"
            case rpo = "rpo_s"
            case rtoVerdict = "rto_verdict"
            case rpoVerdict = "rpo_verdict"
        }
    }

    /// When the drill was.
    package struct ClockRecord: Sendable, Hashable, Codable {
        /// The declared failure.
        package var t0: Timestamp
        /// When the last of the clean-up was done.
        package var finishedAt: Timestamp
        /// The server's clock minus that of the host that took the backup, when it did; absent without a backup.
        package var skewMilliseconds: Double?
        /// How far the true difference may be from it.
        package var skewUncertaintyMilliseconds: Double?

        private enum CodingKeys: String, CodingKey {
            case t0
            case finishedAt = "finished_at"
            case skewMilliseconds = "skew_ms"
            case skewUncertaintyMilliseconds = "skew_unc_ms"
        }

        package init(t0: Timestamp, finishedAt: Timestamp, difference: ClockDifference? = nil) {
            self.t0 = t0
            self.finishedAt = finishedAt
            skewMilliseconds = difference.map { Double($0.skew.wholeMicroseconds) / 1000 }
            skewUncertaintyMilliseconds = difference.map { Double($0.uncertainty.wholeMicroseconds) / 1000 }
        }
    }

    /// How long recovery took.
    ///
    /// `total_s` and `technical_s` are absent if recovery was not proved, and
    /// `not_recovered_within_s` is there instead.
    package struct RecoveryTimeRecord: Sendable, Hashable, Codable {
        package var total: ReportSeconds?
        package var technical: ReportSeconds?
        package var measured: ReportSeconds
        package var assumed: ReportSeconds
        package var notRecoveredWithin: ReportSeconds?
        package var phases: [PhaseRecord]

        private enum CodingKeys: String, CodingKey {
            case total = "total_s"
            case technical = "technical_s"
            case measured = "measured_s"
            case assumed = "assumed_s"
            case notRecoveredWithin = "not_recovered_within_s"
            case phases
        }

        init(_ time: RecoveryTime?, since t0: Timestamp) {
            total = time?.total.map(ReportSeconds.init)
            technical = time?.technical.map(ReportSeconds.init)
            measured = ReportSeconds(time?.measured ?? .zero)
            assumed = ReportSeconds(time?.assumed ?? .zero)
            notRecoveredWithin = time?.notRecoveredWithin.map(ReportSeconds.init)
            phases = time?.spans.map { PhaseRecord($0, since: t0) } ?? []
        }
    }

    /// One phase; `start` is absent where it is no single stretch of the drill's clock.
    package struct PhaseRecord: Sendable, Hashable, Codable {
        package var name: DrillSpan.Phase
        package var start: Timestamp?
        package var duration: ReportSeconds
        package var bytes: Int64?
        package var basis: DrillSpan.Basis
        /// Whether recovery waits for this phase.
        package var isPartOfRecovery: Bool

        private enum CodingKeys: String, CodingKey {
            case name, start
            case duration = "s"
            case bytes, basis
            case isPartOfRecovery = "in_recovery_time"
        }

        init(_ span: DrillSpan, since t0: Timestamp) {
            name = span.phase
            start = span.start.map { t0.advanced(by: $0) }
            duration = ReportSeconds(span.duration)
            bytes = span.bytes
            basis = span.basis
            isPartOfRecovery = span.phase.isPartOfRecovery
        }
    }

    /// Up to which moment the restored data reach.
    package struct RecoveryPointRecord: Sendable, Hashable, Codable {
        package var actual: ReportSeconds
        package var uncertainty: ReportSeconds
        package var basis: RecoveryPoint.Basis
        package var covered: Timestamp
        package var database: String?
        package var lsn: LogSequenceNumber?
        package var timeline: UInt32?
        /// Where the uncertainty comes from.
        package var uncertaintyBasis: String?
        /// The moment of the damage that recovery ends before; absent if it is the declared failure.
        package var failure: Timestamp?
        /// Whether at most this was lost; absent if it is just this.
        package var isUpperBound: Bool?
        /// How much WAL was written and not recovered, and what the end of it rests on; absent if that is not known.
        package var lostBytes: UInt64?
        package var lossBasis: RecoveryPoint.LossBasis?
        /// Where the source had written its WAL to at the declared failure; absent if it did not say so.
        package var sourceLSN: LogSequenceNumber?

        private enum CodingKeys: String, CodingKey {
            case actual = "rpa_s"
            case uncertainty = "uncertainty_s"
            case basis, covered, database
            case lsn = "lsn_end"
            case timeline
            case uncertaintyBasis = "uncertainty_basis"
            case failure
            case isUpperBound = "upper_bound"
            case lostBytes = "lost_bytes"
            case lossBasis = "lost_bytes_basis"
            case sourceLSN = "lsn_at_t0"
        }

        init(_ point: RecoveryPoint) {
            actual = ReportSeconds(point.actual)
            uncertainty = ReportSeconds(point.uncertainty)
            basis = point.basis
            covered = point.covered
            database = point.database
            lsn = point.lsn
            timeline = point.timeline
            failure = point.failure
            isUpperBound = point.isUpperBound ? true : nil
            lostBytes = point.loss?.bytes
            lossBasis = point.loss?.basis
            sourceLSN = point.source?.lsn
        }
    }

    /// The answer to one check.
    package struct CheckRecord: Sendable, Hashable, Codable {
        package var id: String
        package var type: DrillCheck.Kind
        package var isGating: Bool
        package var expected: Expectation
        package var got: CheckValue?
        package var verdict: Verdict
        package var reason: String?
        package var evidence: String?
        package var duration: ReportSeconds

        private enum CodingKeys: String, CodingKey {
            case id, type
            case isGating = "gating"
            case expected = "expect"
            case got, verdict, reason, evidence
            case duration = "s"
        }

        init(_ result: CheckResult) {
            id = result.id
            type = result.type
            isGating = result.isGating
            expected = result.expected
            got = result.got
            verdict = result.outcome.verdict
            reason = result.outcome.reason
            evidence = result.evidence
            duration = ReportSeconds(result.duration)
        }
    }
}
