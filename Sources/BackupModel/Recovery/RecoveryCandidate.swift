/// What planning a recovery has to know of one physical backup.
package struct RecoveryCandidate: Sendable, Hashable, Identifiable {
    package var id: RunID
    /// Where recovery begins.
    package var start: LogSequenceNumber
    /// Where the data is consistent.
    package var stop: LogSequenceNumber
    /// The timeline of both.
    package var timeline: UInt32
    /// The cluster's clock before the backup began.
    package var startedAt: Timestamp
    /// The cluster's clock once the server had reported the stop.
    package var stoppedAt: Timestamp
    /// Whether the source had bad pages: used only if it is named.
    package var isDamaged: Bool

    package init(
        id: RunID, start: LogSequenceNumber, stop: LogSequenceNumber, timeline: UInt32, startedAt: Timestamp,
        stoppedAt: Timestamp, isDamaged: Bool = false
    ) {
        self.id = id
        self.start = start
        self.stop = stop
        self.timeline = timeline
        self.startedAt = startedAt
        self.stoppedAt = stoppedAt
        self.isDamaged = isDamaged
    }
}

extension RecoveryCandidate {
    /// The position of the last byte that consistency needs.
    private var lastByte: LogSequenceNumber {
        LogSequenceNumber(position: max(start.position, stop.position == 0 ? 0 : stop.position - 1))
    }

    /// The numbers of the segments without which the files are not consistent.
    func numbers(_ size: WALSegmentSize) -> ClosedRange<UInt64> {
        size.number(containing: start)...size.number(containing: lastByte)
    }

    /// Whether a server that follows `history` accepts the backup: its positions are on the backup's timeline
    /// (PostgreSQL, src/backend/access/transam/xlogrecovery.c, "requested timeline is not a child").
    func isOn(_ history: TimelineHistory) -> Bool {
        start <= stop && history.timeline(at: start) == timeline && history.timeline(at: lastByte) == timeline
    }

    /// By where they are consistent, then by name.
    static func isOlder(_ lhs: Self, _ rhs: Self) -> Bool { (lhs.stop, lhs.id) < (rhs.stop, rhs.id) }
}
