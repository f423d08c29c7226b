/// Searches the index along a path of segments without a hole, skipping whole log folders by their overviews.
struct RecoverySearch<Index: RecoveryIndex> {
    let index: Index
    let path: TimelinePath

    /// The first end of a transaction at `position` or behind it, up to the segment `last`.
    func firstTransactionEnd(
        _ condition: TransactionEndCondition, from position: LogSequenceNumber, through last: UInt64
    ) throws(BackupError) -> LogMark? {
        var next = path.size.number(containing: position)
        while let folder = folder(from: next, through: last) {
            next = folder.numbers.upperBound + 1
            guard let latest = try index.overview(of: folder).latestTransactionTime, condition.includes(latest) else {
                continue
            }
            for number in folder.numbers {
                guard let segment = path.segment(number), let latest = try index.summary(of: segment).latestTime,
                    condition.includes(latest)
                else { continue }
                let from = max(position, segment.start)
                if let found = try index.firstTransactionEnd(condition, in: segment, from: from) { return found }
            }
        }
        return nil
    }

    /// The first record at `position` or behind it that is no end of a transaction and has such a time.
    func firstWitness(
        _ condition: TransactionEndCondition, from position: LogSequenceNumber, through last: UInt64
    ) throws(BackupError) -> LogMark? {
        var next = path.size.number(containing: position)
        while let folder = folder(from: next, through: last) {
            next = folder.numbers.upperBound + 1
            guard let latest = try index.overview(of: folder).latestWitnessTime, condition.includes(latest) else {
                continue
            }
            for number in folder.numbers {
                guard let segment = path.segment(number) else { continue }
                let found = try index.summary(of: segment).witnesses.first {
                    $0.lsn >= position && condition.includes($0.time)
                }
                if let found { return LogMark(found.lsn, found.time) }
            }
        }
        return nil
    }

    /// Where the last commit or rollback begins.
    func lastTransactionEnd(_ numbers: ClosedRange<UInt64>) throws(BackupError) -> LogSequenceNumber? {
        var last: UInt64? = numbers.upperBound
        while let number = last, let folder = folder(from: numbers.lowerBound, endingWith: number) {
            if let found = try index.overview(of: folder).lastTransactionEnd { return found }
            last = folder.numbers.lowerBound == 0 ? nil : folder.numbers.lowerBound - 1
        }
        return nil
    }

    /// The greatest time of a record: what was committed up to then is stored.
    func latestTime(_ numbers: ClosedRange<UInt64>) throws(BackupError) -> Timestamp? {
        var latest: Timestamp?
        var next = numbers.lowerBound
        while let folder = folder(from: next, through: numbers.upperBound) {
            next = folder.numbers.upperBound + 1
            latest = [latest, try index.overview(of: folder).latestTime].compactMap(\.self).max()
        }
        return latest
    }

    /// The greatest time of a record of the last log folder that has one.
    func lastFoldersTime(_ numbers: ClosedRange<UInt64>) throws(BackupError) -> Timestamp? {
        var last: UInt64? = numbers.upperBound
        while let number = last, let folder = folder(from: numbers.lowerBound, endingWith: number) {
            if let found = try index.overview(of: folder).latestTime { return found }
            last = folder.numbers.lowerBound == 0 ? nil : folder.numbers.lowerBound - 1
        }
        return nil
    }

    /// The first segment whose valid WAL ends before it does.
    func firstUnreadable(_ numbers: ClosedRange<UInt64>) throws(BackupError) -> UInt64? {
        var next = numbers.lowerBound
        while let folder = folder(from: next, through: numbers.upperBound) {
            next = folder.numbers.upperBound + 1
            guard let start = try index.overview(of: folder).firstUnreadable else { continue }
            return min(max(path.size.number(containing: start), folder.numbers.lowerBound), folder.numbers.upperBound)
        }
        return nil
    }

    /// The restore points, in order.
    func restorePoints(_ numbers: ClosedRange<UInt64>) throws(BackupError) -> [WALSegmentSummary.RestorePoint] {
        var points: [WALSegmentSummary.RestorePoint] = []
        var next = numbers.lowerBound
        while let folder = folder(from: next, through: numbers.upperBound) {
            next = folder.numbers.upperBound + 1
            guard try index.overview(of: folder).restorePoints > 0 else { continue }
            for number in folder.numbers {
                guard let segment = path.segment(number) else { continue }
                points += try index.summary(of: segment).restorePoints.entries
            }
        }
        return points
    }
}

extension RecoverySearch {
    /// The last position at which a whole record is known to begin.
    func lastRecord(_ numbers: ClosedRange<UInt64>) throws(BackupError) -> LogSequenceNumber? {
        var number = numbers.upperBound
        while true {
            if let segment = path.segment(number), let last = try index.summary(of: segment).lastKnownRecord {
                return last
            }
            guard number > numbers.lowerBound else { return nil }
            number -= 1
        }
    }

    /// A position, `position` or one behind it, at which a whole record begins; it need not be the first such one.
    func record(notBefore position: LogSequenceNumber, through last: UInt64) throws(BackupError) -> LogSequenceNumber? {
        var number = path.size.number(containing: position)
        while number <= last, let segment = path.segment(number) {
            let summary = try index.summary(of: segment)
            if number > path.size.number(containing: position) {
                if let first = summary.firstRecord, summary.lastWholeRecord != nil { return first }
            } else if let known = summary.lastKnownRecord, known >= position {
                return known
            }
            number += 1
        }
        return nil
    }

    /// Where the first record begins that cannot be read to its end with the last of the segments and those before it.
    func end(_ numbers: ClosedRange<UInt64>) throws(BackupError) -> LogSequenceNumber {
        var number = numbers.upperBound
        while let segment = path.segment(number) {
            let summary = try index.summary(of: segment)
            // A record that goes through the whole segment, or is damaged in it, begins in an earlier one.
            let isWithin = summary.firstRecord == nil && summary.unfinished.map { $0.start == nil } ?? false
            guard isWithin, number > numbers.lowerBound else { return summary.validEnd }
            number -= 1
        }
        return LogSequenceNumber(position: 0)
    }

    /// The last segment that is needed to read the record that begins at `position`.
    func lastSegment(ofRecordAt position: LogSequenceNumber, through last: UInt64) throws(BackupError) -> UInt64 {
        var number = path.size.number(containing: position)
        guard number < last, let segment = path.segment(number) else { return number }
        if let known = try index.summary(of: segment).lastWholeRecord, position < known { return number }
        while number < last, let next = path.segment(number + 1) {
            let summary = try index.summary(of: next)
            guard summary.continuedBytes > 0 else { break }
            number += 1
            if summary.firstRecord != nil { break }
        }
        return number
    }
}

extension RecoverySearch {
    /// The segments from `number` to the end of its log folder, on one timeline, and not behind `last`.
    private func folder(from number: UInt64, through last: UInt64) -> WALSegmentRange? {
        guard number <= last else { return nil }
        let end = number | (path.size.segmentsPerLog - 1)
        return path.segments(number...min(end, last)).first
    }

    /// The segments from the beginning of the log folder that holds `number` to `number`, on one timeline, and not
    /// before `first`.
    private func folder(from first: UInt64, endingWith number: UInt64) -> WALSegmentRange? {
        guard first <= number else { return nil }
        let start = number & ~(path.size.segmentsPerLog - 1)
        return path.segments(max(start, first)...number).last
    }
}
