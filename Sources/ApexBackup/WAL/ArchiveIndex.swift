import BackupModel
import BackupStorage
import Synchronization

/// What the archive says of its WAL, read as it is asked for: roll-ups of log folders, trailers of the segments that have
/// none, and a few segments themselves.
struct ArchiveIndex: RecoveryIndex {
    let rollUps: WALRollUps
    let histories: [TimelineHistory]
    private let known = Known()

    private var archive: WALArchive { rollUps.archive }

    init(_ rollUps: WALRollUps, histories: [TimelineHistory]) {
        self.rollUps = rollUps
        self.histories = histories
    }

    /// What was read already: a plan asks for the same more than once.
    private final class Known: Sendable {
        let summaries = Mutex(RecentValues<WALSegmentName, WALSegmentSummary>(limit: 512))
        let overviews = Mutex(RecentValues<WALSegmentRange, WALOverview>(limit: 8192))
    }

    func overview(of segments: WALSegmentRange) throws(BackupError) -> WALOverview {
        if let overview = known.overviews.withLock({ $0[segments] }) { return overview }
        var overview = WALOverview()
        if let summary = try exact(segments) {
            overview = summary.overview
        } else {
            for segment in segments.names { overview.add(try summary(of: segment)) }
        }
        known.overviews.withLock { $0[segments] = overview }
        return overview
    }

    /// What the roll-up of a folder says together, if these are all of its segments and nothing behind them counts.
    private func exact(_ segments: WALSegmentRange) throws(BackupError) -> WALLogSummary? {
        guard let log = segments.wholeLog, let summary = try rollUps.entry(of: log)?.summary, !summary.isOpen else {
            return nil
        }
        return summary
    }

    /// Whether a roll-up says that no transaction ends in these segments, all of which can be read.
    func isWithoutTransactions(_ segments: WALSegmentRange) throws(BackupError) -> Bool {
        guard let overview = try exact(segments)?.overview else { return false }
        return overview.lastTransactionEnd == nil && overview.firstUnreadable == nil
    }

    func summary(of segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary {
        if let summary = known.summaries.withLock({ $0[segment] }) { return summary }
        let summary = try read(segment)
        known.summaries.withLock { $0[segment] = summary }
        return summary
    }

    /// Reads what a segment's roll-up or trailer says, and completes it by those behind it.
    private func read(_ segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary {
        guard var summary = try stored(segment) else { throw WALArchive.missing(segment) }
        var following: [WALSegmentSummary] = []
        var last = segment
        while summary.complete(with: following) == .needsMore, let next = try follower(of: last),
            let after = try stored(next)
        {
            following.append(after)
            last = next
        }
        return summary
    }

    /// What a stored segment's roll-up or trailer says.
    ///
    /// A trailer that cannot be believed is an obstacle on the way behind it, and none on the way before it.
    private func stored(_ segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary? {
        if let indexed = try rollUps.segment(segment) { return indexed.summary }
        do throws(BackupError) {
            return try archive.summary(of: segment)
        } catch {
            guard error.code == .objectDamaged else { throw error }
            return WALSegmentSummary(
                unknown: segment, of: "\(archive.systemIdentifier)", why: error.reason ?? error.message)
        }
    }

    func firstTransactionEnd(
        _ condition: TransactionEndCondition, in segment: WALSegmentName, from position: LogSequenceNumber
    ) throws(BackupError) -> LogMark? {
        let found = try archive.transactionEnd(
            .first, in: segment, following: { last throws(BackupError) in try follower(of: last) },
            where: { $0.lsn >= position && condition.includes(time: $0.time, transactionID: $0.transactionID) })
        return found.map { LogMark($0.lsn, $0.time) }
    }

    /// The changes, in these segments, of the settings that a standby must match; of a whole log folder the greatest
    /// values together.
    func parameterChanges(in ranges: [WALSegmentRange]) throws(BackupError) -> [HotStandbyParameters] {
        var changes: [HotStandbyParameters] = []
        for range in ranges.lazy.flatMap(\.byLog) {
            if let summary = try exact(range) {
                if let greatest = summary.greatestParameters { changes.append(greatest) }
                continue
            }
            for segment in range.names {
                changes += try summary(of: segment).parameterChanges.entries.map { HotStandbyParameters($0.parameters) }
            }
        }
        return changes
    }

    /// The tablespaces that the WAL makes in these segments, in directories of their own.
    func tablespaceCreations(
        in ranges: [WALSegmentRange]
    ) throws(BackupError) -> [WALSegmentSummary.TablespaceCreation] {
        var creations: [WALSegmentSummary.TablespaceCreation] = []
        for range in ranges.lazy.flatMap(\.byLog) {
            if let summary = try exact(range), summary.overview.tablespaceCreations == 0 { continue }
            for segment in range.names { creations += try summary(of: segment).tablespaceCreations.entries }
        }
        return creations.filter { !$0.location.isEmpty }
    }

    /// The stored segment that goes on where this one ends: of its timeline, or else of one that left it there or later.
    func follower(of segment: WALSegmentName) throws(BackupError) -> WALSegmentName? {
        if let next = segment.next, try archive.isStored(next) { return next }
        for history in histories where history.timeline > segment.timeline {
            guard let next = history.segment(segment.number + 1, size: segment.size), next.timeline > segment.timeline,
                history.ancestors.contains(where: { $0.timeline == segment.timeline && $0.end >= segment.end }),
                try archive.isStored(next)
            else { continue }
            return next
        }
        return nil
    }
}

extension WALSegmentRange {
    /// The names, one by one.
    var names: some BidirectionalCollection<WALSegmentName> {
        numbers.lazy.compactMap { WALSegmentName(timeline: timeline, number: $0, segmentSize: size) }
    }

    /// The same segments, cut where a log folder ends.
    var byLog: [WALSegmentRange] {
        logs.compactMap { log in
            log.segments(size).map { folder in
                WALSegmentRange(timeline: timeline, numbers: folder.numbers.clamped(to: numbers), size: size)
            }
        }
    }
}
