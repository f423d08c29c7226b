extension WALRetention {
    /// Compares what can be restored before and after the plan; it does not look at how the plan was made.
    ///
    /// On each timeline of the window, every position from the beginning of the window on that can be reached before
    /// must be reached after, and each backup that stays and was consistent must still be.
    ///
    /// - Throws: `pruneRefused`, naming what would be lost.
    func requireProof(of plan: WALRetentionPlan, at now: Timestamp) throws(BackupError) {
        let scope = WALRetentionScope(self, at: now)
        guard plan.removed.isEmpty || scope.newestAnchor != nil else {
            throw Self.proofFailed("WAL would go although no backup was finished before the window began")
        }
        let rescued = Set(plan.rescued.map(\.backup.id))
        let staying = kept + expiring.filter { rescued.contains($0.id) }
        let after = WALReach(coverage.removing(plan.removed), histories)
        let histories = scope.known.map(scope.reach.history)
        for backup in staying {
            let isConsistent = { (reach: WALReach) in histories.contains { reach.end(of: backup, along: $0) != nil } }
            guard isConsistent(after) || !isConsistent(scope.reach) else {
                throw Self.proofFailed("backup \(backup.id) would lose WAL without which it is not consistent")
            }
        }
        for timeline in scope.promised {
            let history = scope.reach.history(of: timeline)
            let bound = scope.bound(along: history)
            let before = Self.stretches(kept + expiring, scope.reach, along: history, from: bound)
            let left = Self.stretches(staying, after, along: history, from: bound)
            for lost in before
            where !left.contains(where: { $0.contains(lost.lowerBound) && $0.upperBound >= lost.upperBound }) {
                throw Self.proofFailed(
                    "of timeline \(timeline), what is restorable from \(lost.lowerBound) to \(lost.upperBound) would "
                        + "no longer all be")
            }
        }
    }

    /// The stretches that can be reached from undamaged backups, apart from each other and ascending.
    private static func stretches(
        _ backups: [Backup], _ reach: WALReach, along history: TimelineHistory, from bound: LogSequenceNumber
    ) -> [Range<LogSequenceNumber>] {
        var stretches: [Range<LogSequenceNumber>] = []
        for backup in backups.filter({ !$0.isDamaged }).sorted(by: Backup.isBefore) {
            let first = max(backup.stop, bound)
            guard let end = reach.end(of: backup, along: history), first < end else { continue }
            if let last = stretches.last, first <= last.upperBound {
                stretches[stretches.count - 1] = last.lowerBound..<max(last.upperBound, end)
            } else {
                stretches.append(first..<end)
            }
        }
        return stretches
    }

    private static func proofFailed(_ what: String) -> BackupError {
        BackupError(
            .pruneRefused, "The plan to remove WAL would break a promise.", reason: what,
            remedy: "This is a fault of apex-backup. Report it, with the output of 'apex-backup wal status --json' and "
                + "'apex-backup list --json'.",
            unchanged: "No backup and no WAL was removed.")
    }
}

extension WALCoverage {
    /// What is stored after the segments are gone.
    fileprivate func removing(_ removed: [WALRetentionPlan.Removed]) -> WALCoverage {
        var rest = WALCoverage(segmentSize: segmentSize)
        for (timeline, runs) in runs {
            let gone = removed.filter { $0.timeline == timeline }.map(\.numbers)
            for numbers in runs.flatMap({ $0.subtracting(gone) }) { rest.insert(numbers, timeline: timeline) }
        }
        return rest
    }
}
