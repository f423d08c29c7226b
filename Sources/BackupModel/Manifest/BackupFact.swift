/// Something that happened to a backup after its commit: an immutable object of its own beside the manifest.
public struct BackupFact: Sendable, Hashable, Codable {
    /// What kinds of facts there are.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// The stored bytes, or the data in them, were read and compared.
        case verified
        /// The backup was restored.
        case restored
        /// A drill restored it and proved what came back.
        case drilled
        /// Retention must not touch it.
        case hold
        /// Retention may touch it again.
        case release
        /// Prune is removing it; it no longer counts.
        case tombstone
    }

    /// What happened.
    public var kind: Kind
    /// When.
    public var at: Timestamp
    /// The run that recorded it.
    public var run: RunID?
    /// Whether it went well: a failed verification is a fact too.
    public var succeeded: Bool
    /// The verification level (`list`, `checksum`, `deep`), or the drill's verdict.
    public var level: String?
    /// Why: a hold's reason, a failure, a retention rule.
    public var reason: String?
    /// How long it took.
    public var seconds: Double?
    /// Whether a restore or a drill took only a part of the backup; `nil` means all of it.
    ///
    /// It then proves nothing of the whole.
    public var partial: Bool?

    /// Makes a fact.
    public init(
        kind: Kind, at: Timestamp, run: RunID? = nil, succeeded: Bool = true, level: String? = nil,
        reason: String? = nil, seconds: Double? = nil, partial: Bool? = nil
    ) {
        self.kind = kind
        self.at = at
        self.run = run
        self.succeeded = succeeded
        self.level = level
        self.reason = reason
        self.seconds = seconds
        self.partial = partial
    }
}

/// How far a backup has been proved: captured → committed → verified → restored → drilled.
public enum LadderState: String, Sendable, Hashable, Codable, Comparable, CaseIterable {
    /// Data is being captured, or was, without a commit.
    case captured
    /// The manifest is there.
    case committed
    /// Its stored bytes were read back and were right, and no later verification failed.
    case verified
    /// It was restored without error.
    case restored
    /// A drill restored it and every gating check held.
    case drilled

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }

    /// Whether `lhs` is further down the ladder than `rhs`.
    public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rank < rhs.rank }

    /// The state that `facts` prove of a committed backup.
    ///
    /// A failed verification takes every earlier proof away.
    public static func proved(by facts: [BackupFact]) -> LadderState {
        facts.sorted { $0.at < $1.at }.reduce(.committed) { state, fact in
            switch fact.kind {
            case .verified where !fact.succeeded: .committed
            case .verified: max(state, fact.level == "list" ? .committed : .verified)
            case .restored where fact.succeeded && fact.partial != true: max(state, .restored)
            case .drilled where fact.succeeded && fact.partial != true: max(state, .drilled)
            default: state
            }
        }
    }
}
