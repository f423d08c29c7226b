/// Decides how a moment is recovered from the physical backups and the WAL of one incarnation of a cluster.
///
/// It knows the rules by which a server stops (PostgreSQL, src/backend/access/transam/xlogrecovery.c, `recoveryStopsBefore`
/// and `recoveryStopsAfter`), so that no plan ends in "recovery ended before configured recovery target was reached" or
/// "requested recovery stop point is before consistent recovery point", both of which are fatal:
///
/// - a time is met by the first commit or rollback, in the order of the log, with a later time (or, not inclusive, that
///   time); times do not ascend, and no other record counts;
/// - a position is met by the first record that begins at it or behind it;
/// - a restore point is met by the first record of its name, and a transaction by its end.
///
/// What is not met in the stored WAL is told to the server as a position at which a record certainly begins. "The end
/// of the WAL" would not do in its place: WAL that is stored after the plan was made would be recovered too.
package struct RecoveryPlanner<Index: RecoveryIndex> {
    let backups: [RecoveryCandidate]
    let coverage: WALCoverage
    let histories: [UInt32: TimelineHistory]
    let production: Set<UInt32>
    let index: Index

    /// - Parameters:
    ///   - backups: Those that are there, damaged ones too.
    ///   - coverage: The segments that are both indexed and stored.
    ///   - histories: The stored history files; timeline 1 needs none.
    ///   - production: The timelines that production was seen on.
    ///   - index: What the segments say.
    package init(
        backups: [RecoveryCandidate], coverage: WALCoverage, histories: [TimelineHistory], production: Set<UInt32>,
        index: Index
    ) {
        self.backups = backups
        self.coverage = coverage
        self.histories = Dictionary(histories.map { ($0.timeline, $0) }) { first, _ in first }
        self.production = production
        self.index = index
    }

    /// Plans a recovery.
    ///
    /// - Throws: `usage` for a backup or a timeline that is not there, or a transaction without a backup;
    ///   `objectMissing` for a history; `walMissing`, `walSegmentInvalid` or `momentUnreachable`, with the moments that
    ///   can be reached, for one that cannot; and what the index throws.
    package func plan(_ request: RecoveryRequest) throws(BackupError) -> RecoveryPlan {
        let named = try namedBackup(request)
        let (timeline, reason) = try timeline(for: request, named)
        guard let history = history(of: timeline) else { throw missingHistory(timeline) }
        let path = TimelinePath(history, size: coverage.segmentSize)
        let onPath = (named.map { [$0] } ?? backups).filter { $0.isOn(history) }
        let course = RecoveryCourse(
            request: request, backups: onPath.sorted { RecoveryCandidate.isOlder($1, $0) }, isNamed: named != nil,
            coverage: coverage, path: path, search: RecoverySearch(index: index, path: path))
        if let named, onPath.isEmpty { throw offPath(named, timeline) }
        var ending = try ending(of: course)
        ending.reasons.insert(reason, at: 0)
        return try finish(ending, path)
    }

    private func ending(of course: RecoveryCourse<Index>) throws(BackupError) -> RecoveryCourse<Index>.Ending {
        switch try course.ending() {
        case .reached(let ending): return ending
        case .refused(let refusal, let instead):
            guard course.request.otherwise == .nearest, let instead else { throw refusal.error }
            return instead
        }
    }
}

// MARK: Timelines

extension RecoveryPlanner {
    private func history(of timeline: UInt32) -> TimelineHistory? {
        histories[timeline] ?? (timeline == 1 ? TimelineHistory(first: 1) : nil)
    }

    private var knownTimelines: Set<UInt32> {
        Set(histories.keys).union(coverage.runs.keys).union(backups.map(\.timeline))
    }

    private func timeline(
        for request: RecoveryRequest, _ named: RecoveryCandidate?
    ) throws(BackupError) -> (UInt32, RecoveryReason) {
        if let timeline = request.timeline {
            guard knownTimelines.contains(timeline) else {
                let known = knownTimelines.sorted().map(String.init).joined(separator: ", ")
                throw Self.usage(
                    "Nothing is stored of timeline \(timeline).",
                    known.isEmpty ? "Take a backup first." : "Name one of the timelines that are stored: \(known).")
            }
            return (timeline, .timelineNamed(timeline))
        }
        if request.moment == .immediate, let named { return (named.timeline, .timelineOfBackup(named.timeline)) }
        if let newest = production.max() { return (newest, .timelineOfProduction(newest)) }
        let newest = backups.max(by: RecoveryCandidate.isOlder)?.timeline ?? knownTimelines.max() ?? 1
        return (newest, .timelineOfNewestBackup(newest))
    }

