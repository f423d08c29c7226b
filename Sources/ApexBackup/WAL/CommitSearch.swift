import BackupModel
import BackupStorage
import Synchronization

/// Looks in the archive for the commits on both sides of the end of a recovery.
struct CommitSearch {
    let archive: WALArchive
    let index: ArchiveIndex
    let plan: RecoveryPlan

    /// The last commit before the end, of a transaction with a number; `nil` if the WAL that is replayed has none.
    func before() throws(BackupError) -> CommitMark? {
        let end = plan.boundary.before
        for range in plan.segments.reversed().lazy.flatMap({ $0.byLog.reversed() }) {
            // Years of a server at rest are a few reads.
            if try index.isWithoutTransactions(range) { continue }
            for segment in range.names.reversed() where segment.start < end {
                guard try summary(of: segment).commits > 0 else { continue }
                if let found = try commits(in: segment).last(where: { $0.lsn < end }) { return found }
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
        for history in try archive.histories().values.sorted(by: { $0.timeline < $1.timeline }) {
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
            if try summary(of: segment).commits > 0,
                let found = try commits(in: segment).first(where: { $0.lsn >= position })
            {
                return found
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

    /// The commits whose records begin in the segment, in their order.
    private func commits(in segment: WALSegmentName) throws(BackupError) -> [CommitMark] {
        let sink = CommitSink(segment)
        try archive.read(segment, into: sink)
        if sink.isRecordUnfinished, let next = segment.next, try archive.isStored(next) {
            try archive.read(next, into: sink)
        }
        return sink.commits
    }
}

/// Collects the commits among the records that begin in one segment, which may end in the next.
private final class CommitSink: ByteSink {
    private let segment: WALSegmentName
    private var reader: WALReader
    private(set) var commits: [CommitMark] = []

    init(_ segment: WALSegmentName) {
        self.segment = segment
        reader = WALReader(from: segment.start, checksums: .ofReportedRecords)
    }

    var isRecordUnfinished: Bool { reader.finish().unfinished != nil }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        reader.consume(bytes) { record in
            guard record.start < segment.end, case .commit(let end) = record.content else { return }
            let number = end.transactionID ?? record.transactionID
            if number > 0 {
                commits.append(CommitMark(transactionID: number, lsn: record.start, time: end.time))
            }
        }
    }

    func finish() throws(BackupError) {}
}
