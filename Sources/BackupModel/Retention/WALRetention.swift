/// Decides which WAL of one incarnation of a cluster may go together with physical backups, and which of these must
/// stay because of the WAL.
///
/// It promises that what can be restored of any moment of the last ``window`` stays restorable, that each backup that
/// stays keeps the WAL that makes it consistent, and that no timeline loses its history.
package struct WALRetention: Sendable, Hashable {
    /// What has to be known of a physical backup.
    package struct Backup: Sendable, Hashable, Identifiable {
        package var id: RunID
        /// Where recovery begins, and where the data is consistent, both on `timeline`.
        package var start: LogSequenceNumber
        package var stop: LogSequenceNumber
        package var timeline: UInt32
        /// When it was complete: whatever is before its stop was written before.
        package var finishedAt: Timestamp
        package var isHeld: Bool
        package var isDamaged: Bool

        package init(
            id: RunID, start: LogSequenceNumber, stop: LogSequenceNumber, timeline: UInt32, finishedAt: Timestamp,
            isHeld: Bool = false, isDamaged: Bool = false
        ) {
            self.id = id
            self.start = start
            self.stop = stop
            self.timeline = timeline
            self.finishedAt = finishedAt
            self.isHeld = isHeld
            self.isDamaged = isDamaged
        }
    }

    /// A backup that is being taken.
    package struct Running: Sendable, Hashable, Identifiable {
        package var id: RunID
        package var startedAt: Timestamp

        package init(id: RunID, startedAt: Timestamp) {
            self.id = id
            self.startedAt = startedAt
        }
    }

    /// The backups that other rules keep.
    package var kept: [Backup]
    /// Those that other rules let go.
    package var expiring: [Backup]
    package var running: [Running]
    /// The whole segments that are stored.
    package var coverage: WALCoverage
    /// The histories that are stored; timeline 1 has none.
    package var histories: [TimelineHistory]
    /// For how long every moment stays restorable.
    package var window: Duration

    package init(
        kept: [Backup], expiring: [Backup], running: [Running] = [], coverage: WALCoverage,
        histories: [TimelineHistory], window: Duration
    ) {
        self.kept = kept
        self.expiring = expiring
        self.running = running
        self.coverage = coverage
        self.histories = histories
        self.window = window
    }
}

extension WALRetention {
    /// Decides, and proves that the decision keeps its promises.
    ///
    /// The anchor of a timeline is the newest backup, undamaged and restorable, that leads to it and was finished
    /// before the window began. It stays, and so does all WAL from its start on. A timeline is looked at when moments
    /// of the window can be on it: when it is not older than the newest anchor's, or a backup was taken on it after
    /// that anchor. Behind a hole the first backup that leads on stays as well. WAL goes only where it is before the
    /// newest anchor, on the anchor's timeline and on older ones, and nothing that stays needs it; without an anchor,
    /// none goes. Nor does any go while a backup runs that was begun before the anchor was finished: its start may be
    /// before the anchor's. The clock is judged by `clock`, unless that is `nil` because it is known to be right.
    ///
    /// - Throws: `clockImplausible`; `pruneRefused` when the history of a timeline is missing without which it is not
    ///   known what leads there, and when the proof fails.
    package func plan(at now: Timestamp, believing clock: ClockGuard.History?) throws(BackupError) -> WALRetentionPlan {
        if let clock, let refusal = ClockGuard.refusal(now: now, history: clock) { throw refusal }
        let scope = WALRetentionScope(self, at: now)
        var plan = WALRetentionPlan()
        choose(in: scope, for: &plan)
        addConsistency(in: scope, to: &plan)
        if let anchor = scope.newestAnchor, running.allSatisfy({ $0.startedAt > anchor.finishedAt }) {
            plan.anchor = anchor
            plan.floor = coverage.segmentSize.number(containing: anchor.start)
            plan.removed = removals(plan, anchor)
        }
        if !plan.removed.isEmpty || expiring.count > plan.rescued.count, let timeline = scope.withoutHistory(histories)
        {
            throw Self.historyMissing(timeline)
        }
        try requireProof(of: plan, at: now)
        return plan
    }

