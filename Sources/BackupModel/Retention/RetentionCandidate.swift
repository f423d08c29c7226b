/// What retention has to know of one backup.
package struct RetentionCandidate: Sendable, Hashable, Identifiable {
    package var id: RunID
    package var kind: BackupKind
    package var systemIdentifier: String
    /// What was asked for: a backup of one database does not stand in for one of all.
    package var scope: String
    package var startedAt: Timestamp
    package var isVerified: Bool
    package var isDamaged: Bool
    package var isHeld: Bool
    package var holdReason: String?

    package init(
        id: RunID, kind: BackupKind, systemIdentifier: String, scope: String = "", startedAt: Timestamp,
        isVerified: Bool = false,
        isDamaged: Bool = false, isHeld: Bool = false, holdReason: String? = nil
    ) {
        self.id = id
        self.kind = kind
        self.systemIdentifier = systemIdentifier
        self.scope = scope
        self.startedAt = startedAt
        self.isVerified = isVerified
        self.isDamaged = isDamaged
        self.isHeld = isHeld
        self.holdReason = holdReason
    }

    /// By start, then by name.
    static func isOlder(_ lhs: Self, _ rhs: Self) -> Bool {
        lhs.startedAt == rhs.startedAt ? lhs.id < rhs.id : lhs.startedAt < rhs.startedAt
    }
}
