@testable import BackupModel

/// A log of records that never were bytes, on one or more timelines, in segments of 1 MiB some of which are not stored.
final class SyntheticLog: RecoveryIndex {
    struct Record {
        enum Kind: Equatable {
            case end(xid: UInt32, time: Int64)
            case point(name: String, time: Int64)
            case checkpoint(time: Int64)
            case other
        }

        var start: UInt64
        var end: UInt64
        var kind: Kind
        var time: Int64? {
            switch kind {
            case .end(_, let time), .point(_, let time), .checkpoint(let time): time
            case .other: nil
            }
        }
    }

    static let size = WALSegmentSize(bytes: 1 << 20) ?? .standard
    /// The records of each timeline since it began.
    var own: [UInt32: [Record]] = [:] { didSet { forget() } }
    var histories: [UInt32: TimelineHistory] = [1: TimelineHistory(first: 1)] { didSet { forget() } }
    var coverage = WALCoverage(segmentSize: size) { didSet { forget() } }
    /// Files whose bytes from a position on are not WAL.
    var broken: [WALSegmentName: UInt64] = [:] { didSet { forget() } }
    /// Files of which nobody can say anything.
    var unknown: Set<WALSegmentName> = [] { didSet { forget() } }
    private var known: [WALSegmentName: WALSegmentSummary] = [:]
    private var knownRecords: [UInt32: [Record]] = [:]
    private var knownPaths: [UInt32: TimelinePath] = [:]

    private func forget() {
        known = [:]
        knownRecords = [:]
        knownPaths = [:]
    }

    /// The records along a timeline's history.
    func records(_ timeline: UInt32) -> [Record] {
        if let records = knownRecords[timeline] { return records }
        guard let history = histories[timeline] else { return [] }
        let records = history.path.flatMap { stretch in
            (own[stretch.timeline] ?? []).filter { record in stretch.end.map { record.start < $0.position } ?? true }
        }
        knownRecords[timeline] = records
        return records
    }

    func path(_ timeline: UInt32) -> TimelinePath {
        if let path = knownPaths[timeline] { return path }
        let path = TimelinePath(histories[timeline] ?? TimelineHistory(first: timeline), size: Self.size)
        knownPaths[timeline] = path
        return path
    }

    /// Whether a server that may ask for `files` can read the record along the path.
    func isReadable(_ record: Record, _ path: TimelinePath, in files: WALCoverage) -> Bool {
        for number in record.start >> 20...(record.end - 1) >> 20 {
            guard let name = path.segment(number), files.contains(number, timeline: name.timeline) else { return false }
            if let bad = broken[name], record.end > bad, record.start < name.end.position { return false }
        }
        return true
    }

    // MARK: The index

    func overview(of segments: WALSegmentRange) throws(BackupError) -> WALOverview {
        var overview = WALOverview()
        for number in segments.numbers {
            guard let name = WALSegmentName(timeline: segments.timeline, number: number, segmentSize: Self.size) else {
                continue
            }
            overview.add(try known(name))
        }
        return overview
    }

