/// Which WAL of one incarnation of a cluster is stored: on each timeline, the runs of segments without a hole.
///
/// A run takes the same room whatever its length, so that a million segments without a hole cost nothing.
package struct WALCoverage: Sendable, Hashable {
    /// The size of the cluster's segments.
    package let segmentSize: WALSegmentSize
    /// Numbers of segments by timeline: ascending, apart from each other.
    package private(set) var runs: [UInt32: [ClosedRange<UInt64>]] = [:]

    /// Nothing is stored.
    package init(segmentSize: WALSegmentSize) { self.segmentSize = segmentSize }
}

extension WALCoverage {
    /// Adds segments of one timeline, in any order; those that are there already do no harm.
    package mutating func insert(_ numbers: ClosedRange<UInt64>, timeline: UInt32) {
        var runs = self.runs[timeline] ?? []
        let first = runs.partitionPoint {
            $0.upperBound >= numbers.lowerBound || $0.upperBound &+ 1 == numbers.lowerBound
        }
        var last = first
        var lower = numbers.lowerBound
        var upper = numbers.upperBound
        while last < runs.count, runs[last].lowerBound <= upper || runs[last].lowerBound == upper &+ 1 {
            lower = min(lower, runs[last].lowerBound)
            upper = max(upper, runs[last].upperBound)
            last += 1
        }
        runs.replaceSubrange(first..<last, with: [lower...upper])
        self.runs[timeline] = runs
    }

    /// Adds one segment.
    package mutating func insert(_ segment: WALSegmentName) {
        insert(segment.number...segment.number, timeline: segment.timeline)
    }

    /// Whether the segment is stored.
    package func contains(_ number: UInt64, timeline: UInt32) -> Bool {
        run(holding: number, timeline: timeline) != nil
    }

    /// The run that holds the segment.
    package func run(holding number: UInt64, timeline: UInt32) -> ClosedRange<UInt64>? {
        guard let runs = runs[timeline] else { return nil }
        let index = runs.partitionPoint { $0.upperBound >= number }
        return index < runs.count && runs[index].contains(number) ? runs[index] : nil
    }

    /// The first segment of a range that is not stored.
    package func firstMissing(in numbers: ClosedRange<UInt64>, timeline: UInt32) -> UInt64? {
        guard let run = run(holding: numbers.lowerBound, timeline: timeline) else { return numbers.lowerBound }
        return run.upperBound < numbers.upperBound ? run.upperBound + 1 : nil
    }

    /// The newest segment of a timeline.
    package func newest(onTimeline timeline: UInt32) -> UInt64? { runs[timeline]?.last?.upperBound }
}

extension Array {
    /// The index of the first element that is in the second part of an array whose elements are false, then true.
    func partitionPoint(_ isInSecondPart: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = low + (high - low) / 2
            if isInSecondPart(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
