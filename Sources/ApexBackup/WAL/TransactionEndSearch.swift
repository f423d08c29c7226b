import BackupModel
import BackupStorage

/// The end of a transaction, as its record says it.
struct TransactionMark: Sendable, Hashable {
    var isCommit: Bool
    /// 0 for one that has no number.
    var transactionID: UInt32
    /// Where the record begins.
    var lsn: LogSequenceNumber
    var time: Timestamp
}

/// Looks for one end of a transaction among the records that begin in one segment; a record may end in those behind it.
final class TransactionEndSearch: ByteSink {
    enum Choice {
        case first, last
    }

    private let choice: Choice
    private let segment: WALSegmentName
    private let matches: (TransactionMark) -> Bool
    private var reader: WALReader
    private(set) var found: TransactionMark?

    init(_ choice: Choice, in segment: WALSegmentName, where matches: @escaping (TransactionMark) -> Bool) {
        self.choice = choice
        self.segment = segment
        self.matches = matches
        reader = WALReader(from: segment.start, checksums: .ofReportedRecords)
    }

    private var isOver: Bool { choice == .first && found != nil }

    /// Whether what was taken ends within a record that begins in the segment and may be the one that is looked for.
    var needsMore: Bool {
        guard !isOver, reader.end == nil, let start = reader.finish().unfinished?.start else { return false }
        return start < segment.end
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        guard !isOver else { return }
        reader.consume(bytes) { record in
            guard !isOver, record.start < segment.end, let mark = TransactionMark(record), matches(mark) else { return }
            found = mark
        }
    }

    func finish() throws(BackupError) {}
}

extension TransactionMark {
    /// Returns `nil` for a record of anything else.
    fileprivate init?(_ record: WALRecord) {
        switch record.content {
        case .commit(let end): self.init(true, end, record)
        case .abort(let end): self.init(false, end, record)
        default: return nil
        }
    }

    private init(_ isCommit: Bool, _ end: TransactionEnd, _ record: WALRecord) {
        self.init(
            isCommit: isCommit, transactionID: end.transactionID ?? record.transactionID, lsn: record.start,
            time: end.time)
    }
}

extension WALArchive {
    /// The first or the last end of a transaction that `matches`, of those whose records begin in a segment.
    ///
    /// A record that is cut by the segment's end counts if the rest of it is in the segments that `following` leads to,
    /// one after the other, and nowhere else: another server may have written something else there.
    func transactionEnd(
        _ choice: TransactionEndSearch.Choice, in segment: WALSegmentName,
        following: (WALSegmentName) throws(BackupError) -> WALSegmentName?,
        where matches: @escaping (TransactionMark) -> Bool
    ) throws(BackupError) -> TransactionMark? {
        let search = TransactionEndSearch(choice, in: segment, where: matches)
        try read(segment, into: search)
        var last = segment
        while search.needsMore, let next = try following(last) {
            try read(next, into: search)
            last = next
        }
        return search.found
    }
}
