/// A range of the log every position of which can be reached.
package struct RestorableWindow: Sendable, Hashable {
    /// The timeline to follow.
    package var timeline: UInt32
    /// Where the oldest of its backups is consistent, and the clock there.
    package var start: LogMark
    /// The end of its last segment; a server that stopped writing in the middle of that reaches less.
    package var end: LogSequenceNumber
    /// The undamaged backups that recovery in it can begin with, by where they are consistent.
    package var backups: [RunID]
    /// The segment for want of which it does not go on; `nil` if nothing later is stored.
    package var missing: WALSegmentName?
}

/// The ranges that can be reached along each timeline, by timeline, oldest first.
///
/// A range counts for the timeline on which it ends, and reaches back to its oldest backup, which may be one of an
/// ancestor. Damaged backups open none.
///
/// - Parameters:
///   - backups: The physical backups of one incarnation of a cluster.
///   - coverage: Its stored segments.
///   - histories: Its stored histories; without one, no timeline but 1 can be followed.
/// - Returns: The windows, none of which touches another of its timeline.
package func restorableWindows(
    _ backups: [RecoveryCandidate], coverage: WALCoverage, histories: [TimelineHistory]
) -> [RestorableWindow] {
    let histories = Dictionary(histories.map { ($0.timeline, $0) }) { first, _ in first }
    let timelines = Set(backups.map(\.timeline)).union(histories.keys).union(coverage.runs.keys)
    return timelines.sorted().flatMap { timeline -> [RestorableWindow] in
        guard let history = histories[timeline] ?? (timeline == 1 ? TimelineHistory(first: 1) : nil) else { return [] }
        return windows(backups, TimelinePath(history, size: coverage.segmentSize), coverage)
    }
}

private func windows(
    _ backups: [RecoveryCandidate], _ path: TimelinePath, _ coverage: WALCoverage
) -> [RestorableWindow] {
    var windows: [UInt64: RestorableWindow] = [:]
    for backup in backups.sorted(by: RecoveryCandidate.isOlder) where !backup.isDamaged && backup.isOn(path.history) {
        let numbers = backup.numbers(path.size)
        guard let last = path.last(from: numbers.lowerBound, in: coverage), last >= numbers.upperBound,
            last >= path.firstOwnNumber, let segment = path.segment(last)
        else { continue }
        var window =
            windows[last]
            ?? RestorableWindow(
                timeline: path.history.timeline, start: LogMark(backup.stop, backup.stoppedAt), end: segment.end,
                backups: [], missing: path.missing(after: last, in: coverage))
        window.backups.append(backup.id)
        windows[last] = window
    }
    return windows.sorted { $0.key < $1.key }.map(\.value)
}
