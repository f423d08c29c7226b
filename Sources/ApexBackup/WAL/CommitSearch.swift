import BackupModel

/// Looks in the archive for the commits on both sides of the end of a recovery.
struct CommitSearch {
    let index: ArchiveIndex
    let plan: RecoveryPlan

    private var archive: WALArchive { index.rollUps.archive }

    /// The last commit before the end, of a transaction with a number; `nil` if the WAL that is replayed has none.
    ///
    /// One whose record a timeline's end cuts is none.
    func before() throws(BackupError) -> CommitMark? {
        let end = plan.boundary.before
        for range in plan.segments.reversed().lazy.flatMap({ $0.byLog.reversed() }) {
            // Years of a server at rest are a few reads.
            if try index.isWithoutTransactions(range) { continue }
            for segment in range.names.reversed() where segment.start < end {
                guard try summary(of: segment).commits > 0 else { continue }
                let found = try commit(
                    .last, in: segment, following: { last throws(BackupError) in plan.segment(behind: last) },
                    where: { $0 < end })
                if let found { return found }
            }
        }
        return nil
    }

    /// The first commit behind the end; `nil` if none is stored, or if everything that is stored is recovered.
    ///
    /// It is looked for on the timeline on which recovery ends, and where that has none, on those that go on from there.
    func behind() throws(BackupError) -> CommitMark? {
        if case .endOfWAL = plan.end { return nil }
        let end = plan.boundary.behind
        guard let last = plan.segment(at: end) else { return nil }
        if let found = try firstCommit(from: end, in: last) { return found }
        for history in index.histories.sorted(by: { $0.timeline < $1.timeline }) {
            // What a server wrote after it had left the timeline earlier says nothing of what comes behind the end.
            guard let left = history.ancestors.first(where: { $0.timeline == last.timeline }), left.end >= end else {
                continue
            }
            // Its first segment begins with what its ancestor wrote in it.
            let number = last.size.number(containing: max(left.end, end))
            guard
                let first = WALSegmentName(timeline: history.timeline, number: number, segmentSize: last.size),
                let found = try firstCommit(from: end, in: first)
            else { continue }
            return found
        }
        return nil
    }

    /// The first commit at or behind `position`, in the segments that are stored from `first` on without a gap.
    private func firstCommit(
        from position: LogSequenceNumber, in first: WALSegmentName
    ) throws(BackupError) -> CommitMark? {
        var segment = first
        while try archive.isStored(segment) {
            if try summary(of: segment).commits > 0 {
                let found = try commit(
                    .first, in: segment, following: { last throws(BackupError) in try index.follower(of: last) },
                    where: { $0 >= position })
                if let found { return found }
            }
            guard let next = segment.next else { break }
            segment = next
        }
        return nil
    }

    /// When the last heartbeat before the end was written, of those in the last segments.
    func lastHeartbeat() throws(BackupError) -> Timestamp? {
        guard let last = plan.segments.last else { return nil }
        let end = plan.boundary.before
        for segment in last.names.reversed().prefix(8) {
            for heartbeat in try summary(of: segment).heartbeats.entries.reversed() where heartbeat.lsn < end {
                if let time = Self.time(in: heartbeat.text) { return time }
            }
        }
        return nil
    }

    /// What a segment says; of one of which nobody can say anything, it is not known that it has no commit.
    private func summary(of segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary {
        let summary = try index.summary(of: segment)
        guard summary.isKnown else {
            throw BackupError(
                .objectDamaged, "What WAL segment \(segment) holds cannot be said.", reason: summary.damage,
                remedy: "Put it back from a copy of the repository.")
        }
        return summary
    }

    /// The time in `{"at" : "2026-11-21T02:00:00.123456+00:00"}`.
    static func time(in heartbeat: String) -> Timestamp? {
        for part in heartbeat.split(separator: "\"") {
            if case .instant(let time) = TimeText.parse(String(part)) { return time }
        }
        return nil
    }

    /// The first or the last commit, at a position that `matches`, of a transaction with a number.
    private func commit(
        _ choice: TransactionEndSearch.Choice, in segment: WALSegmentName,
        following: (WALSegmentName) throws(BackupError) -> WALSegmentName?,
        where matches: @escaping (LogSequenceNumber) -> Bool
    ) throws(BackupError) -> CommitMark? {
        try archive.transactionEnd(
            choice, in: segment, following: following,
            where: { $0.isCommit && $0.transactionID > 0 && matches($0.lsn) }
        ).map { CommitMark(transactionID: $0.transactionID, lsn: $0.lsn, time: $0.time) }
    }
}

/// What the archive tells of the end of a recovery, for who proves that it came so far and no further.
struct RecoveryWitnesses: Sendable {
    struct Commits: Sendable {
        /// The last one before the end, and the first behind it.
        var before: CommitMark?
        var behind: CommitMark?
    }

    let commits: Result<Commits, BackupError>
    let lastHeartbeat: Result<Timestamp?, BackupError>

    /// Looks for them with what the plan was made from.
    init(of prepared: PhysicalRestore.Prepared) {
        let search = CommitSearch(index: prepared.index, plan: prepared.recovery)
        commits = Result { () throws(BackupError) in
            Commits(before: try search.before(), behind: try search.behind())
        }
        lastHeartbeat = Result { () throws(BackupError) in try search.lastHeartbeat() }
    }
}
