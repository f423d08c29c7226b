/// Which segments recovery reads along the history of one timeline.
///
/// Of the segment in which a timeline begins, the file of the newest timeline is read, which repeats what its ancestor
/// had before (PostgreSQL, src/backend/access/transam/xlogrecovery.c, `XLogFileReadAnyTLI`).
package struct TimelinePath: Sendable, Hashable {
    /// The history that is followed.
    package let history: TimelineHistory
    /// The size of the cluster's segments.
    package let size: WALSegmentSize
    /// Oldest first; each counts up to where the next one begins.
    private let parts: [Part]

    private struct Part: Sendable, Hashable {
        var timeline: UInt32
        var first: UInt64
    }

    /// The segments along a history.
    package init(_ history: TimelineHistory, size: WALSegmentSize) {
        self.history = history
        self.size = size
        var parts: [Part] = []
        for stretch in history.path {
            let first = size.number(containing: stretch.start)
            while let last = parts.last, last.first >= first { parts.removeLast() }
            parts.append(Part(timeline: stretch.timeline, first: first))
        }
        self.parts = parts
    }
}

extension TimelinePath {
    /// The first segment of the timeline that is followed: where it leaves its ancestors.
    package var firstOwnNumber: UInt64 { parts.last?.first ?? 0 }

    /// The segment that is read of those with this number; `nil` for a number that none can have.
    package func segment(_ number: UInt64) -> WALSegmentName? {
        WALSegmentName(timeline: timeline(ofSegment: number), number: number, segmentSize: size)
    }

    private func timeline(ofSegment number: UInt64) -> UInt32 {
        parts.last { $0.first <= number }?.timeline ?? history.timeline
    }

    /// The segments with these numbers, by timeline, oldest first.
    package func segments(_ numbers: ClosedRange<UInt64>) -> [WALSegmentRange] {
        parts.indices.compactMap { index in
            let range = self.numbers(ofPart: index)
            guard range.overlaps(numbers) else { return nil }
            return WALSegmentRange(
                timeline: parts[index].timeline, numbers: range.clamped(to: numbers), size: size)
        }
    }

    private func numbers(ofPart index: Int) -> ClosedRange<UInt64> {
        let end = index + 1 < parts.count ? parts[index + 1].first - 1 : size.greatestNumber
        return parts[index].first...end
    }
}

extension TimelinePath {
    /// The first of these segments that is not stored.
    package func firstMissing(of numbers: ClosedRange<UInt64>, in coverage: WALCoverage) -> WALSegmentName? {
        for range in segments(numbers) {
            if let number = coverage.firstMissing(in: range.numbers, timeline: range.timeline) {
                return segment(number)
            }
        }
        return nil
    }

    /// The last segment that can be read from `number` on without a hole; `nil` if `number` itself is not stored.
    package func last(from number: UInt64, in coverage: WALCoverage) -> UInt64? {
        var last: UInt64?
        var next = number
        for index in parts.indices {
            let range = numbers(ofPart: index)
            guard range.contains(next), let run = coverage.run(holding: next, timeline: parts[index].timeline) else {
                continue
            }
            last = min(run.upperBound, range.upperBound)
            next = min(run.upperBound, range.upperBound) + 1
        }
        return last
    }

    /// The newest of these segments that is stored.
    package func newest(in coverage: WALCoverage) -> UInt64? {
        for index in parts.indices.reversed() {
            let range = numbers(ofPart: index)
            let run = coverage.runs[parts[index].timeline]?.last { $0.lowerBound <= range.upperBound }
            if let run, run.upperBound >= range.lowerBound { return min(run.upperBound, range.upperBound) }
        }
        return nil
    }

    /// The segment that is missing behind `number`; `nil` if the stored WAL ends there.
    ///
    /// It is missing if any later segment is stored that a server which follows this history may ask for: of the
    /// timeline that it is on, even behind where that was left, or of one that comes after it. A server that finds
    /// the file of the newer timeline absent goes on with that of the older one.
    package func missing(after number: UInt64, in coverage: WALCoverage) -> WALSegmentName? {
        let current = timeline(ofSegment: number)
        let isFollowed = (history.ancestors.map(\.timeline) + [history.timeline]).contains { timeline in
            timeline >= current && coverage.newest(onTimeline: timeline).map { $0 > number } ?? false
        }
        return isFollowed ? segment(number + 1) : nil
    }
}
