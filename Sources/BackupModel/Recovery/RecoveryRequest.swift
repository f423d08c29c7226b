/// What a recovery is asked for.
package struct RecoveryRequest: Sendable, Hashable {
    /// What happens when the moment cannot be reached.
    package enum Otherwise: Sendable, Hashable {
        /// Nothing but a refusal that names the moments that can.
        case refuse
        /// The last moment before it that can be reached; without one, the first behind it.
        case nearest
    }

    /// Where recovery is to end.
    package var moment: RestoreMoment
    /// Whether what is exactly at the moment is recovered too; for a transaction, a position or a time.
    package var isInclusive: Bool
    /// The timeline to follow; without one, the newest that production was seen on.
    package var timeline: UInt32?
    /// The backup to begin with; without one, the newest from which the moment is reached.
    package var backup: RunID?
    package var otherwise: Otherwise

    package init(
        _ moment: RestoreMoment, isInclusive: Bool = true, timeline: UInt32? = nil, backup: RunID? = nil,
        otherwise: Otherwise = .refuse
    ) {
        self.moment = moment
        self.isInclusive = isInclusive
        self.timeline = timeline
        self.backup = backup
        self.otherwise = otherwise
    }
}
