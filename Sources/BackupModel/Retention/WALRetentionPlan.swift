/// Which WAL goes, which stays and why, and which backups stay because of it.
///
/// It is carried out in this order, each step safe to repeat and each run planning anew: first the backups that go,
/// without ``rescued``, each by its tombstone; then WAL, oldest first, in the order of ``removed``. A run that is
/// killed has thus never taken WAL from a backup that still counts, and what it left of the log is in one piece: no
/// hole appears before something that stays.
package struct WALRetentionPlan: Sendable, Hashable {
    /// A backup that was to go, and stays.
    package struct Rescued: Sendable, Hashable {
        package var backup: WALRetention.Backup
        package var reasons: [Reason]

        package enum Reason: Sendable, Hashable {
            /// The newest that leads to the timeline and was finished before the window began.
            case anchor(timeline: UInt32)
            /// Moments of the window on the timeline, up to `end`, are reached from no backup that stays otherwise.
            case moments(timeline: UInt32, end: LogSequenceNumber)
            /// Without it the next run would take the timeline for one that was left before the anchor.
            case showsTimeline(UInt32)
            case held
        }
    }

    /// Segments of one timeline that must stay, stored or not; those of several reasons may overlap.
    package struct Needed: Sendable, Hashable {
        package var timeline: UInt32
        /// Up to the greatest possible number where everything that follows is needed.
        package var numbers: ClosedRange<UInt64>
        package var reason: Reason

        package enum Reason: Sendable, Hashable {
            /// Moments of the window are reached from this backup.
            case moments(from: RunID)
            /// The backup is not consistent without them.
            case consistency(of: RunID)
        }
    }

    /// Segments of one timeline, all of them stored, that go.
    package struct Removed: Sendable, Hashable {
        package var timeline: UInt32
        package var numbers: ClosedRange<UInt64>
        package var reason: Reason

        package enum Reason: Sendable, Hashable {
            /// They lead to the anchor, which nothing of the window precedes.
            case beforeAnchor(RunID)
            /// Their timeline does not lead to the anchor, and was left before it.
            case leftBeforeAnchor(RunID)
        }
    }

    /// The newest backup that was finished before the window began; `nil` when no WAL may go.
    package var anchor: WALRetention.Backup?
    /// The number of the segment in which the anchor starts: from it on nothing goes.
    package var floor: UInt64 = 0
    /// Oldest first.
    package var rescued: [Rescued] = []
    package var needed: [Needed] = []
    /// By timeline, ascending.
    package var removed: [Removed] = []

    package init() {}

    /// Whether a file of the archive goes: a segment by this plan, `.partial` and `.backup` with the segment whose name
    /// they have; a `.history` never, nor a file of an unknown kind.
    ///
    /// It also answers for files that came after the plan was made.
    package func removes(_ file: WALFileName) -> Bool {
        switch file {
        case .segment(let segment), .partial(let segment), .backup(let segment, _): removes(segment)
        case .history, .other: false
        }
    }

    /// Whether what is stored of a segment goes, its unfinished pieces too.
    package func removes(_ segment: WALSegmentName) -> Bool {
        guard let anchor, segment.timeline <= anchor.timeline, segment.number < floor else { return false }
        return !needed.contains { $0.timeline == segment.timeline && $0.numbers.contains(segment.number) }
    }

    /// Notes that a backup stays, once for each reason.
    mutating func rescue(_ backup: WALRetention.Backup, _ reason: Rescued.Reason) {
        if let index = rescued.firstIndex(where: { $0.backup.id == backup.id }) {
            if !rescued[index].reasons.contains(reason) { rescued[index].reasons.append(reason) }
        } else {
            rescued.append(Rescued(backup: backup, reasons: [reason]))
            rescued.sort { WALRetention.Backup.isBefore($0.backup, $1.backup) }
        }
    }
}

extension WALRetentionPlan.Rescued.Reason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .anchor(let timeline): "the window begins with it on timeline \(timeline)"
        case .moments(let timeline, let end):
            "only from it the window is restorable on timeline \(timeline) up to \(end)"
        case .showsTimeline(let timeline): "it shows that timeline \(timeline) went on"
        case .held: "held"
        }
    }
}

extension WALRetentionPlan.Needed.Reason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .moments(let id): "the window is restored from backup \(id)"
        case .consistency(let id): "backup \(id) is not consistent without it"
        }
    }
}

extension WALRetentionPlan.Removed.Reason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .beforeAnchor(let id): "before backup \(id), with which the window begins"
        case .leftBeforeAnchor(let id): "on a timeline that was left before backup \(id), with which the window begins"
        }
    }
}
