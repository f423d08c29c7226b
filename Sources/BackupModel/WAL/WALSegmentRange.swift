/// Segments of one timeline that follow each other, in the room of two numbers.
package struct WALSegmentRange: Sendable, Hashable {
    /// The timeline that their names begin with.
    package let timeline: UInt32
    /// Their numbers.
    package let numbers: ClosedRange<UInt64>
    /// The size of each.
    package let size: WALSegmentSize

    /// Segments of a timeline.
    package init(timeline: UInt32, numbers: ClosedRange<UInt64>, size: WALSegmentSize) {
        self.timeline = timeline
        self.numbers = numbers
        self.size = size
    }
}

extension WALSegmentRange {
    /// How many there are.
    package var count: UInt64 { numbers.upperBound - numbers.lowerBound + 1 }

    /// The first; `nil` if no segment can have its number.
    package var first: WALSegmentName? { name(numbers.lowerBound) }

    /// The last; `nil` if no segment can have its number.
    package var last: WALSegmentName? { name(numbers.upperBound) }

    private func name(_ number: UInt64) -> WALSegmentName? {
        WALSegmentName(timeline: timeline, number: number, segmentSize: size)
    }
}
