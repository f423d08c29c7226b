/// What a server that recovers, or has recovered, says of itself.
package struct RecoveryState: Sendable, Hashable {
    package var isInRecovery: Bool
    /// Whether it stopped replaying by itself and waits.
    package var isPaused: Bool
    /// The end of what was replayed; `nil` before anything was.
    package var replayed: LogSequenceNumber?
    /// The time of the last commit or rollback that was replayed; `nil` if none was.
    package var lastTransaction: Timestamp?

    package init(
        isInRecovery: Bool, isPaused: Bool, replayed: LogSequenceNumber?, lastTransaction: Timestamp? = nil
    ) {
        self.isInRecovery = isInRecovery
        self.isPaused = isPaused
        self.replayed = replayed
        self.lastTransaction = lastTransaction
    }

    /// Whether nothing more is replayed.
    package var hasEnded: Bool { isPaused || !isInRecovery }
}

extension RecoveryPlan {
    /// Returns if a recovery that replayed up to `replayed` ended where it was planned to.
    ///
    /// A server takes a segment that it does not get for the end of the WAL, and promotes as if all were well; and it
    /// pauses for other reasons than its target.
    ///
    /// - Throws: ``ErrorCode/walMissing``, with the first segment that was not replayed to its end, if it stopped
    ///   earlier; ``ErrorCode/restoreFailed`` if it went on too far.
    package func requireEnd(_ replayed: LogSequenceNumber?) throws(BackupError) {
        guard let replayed else { throw tooEarly(backup.start) }
        if let least = leastEnd, firstRecord(behind: replayed) < least { throw tooEarly(replayed) }
        if let most = greatestEnd, replayed > most { throw tooLate(replayed) }
    }

    /// Where the next record may begin at the earliest: a page begins with a header.
    private func firstRecord(behind replayed: LogSequenceNumber) -> LogSequenceNumber {
        guard replayed.position.isMultiple(of: 8192) else { return replayed }
        let beginsSegment = segments.first.map { $0.size.offset(of: replayed) == 0 } ?? false
        let header = beginsSegment ? WALPageHeader.longSize : WALPageHeader.shortSize
        return LogSequenceNumber(position: replayed.position + UInt64(header))
    }

    /// The least position at which the first record that is not replayed may begin.
    private var leastEnd: LogSequenceNumber? {
        switch end {
        case .consistent(let mark), .before(let mark), .endOfWAL(let mark): mark.lsn
        // The record there is replayed, which has a header of its own.
        case .after(let mark): LogSequenceNumber(position: mark.lsn.position + 24)
        case .around(let position, _): position
        }
    }

    /// The greatest position that is replayed, where it is known.
    private var greatestEnd: LogSequenceNumber? {
        switch end {
        case .before(let mark): mark.lsn
        case .around(_, let record) where !isInclusive: record
        case .consistent, .after, .around, .endOfWAL: nil
        }
    }

    /// The segment that holds `position`, of those that recovery reads.
    package func segment(at position: LogSequenceNumber) -> WALSegmentName? {
        for range in segments {
            let number = range.size.number(containing: position)
            if range.numbers.contains(number) {
                return WALSegmentName(timeline: range.timeline, number: number, segmentSize: range.size)
            }
        }
        return segments.last?.last
    }

    /// The segment that recovery reads behind `segment`; `nil` if it ends before that.
    package func segment(behind segment: WALSegmentName) -> WALSegmentName? {
        guard let next = segment.next?.number, let range = segments.first(where: { $0.numbers.contains(next) }) else {
            return nil
        }
        return WALSegmentName(timeline: range.timeline, number: next, segmentSize: range.size)
    }

    private func tooEarly(_ replayed: LogSequenceNumber) -> BackupError {
        let segment = segment(at: replayed).map { "\($0)" } ?? "the first one"
        return BackupError(
            .walMissing, "Recovery ended too early: WAL segment \(segment) was not replayed to its end.",
            reason: "the server replayed up to \(replayed), and the plan goes on to \(end.mark.lsn)",
            remedy: "See 'apex-backup wal status' for segments that are missing, and recover to a moment before them.")
    }

    private func tooLate(_ replayed: LogSequenceNumber) -> BackupError {
        BackupError(
            .restoreFailed, "Recovery went on behind its target.",
            reason: "the server replayed up to \(replayed), and the plan ends at \(end.mark.lsn)",
            remedy: "Find out what changed the settings of the recovery, and restore again.")
    }
}