    func summary(of segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary {
        return try known(segment)
    }

    func firstTransactionEnd(
        _ condition: TransactionEndCondition, in segment: WALSegmentName, from position: LogSequenceNumber
    ) throws(BackupError) -> LogMark? {
        _ = try known(segment)
        for record in whole(in: segment) where record.start >= position.position {
            if case .end(let xid, let time) = record.kind,
                condition.includes(time: Timestamp(microseconds: time), transactionID: xid)
            {
                return LogMark(LogSequenceNumber(position: record.start), Timestamp(microseconds: time))
            }
        }
        return nil
    }

    /// The records that begin in a file and can be read to their end with the files behind it.
    private func whole(in segment: WALSegmentName) -> [Record] {
        var whole: [Record] = []
        let followers = histories.keys.sorted().filter {
            path($0).segment(segment.number) == segment && $0 != segment.timeline
        }
        for record in records(segment.timeline) where record.start >> 20 == segment.number {
            let timelines = [segment.timeline] + followers
            guard timelines.contains(where: { isReadable(record, path($0), in: coverage) }) else { break }
            whole.append(record)
        }
        return whole
    }

    private func known(_ segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary {
        guard coverage.contains(segment.number, timeline: segment.timeline) else {
            throw BackupError(.walMissing, "\(segment) was asked for", remedy: "Ask for what is stored only.")
        }
        if let known = known[segment] { return known }
        if unknown.contains(segment) {
            return WALSegmentSummary(unknown: segment, of: "7000000000000000001", why: "its trailer is damaged")
        }
        guard var summary = emptySummary(segment) else {
            throw BackupError(.walSegmentInvalid, "\(segment)", remedy: "Mend the test.")
        }
        let all = records(segment.timeline)
        let first = all.partitionPoint { $0.end > segment.start.position }
        if first < all.count, all[first].start < segment.start.position {
            summary.continuedBytes = UInt32(min(all[first].end - segment.start.position, UInt64(UInt32.max)))
        }
        let whole = whole(in: segment)
        for record in whole { if let record = record.walRecord { summary.add(record) } }
        summary.firstRecord = whole.first.map { LogSequenceNumber(position: $0.start) }
        summary.lastWholeRecord = whole.last.map { LogSequenceNumber(position: $0.start) }
        let next = all.first { $0.start >> 20 == segment.number && $0.start >= (whole.last?.end ?? 0) }
        let end = all.last?.end ?? 0
        if let bad = broken[segment] {
            let continued = segment.start.position + UInt64(summary.continuedBytes)
            let valid = next?.start ?? whole.last?.end ?? continued
            summary.validEnd = LogSequenceNumber(position: bad < continued ? segment.start.position : valid)
            summary.damage = "no record follows"
        } else if let next {
            summary.validEnd = LogSequenceNumber(position: next.start)
        } else {
            summary.validEnd = LogSequenceNumber(position: min(end, segment.end.position))
            if end < segment.end.position { summary.damage = "no record follows" }
        }
        summary.firstRecord = summary.firstRecord ?? next.map { LogSequenceNumber(position: $0.start) }
        if first < all.count, all[first].start < segment.start.position {
            let isCut = (broken[segment] ?? .max) < all[first].end || all[first].end > segment.end.position
            if isCut {
                summary.unfinished = UnfinishedRecord(
                    start: nil, totalLength: nil, missingBytes: 1, mayBeReported: true)
            }
        }
        known[segment] = summary
        return summary
    }

    private func emptySummary(_ segment: WALSegmentName) -> WALSegmentSummary? {
        var writer = WALWriter()
        writer.commit(xid: 1, at: 0)
        guard let header = WALSegmentHeader(parsing: writer.bytes.span) else { return nil }
        var summary = WALSegmentSummary(header)
        summary.timeline = segment.timeline
        summary.start = segment.start
        summary.end = segment.end
        return summary
    }
}

extension SyntheticLog.Record {
    fileprivate var walRecord: WALRecord? {
        let content: WALRecord.Content
        switch kind {
        case .end(let xid, let time):
            let end = TransactionEnd(
                transactionID: xid, time: Timestamp(microseconds: time), wasPrepared: xid % 3 == 0)
            content = xid % 2 == 0 ? .commit(end) : .abort(end)
        case .point(let name, let time): content = .restorePoint(name: name, time: Timestamp(microseconds: time))
        case .checkpoint(let time):
            content = .checkpoint(
                WALCheckpoint(
                    isShutdown: false, redo: LogSequenceNumber(position: start), timeline: 1, previousTimeline: 1,
                    time: Timestamp(microseconds: time)))
        case .other: return nil
        }
        return WALRecord(
            start: LogSequenceNumber(position: start), end: LogSequenceNumber(position: end), transactionID: 0,
            content: content)
    }
}

extension SyntheticLog {
    /// A log on timeline 1 from segment 1 to `end`, all stored, with these records and nothing of note between them.
    static func of(_ marks: [(UInt64, Record.Kind)], end: UInt64) -> SyntheticLog {
        let log = SyntheticLog()
        var starts: [(UInt64, Record.Kind)] = marks
        for position in stride(from: UInt64(1) << 20, to: end, by: 1 << 19)
        where !marks.contains(where: { $0.0 == position }) {
            starts.append((position, .other))
        }
        starts.sort { $0.0 < $1.0 }
        log.own[1] = starts.indices.map { index in
            Record(
                start: starts[index].0, end: index + 1 < starts.count ? starts[index + 1].0 : end, kind: starts[index].1
            )
        }
        log.coverage.insert(1...(end - 1) >> 20, timeline: 1)
        return log
    }
}

// MARK: A server

extension SyntheticLog {
    /// What becomes of a server that recovers.
    enum Result: Equatable {
        case before(UInt64)
        case after(UInt64)
        /// The target was met before the data were consistent.
        case inconsistent
        /// The WAL ended before the target.
        case ended(UInt64)
    }

    /// What PostgreSQL does, record by record, with a backup, a target and these files.
    func recover(
        _ backup: RecoveryCandidate, timeline: UInt32, target: RestoreMoment, isInclusive: Bool, files: WALCoverage
    ) -> Result {
        let path = path(timeline)
        var isConsistent = false
        var end = backup.start.position
        for record in records(timeline) where record.start >= backup.start.position {
            guard isReadable(record, path, in: files) else { break }
            if target == .immediate, isConsistent { return .before(record.start) }
            if record.isMetBefore(target, isInclusive) { return isConsistent ? .before(record.start) : .inconsistent }
            end = record.end
            isConsistent = isConsistent || end >= backup.stop.position
            if record.isMetAfter(target, isInclusive) { return isConsistent ? .after(record.start) : .inconsistent }
        }
        return isConsistent ? .ended(end) : .inconsistent
    }
}

extension SyntheticLog.Record {
    fileprivate func isMetBefore(_ target: RestoreMoment, _ isInclusive: Bool) -> Bool {
        switch (target, kind) {
        case (.position(let lsn), _): !isInclusive && start >= lsn.position
        case (.time(let limit), .end(_, let time)): isInclusive ? time > limit.microseconds : time >= limit.microseconds
        case (.transaction(let number), .end(let xid, _)): !isInclusive && UInt64(xid) == number
        default: false
        }
    }

    fileprivate func isMetAfter(_ target: RestoreMoment, _ isInclusive: Bool) -> Bool {
        switch (target, kind) {
        case (.position(let lsn), _): isInclusive && start >= lsn.position
        case (.restorePoint(let wanted), .point(let name, _)): wanted == name
        case (.transaction(let number), .end(let xid, _)): isInclusive && UInt64(xid) == number
        default: false
        }
    }
}
