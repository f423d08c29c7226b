/// All that the judgement of a WAL archive is made of: what is stored, what the server says if it was asked, and what is
/// allowed.
package struct WALArchiveFacts: Sendable {
    package var coverage: WALCoverage
    /// By timeline; of those whose history file is stored.
    package var histories: [UInt32: TimelineHistory] = [:]
    /// When WAL of each timeline was written.
    package var growth: [WALTimelineGrowth] = []
    /// The newest segment of the timeline that is judged.
    package var newest: Newest?
    /// Up to where pieces of the unfinished segment are stored, on the timeline that is judged.
    package var piecesEnd: LogSequenceNumber?
    /// When segments were stored that come next behind a gap, as far as that is known.
    package var storedAt: [WALSegmentName: Timestamp] = [:]
    /// WAL that is known to be lost, and that a moment behind the newest backup needs.
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

    /// The timeline that is judged: the server's, else the newest of which anything is stored.
    package var currentTimeline: UInt32? { server?.timeline ?? coverage.runs.keys.max() }
}
