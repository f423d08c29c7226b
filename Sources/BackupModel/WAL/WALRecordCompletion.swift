/// What became of the record that a segment's end cuts.
package enum WALRecordCompletion: Sendable, Hashable {
    /// No record is cut that may be one that is reported, or the segment's WAL is not valid up to its end.
    case notNeeded
    /// The record is whole, and what it says is in the summary now.
    case completed
    /// The server crashed before the record was finished, and goes on with another one: what it says never happened.
    case abandoned
    /// The record is valid as far as there are segments, and goes on behind the last of them.
    case needsMore
    /// The segments do not fit together, or the record is not valid: why.
    case contradicted(Contradiction)

    /// Why a record is not completed by the segments that follow.
    package enum Contradiction: Sendable, Hashable {
        /// The segment that should begin at this position is one of another cluster, version or position, or of an
        /// older timeline.
        case otherSegment(LogSequenceNumber)
        /// The segment at this position goes on with so many bytes of a record, which is another number than is
        /// missing.
        case otherLength(LogSequenceNumber, UInt32)
        /// The pages of the segment at this position do not follow each other as far as the record goes.
        case damaged(LogSequenceNumber)
        /// All bytes are there, but they are no record.
        case invalid(WALEnd.Reason)
    }
}

extension WALSegmentSummary {
    /// Completes the record that the segment's end cuts with what the summaries of the segments behind it tell, and
    /// takes it into account.
    ///
    /// The summaries alone are enough: a record counts only if all its pieces are there, fit by position, cluster and
    /// length, and together have the checksum that PostgreSQL wrote. So it is as certain as one that was read whole.
    ///
    /// - Parameter following: The segments behind this one, in order, without a hole, of the same timeline or of one
    ///   that continues it. No more are taken than the record reaches; a record of a gigabyte reaches over many.
    /// - Returns: What became of the record. Unless it is `completed` or `abandoned`, the summary is unchanged; after
    ///   these two nothing is unfinished any more, and ``validEnd`` is the segment's end, or where the record begins
    ///   that was abandoned.
    package mutating func complete(with following: some Sequence<WALSegmentSummary>) -> WALRecordCompletion {
        guard damage == nil, let unfinished, unfinished.mayBeReported, let start = unfinished.start,
            start < end, let piece = unfinishedPiece
        else { return .notNeeded }
        var before = self
        var joined = piece
        var missing = unfinished.missingBytes
        for next in following {
            guard next.follows(before) else { return .contradicted(.otherSegment(before.end)) }
            guard next.continuedBytes > 0 else {
                // Where the rest should be, another record begins.
                return abandon()
            }
            guard next.continuedBytes == missing else {
                return .contradicted(.otherLength(next.start, next.continuedBytes))
            }
            guard let rest = next.continuation, rest.length <= UInt64(missing) else {
                return .contradicted(.damaged(next.start))
            }
            joined = joined.followed(by: rest)
            missing -= UInt32(rest.length)
            if missing == 0 { return finish(joined, at: start) }
            guard next.unfinished.map({ $0.start == nil && $0.missingBytes == missing }) ?? false, next.damage == nil
            else {
                return next.overwrittenRecords.entries.contains { $0.start == start }
                    ? abandon() : .contradicted(.damaged(next.start))
            }
            before = next
        }
        return .needsMore
    }

    /// Whether this is the segment behind `other`, of the same cluster.
    private func follows(_ other: WALSegmentSummary) -> Bool {
        start == other.end && systemIdentifier == other.systemIdentifier && major == other.major
            && timeline >= other.timeline
    }

    private mutating func abandon() -> WALRecordCompletion {
        unfinished = nil
        unfinishedPiece = nil
        return .abandoned
    }

    private mutating func finish(_ piece: WALRecordPiece, at start: LogSequenceNumber) -> WALRecordCompletion {
        switch piece.reading(start: start, major: major) {
        case .invalid(let reason): return .contradicted(.invalid(reason))
        case .record(let transactionID, let content):
            if let content { add(WALRecord(start: start, end: end, transactionID: transactionID, content: content)) }
            unfinished = nil
            unfinishedPiece = nil
            lastWholeRecord = start
            validEnd = end
            return .completed
        }
    }
}

extension WALRecordCompletion.Contradiction: CustomStringConvertible {
    /// Half a sentence about the contradiction.
    package var description: String {
        switch self {
        case .otherSegment(let lsn): "what is stored as the segment at \(lsn) does not follow"
        case .otherLength(let lsn, let length):
            "the segment at \(lsn) goes on with \(length) bytes of a record, which does not fit the segment before"
        case .damaged(let lsn): "the pages of the segment at \(lsn) do not follow each other"
        case .invalid(let reason): "a record over the segment's end is not valid: \(reason)"
        }
    }
}
