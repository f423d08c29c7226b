/// Why a backup stays.
package enum KeepReason: Sendable, Hashable {
    case held(reason: String?)
    /// Younger than the policy's number of days.
    case recent(days: Int)
    /// Among the policy's number of newest ones.
    case counted(limit: Int)
    /// The newest of its day, week, month or year.
    case slot(CalendarPeriod, name: String)
    /// Among the newest undamaged ones, which always stay.
    case minimum(Int)
    case newestVerified
    case newestUndamaged
    /// Moments that are promised are restored from it: why.
    case recovery(String)
    /// The policy has no rule that lets a backup expire.
    case noRule
}

extension KeepReason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .held(nil): "held"
        case .held(let reason?): "held: \(reason)"
        case .recent(let days): "within \(days) days"
        case .counted(let limit): "among the \(limit) newest"
        case .slot(let period, let name): "\(period.rawValue) \(name)"
        case .minimum(let count): "minimum of \(count)"
        case .newestVerified: "newest verified"
        case .newestUndamaged: "newest undamaged"
        case .recovery(let why): why
        case .noRule: "no retention rule is set"
        }
    }
}

/// What retention keeps and what it lets go, each with its reason, oldest first.
package struct RetentionPlan: Sendable, Hashable {
    package struct Kept: Sendable, Hashable {
        package var candidate: RetentionCandidate
        package var reasons: [KeepReason]
    }

    package struct Expired: Sendable, Hashable {
        package var candidate: RetentionCandidate
        package var reason: String
    }

    package var kept: [Kept] = []
    package var expired: [Expired] = []
}

extension RetentionPlan {
    /// Keeps what is needed so that the promised moments stay restorable.
    package mutating func keep(_ rescued: [WALRetentionPlan.Rescued]) {
        for backup in rescued {
            guard let index = expired.firstIndex(where: { $0.candidate.id == backup.backup.id }) else { continue }
            let reasons = backup.reasons.map { KeepReason.recovery("\($0)") }
            kept.append(Kept(candidate: expired.remove(at: index).candidate, reasons: reasons))
        }
        kept.sort { RetentionCandidate.isOlder($0.candidate, $1.candidate) }
    }
}
