/// How a check ended.
package enum CheckOutcome: Sendable, Hashable {
    /// The answer was the expected one.
    case passed
    /// The answer was another one.
    case failed(String)
    /// There was no answer, for this reason.
    case notVerified(String)

    /// The word of the outcome in the report.
    package var verdict: Verdict {
        switch self {
        case .passed: .pass
        case .failed: .fail
        case .notVerified: .notVerified
        }
    }

    /// Why it did not pass.
    package var reason: String? {
        switch self {
        case .passed: nil
        case .failed(let reason), .notVerified(let reason): reason
        }
    }
}

/// The verdict on a check or on a whole drill.
package enum Verdict: String, Sendable, Hashable, Codable, CaseIterable {
    /// Proved.
    case pass
    /// Disproved.
    case fail
    /// Neither: something kept us from proving.
    case notVerified = "not_verified"

    /// The verdict in capitals, for people.
    package var headline: String {
        switch self {
        case .pass: "PASS"
        case .fail: "FAIL"
        case .notVerified: "NOT VERIFIED"
        }
    }

    /// The exit status of a drill with this verdict.
    package var exitStatus: Int32 {
        switch self {
        case .pass: 0
        case .fail: 1
        case .notVerified: 2
        }
    }
}

/// A check and its answer.
package struct CheckResult: Sendable, Hashable {
    /// The check.
    package var id: String
    /// Its kind.
    package var type: DrillCheck.Kind
    /// Whether the drill's verdict follows from it.
    package var isGating: Bool
    /// What was expected.
    package var expected: Expectation
    /// What was found, or `nil` if nothing was.
    package var got: CheckValue?
    /// How it ended.
    package var outcome: CheckOutcome
    /// What the answer rests on: counts by table, the request, the end of a program's output.
    package var evidence: String?
    /// How long it took.
    package var duration: Duration

    /// The answer to `check`.
    package init(
        _ check: DrillCheck, _ outcome: CheckOutcome, got: CheckValue? = nil, evidence: String? = nil,
        duration: Duration = .zero
    ) {
        id = check.id
        type = check.question.kind
        isGating = check.isGating
        expected = check.question.expectation
        self.got = got
        self.outcome = outcome
        self.evidence = evidence
        self.duration = duration
    }
}
