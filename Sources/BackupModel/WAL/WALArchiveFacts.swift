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
    /// The newest segment of the timeline that is judged.
    package var newest: Newest?
    /// Up to where pieces of the unfinished segment are stored, on the timeline that is judged.
    package var piecesEnd: LogSequenceNumber?
    /// When segments were stored that come next behind a gap, as far as that is known.
    package var storedAt: [WALSegmentName: Timestamp] = [:]
    /// WAL that is known to be lost.
    package var recordedGaps: [WALGapRecord] = []
    /// Uploads under way, and for how long.
    package var uploads: [WALSegmentName: Duration] = [:]
    /// What the server says; `nil` if it was not asked or did not answer.
    package var server: Server?
    package var now: Timestamp
    /// How much may be lost, as a time.
    package var rpo: Duration
    /// How long a segment may be under way before it is overdue, and an upload before it is believed to have died.
    package var delay = Duration.seconds(600)

    /// The newest stored segment, and what it says.
    package struct Newest: Sendable, Hashable {
        /// When it was stored.
        package var storedAt: Timestamp?
        /// The greatest time of a commit or rollback, in it or, if it has none, before.
        package var latestTime: Timestamp?

        /// What is known of it.
        package init(storedAt: Timestamp?, latestTime: Timestamp?) {
            self.storedAt = storedAt
            self.latestTime = latestTime
        }
    }

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
            return [growth?.beganAt, growth?.latestTime].compactMap(\.self).max() ?? Timestamp(microseconds: .min)
        }
        return coverage.runs.keys.filter { $0 >= production ?? 0 }
            .max { (lastWritten($0), $0) < (lastWritten($1), $1) } ?? production
    }
}

extension WALArchiveFacts {
    /// The way to the timeline that is judged; of one whose history is not stored, that timeline alone.
    var currentHistory: TimelineHistory? {
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

    /// The gaps that endanger anything.
    package var gaps: [WALGap] {
        coverage.gaps(histories: histories, from: beginning, upTo: server.map { ($0.timeline, $0.lsn) })
    }

    /// Whether a moment behind the newest backup needs WAL that is known to be lost.
    func endangers(_ record: WALGapRecord) -> Bool {
        guard let history = currentHistory else { return true }
        let isKnown = history.timeline == 1 || histories[history.timeline] != nil
        guard !isKnown || history.timeline(at: record.from) == record.timeline else { return false }
        return newestBackup(along: history).map { $0.start < record.to } ?? true
    }
}
