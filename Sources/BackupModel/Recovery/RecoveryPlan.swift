/// How a moment is recovered: everything is decided, and nothing was touched yet.
package struct RecoveryPlan: Sendable, Hashable {
    /// The backup to begin with.
    package var backup: RecoveryCandidate
    /// The timeline that the server is told to follow.
    package var timeline: UInt32
    /// The stretches of the log that recovery goes along, oldest first.
    package var path: [TimelineHistory.Stretch]
    /// The segments that are needed, oldest first.
    package var segments: [WALSegmentRange]
    /// The timelines whose history files are needed, ascending.
    package var histories: [UInt32]
    /// The target that the server is told.
    package var target: RestoreMoment
    /// Whether the server is told to include what is exactly at the target.
    package var isInclusive: Bool
    /// Where recovery is going to end.
    package var end: RecoveryEnd
    /// What is stored and not recovered.
    package var lost: RecoveryLoss
    /// Why it is planned so.
    package var reasons: [RecoveryReason]
}

/// Where recovery ends.
package enum RecoveryEnd: Sendable, Hashable {
    /// As soon as the backup is consistent, at its stop.
    case consistent(LogMark)
    /// Just before the record that begins here.
    case before(LogMark)
    /// Just behind the record that begins here.
    case after(LogMark)
    /// Just before or just behind, as asked, the first record that begins at `position` or later; one certainly begins
    /// at `record`.
    case around(LogSequenceNumber, record: LogSequenceNumber)
    /// Behind the last record that is stored.
    case endOfWAL(LogMark)
}

extension RecoveryEnd {
    /// The position that everything recovered is before, or a record's beginning that may be recovered too; and the
    /// time there, if it is known.
    package var mark: LogMark {
        switch self {
        case .consistent(let mark), .before(let mark), .after(let mark), .endOfWAL(let mark): mark
        case .around(let position, _): LogMark(position, nil)
        }
    }
}

/// What is stored behind the end of a recovery.
package struct RecoveryLoss: Sendable, Hashable {
    /// Where recovery ends.
    package var from: LogMark
    /// The end of what is stored along the timeline that was asked for, and the latest time known there.
    package var to: LogMark

    /// How much WAL is not recovered.
    package var bytes: UInt64 { to.lsn.position - min(from.lsn.position, to.lsn.position) }
}

/// Why a recovery is planned as it is.
package enum RecoveryReason: Sendable, Hashable {
    /// The timeline was asked for.
    case timelineNamed(UInt32)
    /// The newest timeline that production was seen on.
    case timelineOfProduction(UInt32)
    /// The timeline of the backup that was asked for.
    case timelineOfBackup(UInt32)
    /// The newest timeline of a backup: nothing says on which one production was seen.
    case timelineOfNewestBackup(UInt32)
    /// Recovery ends on an ancestor of the timeline to follow, which the server is told instead.
    ///
    /// A server that is promoted before its target timeline begins would write a history whose positions go back: it
    /// names the target timeline as the one it left (PostgreSQL, src/backend/access/transam/xlog.c, `StartupXLOG`).
    case endsOnAncestor(UInt32, of: UInt32)
    /// The backup was asked for.
    case backupNamed(RunID)
    /// The newest backup from which the moment is reached.
    case newestBackup(RunID)
    /// A backup that ended before the moment is not used.
    case passedOver(RunID, RecoveryCandidate.Unfitness)
    /// No transaction ended after the time that was asked for, so that a server told the time would never meet its
    /// target; the WAL is known to go on to this time.
    case noLaterTransaction(than: Timestamp, known: Timestamp)
    /// No record begins at the position that was asked for or behind it: all that is stored before it is recovered.
    case walEndsAtPosition(LogSequenceNumber)
    /// Other restore points have the same name; the server stops at the first one behind the backup's start.
    case sameName([LogMark])
    /// The moment that was asked for cannot be reached; this is the nearest that can.
    case nearest(RecoveryRefusal)
}

extension RecoveryCandidate {
    /// Why a backup cannot be used.
    package enum Unfitness: Sendable, Hashable {
        /// The source had bad pages.
        case damaged
        /// It was taken on a timeline, or on a part of one, that is not on the path.
        case offPath
        /// It ended only after the moment.
        case afterMoment
        /// A transaction with a time after the moment ended while it was taken: the server would stop before the files
        /// are consistent.
        case laterTransaction(LogMark)
        /// A segment that it needs itself.
        case obstacle(RecoveryObstacle)
    }
}

/// What no recovery gets past.
package enum RecoveryObstacle: Sendable, Hashable {
    /// The segment is not stored, and later ones are.
    case missing(WALSegmentName)
    /// The segment's WAL ends before the segment does, and later ones are stored; or nobody can say where it ends.
    case unreadable(WALSegmentName, why: String)

    /// The segment.
    package var segment: WALSegmentName {
        switch self {
        case .missing(let segment), .unreadable(let segment, _): segment
        }
    }
}
