/// All that the judgement of a WAL archive is made of: what is stored, what the server says if it was asked, and what is
/// allowed.
package struct WALArchiveFacts: Sendable {
    package var coverage: WALCoverage
    /// By timeline; of those whose history file is stored.
    package var histories: [UInt32: TimelineHistory] = [:]
    /// The physical backups of the incarnation.
    package var backups: [RecoveryCandidate] = []
    /// Segments of which pieces are stored.
    package var unfinished: Set<WALSegmentName> = []
    /// When WAL of each timeline was written.
    package var growth: [WALTimelineGrowth] = []
    /// The greatest time of a commit or rollback up to ``storedEnd``.
    package var latestTime: Timestamp?
    /// Up to where pieces of ``unfinishedSegment`` are stored.
    package var piecesEnd: LogSequenceNumber?
    /// When segments were stored that come next behind a gap, as far as that is known.
    package var storedAt: [WALSegmentName: Timestamp] = [:]
    /// WAL that is known to be lost.
    package var recordedGaps: [WALGapRecord] = []
    /// Uploads under way, and for how long.
    package var uploads: [WALSegmentName: Duration] = [:]
    /// What the server says; `nil` if it was not asked or did not answer.
    package var server: Server?
    /// Whether a later server of the cluster has taken the place of the one whose WAL it is, as after pg_upgrade.
    package var isSucceeded = false
    package var now: Timestamp
    /// How much may be lost, as a time.
    package var rpo: Duration
    /// How long a segment may be under way before it is overdue, and an upload before it is believed to have died.
    package var delay = Duration.seconds(600)

    /// What a server says of its WAL.
    package struct Server: Sendable, Hashable {
        package var timeline: UInt32
        /// Up to where WAL is durable on the server.
        package var lsn: LogSequenceNumber
        /// Whether it is a standby, which writes no WAL of its own.
        package var isInRecovery = false
        /// The segments in its `pg_wal`, and those that wait there for the archiver (`archive_status/*.ready`); `nil` if
        /// the role may not see them.
        package var segments: Set<WALSegmentName>?
        package var ready: Set<WALSegmentName> = []
        /// When the last transaction was committed, of a server that tracks it (`pg_last_committed_xact`).
        package var lastCommitAt: Timestamp?
        package var archiver = ArchiverStatus()

        /// A server that writes at `lsn`.
        package init(timeline: UInt32, lsn: LogSequenceNumber) {
            self.timeline = timeline
            self.lsn = lsn
        }
    }

    /// The facts about an archive at an instant.
    package init(coverage: WALCoverage, now: Timestamp, rpo: Duration) {
        self.coverage = coverage
        self.now = now
        self.rpo = rpo
    }

    /// The timeline that is judged: the server's, else the one that was written last, of those that are no older than the
    /// timelines of the backups.
    package var currentTimeline: UInt32? {
        if let server { return server.timeline }
        let production = backups.filter { !$0.isDamaged }.map(\.timeline).max()
        func lastWritten(_ timeline: UInt32) -> Timestamp {
            let growth = growth.first { $0.timeline == timeline }
            let times = [growth?.beganAt, growth?.latestTime].compactMap(\.self)
            return times.filter { age(of: $0) != nil }.max() ?? Timestamp(microseconds: .min)
        }
        return coverage.runs.keys.filter { $0 >= production ?? 0 }
            .max { (lastWritten($0), $0) < (lastWritten($1), $1) } ?? production
    }
}

extension WALArchiveFacts {
    /// The way to the timeline that is judged; of one whose history is not stored, that timeline alone.
    package var currentHistory: TimelineHistory? {
        currentTimeline.map { histories[$0] ?? TimelineHistory(first: $0) }
    }

    /// The newest undamaged backup from which recovery leads along a history.
    func newestBackup(along history: TimelineHistory) -> RecoveryCandidate? {
        backups.filter { !$0.isDamaged && $0.isOn(history) }.max(by: RecoveryCandidate.isOlder)
    }

    /// From where on the WAL along a history counts: from its newest backup on, and nowhere from before the newest one of
    /// the timeline that is judged.
    func beginning(of history: TimelineHistory) -> WALBeginning? {
        let size = coverage.segmentSize
        let own = newestBackup(along: history)
        let current = currentHistory.flatMap(newestBackup).map { size.number(containing: $0.start) }
        guard let own, own.numbers(size).lowerBound >= current ?? 0 else {
            return current.map { WALBeginning(first: $0) }
        }
        let numbers = own.numbers(size)
        guard history == currentHistory else {
            return WALBeginning(first: numbers.lowerBound, needed: numbers.lowerBound..<numbers.lowerBound)
        }
        // Of a backup of a standby, or where a timeline was left, the last one may never be whole.
        let last = WALSegmentName(timeline: own.timeline, number: numbers.upperBound, segmentSize: size)
        let isWhole = last.map { $0 == history.segment($0.number, size: size) && !unfinished.contains($0) } ?? false
        return WALBeginning(
            first: numbers.lowerBound,
            needed: numbers.lowerBound..<(isWhole ? numbers.upperBound + 1 : numbers.upperBound))
    }

    /// The gaps that endanger anything; those on the way to the timeline that is judged come last.
    package var gaps: [WALGap] { otherGaps + currentGaps }

    private var serverEnd: (timeline: UInt32, lsn: LogSequenceNumber)? { server.map { ($0.timeline, $0.lsn) } }

    /// The gaps on the way to the timeline that is judged, by position.
    var currentGaps: [WALGap] {
        currentHistory.map { coverage.gaps(along: $0, from: beginning(of: $0), upTo: serverEnd) } ?? []
    }

    /// The gaps elsewhere.
    var otherGaps: [WALGap] {
        let path = currentHistory?.path ?? []
        return coverage.gaps(histories: histories, from: beginning, upTo: serverEnd).compactMap { gap in
            guard let place = path.firstIndex(where: { $0.timeline == gap.first.timeline }) else { return gap }
            // The timeline that is judged reads it no further than to where it was left.
            guard place + 1 < path.count else { return nil }
            let left = coverage.segmentSize.number(containing: path[place + 1].start)
            guard left <= gap.last.number else { return nil }
            let first = WALSegmentName(
                timeline: gap.first.timeline, number: max(left, gap.first.number), segmentSize: coverage.segmentSize)
            return first.map { WALGap(first: $0, last: gap.last, next: gap.next) }
        }
    }

    /// Whether a moment behind the newest backup needs WAL that is known to be lost.
    func endangers(_ record: WALGapRecord) -> Bool {
        guard let history = currentHistory else { return true }
        let isKnown = history.timeline == 1 || histories[history.timeline] != nil
        guard !isKnown || history.timeline(at: record.from) == record.timeline else { return false }
        return newestBackup(along: history).map { $0.start < record.to } ?? true
    }
}
