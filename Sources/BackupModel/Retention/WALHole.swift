/// Segments that are missing between stored ones, and whether anything that is promised is lost by it.
package struct WALHole: Sendable, Hashable {
    package var gap: WALGap
    /// The newest backup that does not reach the WAL behind the hole, which no later one reaches either; `nil` if nothing
    /// that is promised is lost.
    package var neededBy: RunID?
}

/// What tells WAL that was lost from WAL that nobody meant to keep.
package struct WALHoleEvidence: Sendable, Hashable {
    /// Whether there is something that only a server's archiver or a receiver stores.
    package var isArchived = false
    /// When physical backups began that were not committed: without an archive their WAL lies alone.
    package var unfinishedRuns: [Timestamp] = []

    package init() {}
}

extension WALRetention {
    /// The holes in what is stored, by timeline and position.
    ///
    /// A hole is needed when a backup leads to WAL behind it that no other backup reaches. Where WAL goes on only with a
    /// backup, nothing is: that is how it is kept before the window (``plan(at:believing:)``), and without an archive.
    package func holes(at now: Timestamp, _ evidence: WALHoleEvidence) -> [WALHole] {
        let scope = WALRetentionScope(self, at: now)
        let described = Dictionary(histories.map { ($0.timeline, $0) }) { first, _ in first }
        let paths = scope.known.map { TimelinePath(scope.reach.history(of: $0), size: coverage.segmentSize) }
        return coverage.gaps(histories: described).map { gap in
            WALHole(gap: gap, neededBy: isBeforeAnchor(gap, scope) ? nil : backup(before: gap, scope, paths, evidence))
        }
    }

    private func isBeforeAnchor(_ gap: WALGap, _ scope: WALRetentionScope) -> Bool {
        guard let anchor = scope.newestAnchor else { return false }
        return gap.first.timeline <= anchor.timeline
            && gap.last.number < coverage.segmentSize.number(containing: anchor.start)
    }

    private func backup(
        before gap: WALGap, _ scope: WALRetentionScope, _ paths: [TimelinePath], _ evidence: WALHoleEvidence
    ) -> RunID? {
        let size = coverage.segmentSize
        var found: Backup?
        for path in paths where path.segment(gap.first.number) == gap.first {
            guard let next = gap.next, path.segment(next.number) == next else { continue }
            let leading = (kept + expiring).filter { !$0.isDamaged && scope.reach.leads($0, to: path.history) }
            if leading.contains(where: { size.number(containing: $0.start) == next.number }) { continue }
            let before = leading.filter { $0.neededNumbers(size).upperBound < gap.first.number }
            guard let newest = before.max(by: Backup.isBefore) else { continue }
            if !evidence.isArchived, evidence.unfinishedRuns.contains(where: { $0 > newest.finishedAt }) { continue }
            found = [found, newest].compactMap(\.self).max(by: Backup.isBefore)
        }
        return found?.id
    }
}