    private func namedBackup(_ request: RecoveryRequest) throws(BackupError) -> RecoveryCandidate? {
        guard let id = request.backup else {
            if case .transaction(let number) = request.moment {
                throw Self.usage(
                    "Recovery to transaction \(number) needs the backup to begin with.",
                    reason: "transactions do not end in the order of their numbers, which are used again after four "
                        + "billion",
                    "Name a backup that ended before the transaction did: 'apex-backup restore BACKUP --to "
                        + "xid:\(number)'.")
            }
            return nil
        }
        guard let backup = backups.first(where: { $0.id == id }) else {
            let guess = nearest(to: id.text, among: backups.map(\.id.text)).map { "Did you mean \($0)? " } ?? ""
            throw BackupError(
                .backupMissing, "There is no physical backup \(id).",
                remedy: "\(guess)'apex-backup list' shows those there are.", unchanged: "Nothing was restored.")
        }
        return backup
    }

    private func offPath(_ backup: RecoveryCandidate, _ timeline: UInt32) -> BackupError {
        BackupError(
            .momentUnreachable, "No recovery from backup \(backup.id) leads to timeline \(timeline).",
            reason: "it is of timeline \(backup.timeline) and ended at \(backup.stop), which is not on the way there",
            remedy: "Add --timeline \(backup.timeline) to follow the timeline of the backup, or name another backup.",
            unchanged: "Nothing was restored.")
    }

    private func missingHistory(_ timeline: UInt32) -> BackupError {
        let file = "\(timeline.eightHexDigits).history"
        return BackupError(
            .objectMissing, "The cluster cannot be recovered along timeline \(timeline).",
            reason: "\(file) is not stored, and no server follows a timeline without it",
            remedy: "Store \(file) from pg_wal of the server that is on timeline \(timeline), or of a standby of it, "
                + "with 'apex-backup wal push'; or name another timeline.",
            unchanged: "Nothing was restored.")
    }

    private static func usage(_ message: String, reason: String? = nil, _ remedy: String) -> BackupError {
        BackupError(.usage, message, reason: reason, remedy: remedy, unchanged: "Nothing was restored.")
    }
}

// MARK: The plan

extension RecoveryPlanner {
    private func finish(
        _ ending: RecoveryCourse<Index>.Ending, _ asked: TimelinePath
    ) throws(BackupError) -> RecoveryPlan {
        let size = coverage.segmentSize
        let numbers = size.number(containing: ending.backup.start)...ending.last
        let told = told(ending, asked, numbers)
        var reasons = ending.reasons
        if told.history.timeline != asked.history.timeline {
            reasons.append(.endsOnAncestor(told.history.timeline, of: asked.history.timeline))
        }
        let first = ending.backup.start
        let stretches = told.history.path.filter { stretch in
            stretch.start <= ending.greatest && stretch.end.map { $0 > first } ?? true
        }
        return RecoveryPlan(
            backup: ending.backup, timeline: told.history.timeline, path: stretches,
            segments: told.segments(numbers),
            histories: (told.history.ancestors.map(\.timeline) + [told.history.timeline]).filter {
                histories[$0] != nil
            },
            target: ending.target, isInclusive: ending.isInclusive, end: ending.end,
            lost: try loss(ending, asked), reasons: reasons)
    }

    /// The path of the timeline on which recovery ends, if the segments are stored that are read along it.
    private func told(
        _ ending: RecoveryCourse<Index>.Ending, _ asked: TimelinePath, _ numbers: ClosedRange<UInt64>
    ) -> TimelinePath {
        let timeline = asked.history.timeline(at: ending.greatest)
        guard timeline != asked.history.timeline, let history = history(of: timeline),
            asked.history.ancestors.prefix(history.ancestors.count).elementsEqual(
                history.ancestors, by: { $0.timeline == $1.timeline && $0.end == $1.end })
        else { return asked }
        let path = TimelinePath(history, size: coverage.segmentSize)
        return path.firstMissing(of: numbers, in: coverage) == nil ? path : asked
    }

    private func loss(
        _ ending: RecoveryCourse<Index>.Ending, _ asked: TimelinePath
    ) throws(BackupError) -> RecoveryLoss {
        let mark = ending.end.mark
        guard let newest = asked.newest(in: coverage), newest >= ending.last else {
            return RecoveryLoss(from: mark, to: mark)
        }
        let search = RecoverySearch(index: index, path: asked)
        let run = asked.segment(newest).flatMap { coverage.run(holding: newest, timeline: $0.timeline) }
        let numbers = asked.segments((run?.lowerBound ?? newest)...newest).last?.numbers ?? newest...newest
        let end = LogMark(try search.end(numbers), try search.lastFoldersTime(numbers))
        return RecoveryLoss(from: mark, to: end.lsn < mark.lsn ? mark : end)
    }
}
