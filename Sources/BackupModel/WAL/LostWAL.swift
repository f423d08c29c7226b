extension TimelineHistory {
    /// Of which timeline recovery along this history reads each of the segments with these numbers.
    func parts(
        of numbers: ClosedRange<UInt64>, size: WALSegmentSize
    ) -> [(timeline: UInt32, numbers: ClosedRange<UInt64>)] {
        let path = path
        return path.indices.compactMap { index in
            let first = max(size.number(containing: path[index].start), numbers.lowerBound)
            // The segment in which a timeline is left is read of its successor.
            var behind = numbers.upperBound &+ 1
            if index + 1 < path.count { behind = min(behind, size.number(containing: path[index + 1].start)) }
            return first < behind ? (path[index].timeline, first...behind - 1) : nil
        }
    }
}

extension WALCoverage {
    /// The last hole before `position` in the segments that recovery along a history reads: from the end of what is
    /// stored to where it goes on, or to the segment of `position`.
    ///
    /// `nil` if there is none. What is before the first stored segment is no hole.
    package func lastHole(
        before position: LogSequenceNumber, along history: TimelineHistory
    ) -> Range<LogSequenceNumber>? {
        let end = segmentSize.number(containing: position)
        guard end > 0 else { return nil }
        var first = end
        for part in history.parts(of: 0...end - 1, size: segmentSize).reversed() {
            for run in (runs[part.timeline] ?? []).reversed() where run.overlaps(part.numbers) {
                let run = run.clamped(to: part.numbers)
                if run.upperBound + 1 < first { return start(of: run.upperBound + 1)..<start(of: first) }
                first = run.lowerBound
            }
        }
        return nil
    }

    fileprivate func start(of number: UInt64) -> LogSequenceNumber {
        LogSequenceNumber(position: number * segmentSize.bytes)
    }

    /// The last segment of a range that is not stored.
    fileprivate func lastMissing(in numbers: ClosedRange<UInt64>, timeline: UInt32) -> UInt64? {
        guard let run = run(holding: numbers.upperBound, timeline: timeline) else { return numbers.upperBound }
        return run.lowerBound > numbers.lowerBound ? run.lowerBound - 1 : nil
    }
}

extension WALGapRecord {
    /// What is still missing of what was lost, where somebody has stored some of it since: a gap that is filled is none
    /// any more, of others the middle may be.
    ///
    /// Each is looked at along the history of the timeline `current` if that leads over it.
    package static func missing(
        of records: [WALGapRecord], from coverage: WALCoverage, histories: [UInt32: TimelineHistory],
        current: UInt32?
    ) -> [WALGapRecord] {
        var missing: [WALGapRecord] = []
        for record in records {
            let known = [current.flatMap { histories[$0] }, histories[record.timeline]].compactMap(\.self)
            let history =
                known.first { $0.timeline(at: record.from) == record.timeline }
                ?? TimelineHistory(first: record.timeline)
            guard let rest = record.missing(from: coverage, along: history), !missing.contains(where: rest.isIn) else {
                continue
            }
            missing.append(rest)
        }
        return missing
    }

    private func isIn(_ other: WALGapRecord) -> Bool {
        timeline == other.timeline && from >= other.from && to <= other.to
    }

    private func missing(from coverage: WALCoverage, along history: TimelineHistory) -> WALGapRecord? {
        guard from < to else { return nil }
        let size = coverage.segmentSize
        let last = LogSequenceNumber(position: to.position - 1)
        var rest: WALGapRecord?
        for part in history.parts(of: size.number(containing: from)...size.number(containing: last), size: size) {
            guard let low = coverage.firstMissing(in: part.numbers, timeline: part.timeline),
                let high = coverage.lastMissing(in: part.numbers, timeline: part.timeline)
            else { continue }
            if rest == nil {
                rest = self
                rest?.timeline = part.timeline
                rest?.from = max(from, coverage.start(of: low))
            }
            // A gap ends where the stream went on.
            rest?.to = high == size.number(containing: last) ? to : coverage.start(of: high + 1)
        }
        return rest
    }
}