    /// Chooses the backups from which the moments of the window are reached.
    private func choose(in scope: WALRetentionScope, for plan: inout WALRetentionPlan) {
        for backup in expiring where backup.isHeld { plan.rescue(backup, .held) }
        if let anchor = scope.newestAnchor, expiring.contains(anchor) {
            plan.rescue(anchor, .anchor(timeline: anchor.timeline))
        }
        let keptIDs = Set(kept.map(\.id))
        for timeline in scope.promised {
            if let witness = scope.witness(of: timeline, preferring: keptIDs), !keptIDs.contains(witness.id) {
                plan.rescue(witness, .showsTimeline(timeline))
            }
            let history = scope.reach.history(of: timeline)
            let ways = scope.ways(along: history)
            let bound = scope.bound(along: history)
            let anchor = scope.anchor(among: ways)
            var chosen: [(backup: Backup, reason: WALRetentionPlan.Rescued.Reason)] = []
            if let anchor { chosen.append((anchor.backup, .anchor(timeline: timeline))) }
            let runs = Dictionary(grouping: ways.filter { bound < $0.end }, by: \.end).sorted { $0.key < $1.key }
            for (end, run) in runs where end != anchor?.end {
                let edge = max(bound, run.map(\.backup.stop).min() ?? bound)
                let early = run.map(\.backup).filter { $0.stop <= edge }.sorted(by: Backup.isBefore)
                guard let way = early.last(where: { keptIDs.contains($0.id) }) ?? early.last else { continue }
                chosen.append((way, .moments(timeline: timeline, end: end)))
            }
            for (backup, reason) in chosen {
                if !keptIDs.contains(backup.id) { plan.rescue(backup, reason) }
                let first = coverage.segmentSize.number(containing: backup.start)
                plan.needed += scope.reach.files(
                    in: first...coverage.segmentSize.greatestNumber, along: history
                ).map { .init(timeline: $0.timeline, numbers: $0.numbers, reason: .moments(from: backup.id)) }
            }
        }
    }

    /// Adds the WAL without which a backup that stays is not consistent, on each timeline that it may be read from.
    private func addConsistency(in scope: WALRetentionScope, to plan: inout WALRetentionPlan) {
        for backup in (kept + plan.rescued.map(\.backup)).sorted(by: Backup.isBefore) {
            let numbers = backup.neededNumbers(coverage.segmentSize)
            var files = Set([WALReach.Files(timeline: backup.timeline, numbers: numbers)])
            for timeline in scope.known {
                let history = scope.reach.history(of: timeline)
                guard scope.reach.leads(backup, to: history) else { continue }
                files.formUnion(scope.reach.files(in: numbers, along: history).filter { $0.timeline > backup.timeline })
            }
            plan.needed += files.sorted().map {
                .init(timeline: $0.timeline, numbers: $0.numbers, reason: .consistency(of: backup.id))
            }
        }
    }

    private func removals(_ plan: WALRetentionPlan, _ anchor: Backup) -> [WALRetentionPlan.Removed] {
        guard plan.floor > 0 else { return [] }
        let leading = WALReach(coverage, histories).history(of: anchor.timeline).ancestorTimelines
        var removed: [WALRetentionPlan.Removed] = []
        for timeline in coverage.runs.keys.sorted() where timeline <= anchor.timeline {
            let needed = plan.needed.filter { $0.timeline == timeline }.map(\.numbers)
            let isLeading = timeline == anchor.timeline || leading.contains(timeline)
            for run in coverage.runs[timeline] ?? [] where run.lowerBound < plan.floor {
                let old = run.lowerBound...min(run.upperBound, plan.floor - 1)
                removed += old.subtracting(needed).map {
                    .init(
                        timeline: timeline, numbers: $0,
                        reason: isLeading ? .beforeAnchor(anchor.id) : .leftBeforeAnchor(anchor.id))
                }
            }
        }
        return removed
    }

    private static func historyMissing(_ timeline: UInt32) -> BackupError {
        let name = "\(timeline.eightHexDigits).history"
        return BackupError(
            .pruneRefused,
            "It is not known where timeline \(timeline) comes from, and so not which backup leads there.",
            reason: "\(name) is not in the archive",
            remedy: "Archive it again with 'apex-backup wal push': it is in pg_wal of the server or of a standby. Or "
                + "take a base backup on that timeline: when it is older than the window, the file is not needed.",
            unchanged: "No backup and no WAL was removed.")
    }
}

extension WALRetention.Backup {
    /// By what they reach first, then by start and name.
    static func isBefore(_ lhs: Self, _ rhs: Self) -> Bool {
        (lhs.stop, lhs.start, lhs.id) < (rhs.stop, rhs.start, rhs.id)
    }

    /// The numbers of the segments from its start to its stop.
    func neededNumbers(_ size: WALSegmentSize) -> ClosedRange<UInt64> {
        let last = stop > start ? LogSequenceNumber(position: stop.position - 1) : start
        return size.number(containing: start)...size.number(containing: last)
    }
}

extension ClosedRange<UInt64> {
    /// What is left of it without `others`, ascending.
    func subtracting(_ others: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
        var rest: [ClosedRange<UInt64>] = []
        var next = lowerBound
        for other in others.sorted(by: { $0.lowerBound < $1.lowerBound }) where other.upperBound >= next {
            guard other.lowerBound <= upperBound else { break }
            if other.lowerBound > next { rest.append(next...other.lowerBound - 1) }
            guard other.upperBound < upperBound else { return rest }
            next = other.upperBound + 1
        }
        return rest + [next...upperBound]
    }
}
