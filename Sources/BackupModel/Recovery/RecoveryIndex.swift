/// What the stored WAL says, asked for piece by piece: a plan asks for one overview per log folder and for the
/// summaries of few segments, however many there are.
///
/// Every segment that is asked for is one that the planner was told is stored. In an answer, a record that goes on in
/// the next segment counts where it begins, if the next segment of the same timeline is stored, or else one of a
/// timeline that left it behind the segment.
package protocol RecoveryIndex {
    /// What the summaries of these segments, which are of one log folder, say together.
    func overview(of segments: WALSegmentRange) throws(BackupError) -> WALOverview

    /// The summary of one segment.
    func summary(of segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary

    /// The first commit or rollback, prepared or not, of those whose record begins in the segment at `position` or
    /// behind it, that `condition` asks for.
    ///
    /// It takes the segment itself, not only its summary. It is asked for the segment in which recovery ends, and for
    /// those in which a backup begins or ends; for a transaction's number, for each segment.
    func firstTransactionEnd(
        _ condition: TransactionEndCondition, in segment: WALSegmentName, from position: LogSequenceNumber
    ) throws(BackupError) -> LogMark?
}

/// Which ends of transactions are looked for.
package enum TransactionEndCondition: Sendable, Hashable {
    /// Those with a later time.
    case later(than: Timestamp)
    /// Those with this time or a later one.
    case notBefore(Timestamp)
    /// Those of a transaction, of whose number PostgreSQL compares the lower 32 bits.
    case transaction(UInt32)

    /// Whether one of this time and transaction is looked for.
    package func includes(time: Timestamp, transactionID: UInt32?) -> Bool {
        switch self {
        case .later, .notBefore: includes(time)
        case .transaction(let number): transactionID == number
        }
    }

    /// Whether something with this time is looked for, or may be among what has this greatest time.
    func includes(_ time: Timestamp) -> Bool {
        switch self {
        case .later(let limit): time > limit
        case .notBefore(let limit): time >= limit
        case .transaction: true
        }
    }
}

/// A position in the log and, where it is known, the time there.
package struct LogMark: Sendable, Hashable {
    package var lsn: LogSequenceNumber
    package var time: Timestamp?

    package init(_ lsn: LogSequenceNumber, _ time: Timestamp?) {
        self.lsn = lsn
        self.time = time
    }
}
