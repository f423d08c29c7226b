/// What a decision about WAL and its proof look at: the timelines of the window, and what leads to them.
struct WALRetentionScope {
    /// A backup that recovery along a history can begin with, and the position behind the last that it reaches.
    struct Way {
        var backup: WALRetention.Backup
        var end: LogSequenceNumber
    }

    let reach: WALReach
    /// The beginning of the window.
    let since: Timestamp
    /// All timelines of which anything is known, ascending.
    let known: [UInt32]
    /// Those on which moments of the window may be, ascending.
    let promised: [UInt32]
    /// The newest undamaged backup that was finished before the window began and can be restored.
    let newestAnchor: WALRetention.Backup?
    private let backups: [WALRetention.Backup]

    init(_ retention: WALRetention, at now: Timestamp) {
        let reach = WALReach(retention.coverage, retention.histories)
        let since = now.advanced(by: .zero - max(.zero, retention.window))
        let backups = retention.kept + retention.expiring
        let known = Set(retention.coverage.runs.keys).union(retention.histories.map(\.timeline))
            .union(backups.map(\.timeline)).sorted()
        let histories = known.map(reach.history)
        let anchor = backups.filter { backup in
            !backup.isDamaged && backup.finishedAt <= since
                && histories.contains { reach.end(of: backup, along: $0) != nil }
        }.max { ($0.finishedAt, $0.timeline, $0.stop, $0.id) < ($1.finishedAt, $1.timeline, $1.stop, $1.id) }
        self.reach = reach
        self.since = since
        self.backups = backups
        self.known = known
        newestAnchor = anchor
        promised = known.filter { timeline in
            guard let anchor, timeline < anchor.timeline else { return true }
            return backups.contains { $0.timeline == timeline && $0.finishedAt > anchor.finishedAt }
        }
    }

    /// The backup that shows that a timeline older than the newest anchor's went on after it, of those to prefer if one
    /// does; `nil` for other timelines.
    func witness(of timeline: UInt32, preferring preferred: Set<RunID>) -> WALRetention.Backup? {
        guard let newestAnchor, timeline < newestAnchor.timeline else { return nil }
        let later = backups.filter { $0.timeline == timeline && $0.finishedAt > newestAnchor.finishedAt }
            .sorted { ($0.finishedAt, $0.id) < ($1.finishedAt, $1.id) }
        return later.last { preferred.contains($0.id) } ?? later.last
    }

    /// The undamaged backups from which recovery along the history gets to its end.
    func ways(along history: TimelineHistory) -> [Way] {
        backups.compactMap { backup in
            guard !backup.isDamaged, let end = reach.end(of: backup, along: history) else { return nil }
            return Way(backup: backup, end: end)
        }
    }

    /// The one that reaches most of the window, of those that were finished before it began.
    func anchor(among ways: [Way]) -> Way? {
        ways.filter { $0.backup.finishedAt <= since }.max { WALRetention.Backup.isBefore($0.backup, $1.backup) }
    }

    /// A position before which nothing of the window is on this history: the greatest stop of any backup on it that was
    /// finished before the window began, damaged or not.
    func bound(along history: TimelineHistory) -> LogSequenceNumber {
        backups.filter { $0.finishedAt <= since && reach.leads($0, to: history) }.map(\.stop).max()
            ?? LogSequenceNumber(position: 0)
    }

    /// A timeline of the window of which it cannot be told what leads to it: its history is missing, and no anchor is
    /// on it.
    func withoutHistory(_ histories: [TimelineHistory]) -> UInt32? {
        let described = Set(histories.map(\.timeline))
        return promised.first { timeline in
            guard timeline > 1, !described.contains(timeline) else { return false }
            return anchor(among: ways(along: reach.history(of: timeline))) == nil
        }
    }
}
