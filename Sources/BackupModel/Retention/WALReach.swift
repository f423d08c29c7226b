/// How far recovery gets from a backup with the WAL that is stored.
struct WALReach {
    private let coverage: WALCoverage
    private let histories: [UInt32: TimelineHistory]

    init(_ coverage: WALCoverage, _ histories: [TimelineHistory]) {
        self.coverage = coverage
        self.histories = Dictionary(histories.map { ($0.timeline, $0) }) { first, _ in first }
    }

    /// Segments of one timeline.
    struct Files: Hashable, Comparable {
        var timeline: UInt32
        var numbers: ClosedRange<UInt64>

        static func < (lhs: Self, rhs: Self) -> Bool {
            (lhs.timeline, lhs.numbers.lowerBound, lhs.numbers.upperBound)
                < (rhs.timeline, rhs.numbers.lowerBound, rhs.numbers.upperBound)
        }
    }

    /// The history of a timeline; one that is not known continues no other.
    func history(of timeline: UInt32) -> TimelineHistory { histories[timeline] ?? TimelineHistory(first: timeline) }

    /// Whether recovery from the backup can follow the history: it ended before its timeline was left.
    func leads(_ backup: WALRetention.Backup, to history: TimelineHistory) -> Bool {
        backup.timeline == history.timeline
            || history.ancestors.contains { $0.timeline == backup.timeline && backup.stop <= $0.end }
    }

    /// The position behind the last one that is reached from the backup along the history; `nil` if the backup does
    /// not lead there, or not even its own stop is reached.
    func end(of backup: WALRetention.Backup, along history: TimelineHistory) -> LogSequenceNumber? {
        guard leads(backup, to: history) else { return nil }
        let size = coverage.segmentSize
        let stretches = history.path.map { (timeline: $0.timeline, first: size.number(containing: $0.start)) }
        var next = size.number(containing: backup.start)
        // A segment in which a timeline begins is read from that timeline.
        while let index = stretches.lastIndex(where: { $0.first <= next }),
            let run = coverage.run(holding: next, timeline: stretches[index].timeline)
        {
            next = run.upperBound &+ 1
            guard index + 1 < stretches.count, next >= stretches[index + 1].first else { break }
            next = stretches[index + 1].first
        }
        guard next > backup.neededNumbers(size).upperBound else { return nil }
        let (end, overflow) = next.multipliedReportingOverflow(by: size.bytes)
        return LogSequenceNumber(position: overflow ? .max : end)
    }

    /// The files that recovery along the history may read for these numbers: of a segment in which a timeline begins,
    /// also the one of the timeline that was left in it.
    func files(in numbers: ClosedRange<UInt64>, along history: TimelineHistory) -> [Files] {
        let size = coverage.segmentSize
        return history.path.compactMap { stretch in
            let first = max(numbers.lowerBound, size.number(containing: stretch.start))
            let last = min(numbers.upperBound, stretch.end.map(size.number) ?? size.greatestNumber)
            return first <= last ? Files(timeline: stretch.timeline, numbers: first...last) : nil
        }
    }
}
