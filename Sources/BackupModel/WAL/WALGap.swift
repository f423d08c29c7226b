/// A range of segments that a recovery along some timeline would read, and that are not stored.
package struct WALGap: Sendable, Hashable {
    /// The first and the last segment that is missing.
    package let first: WALSegmentName
    package let last: WALSegmentName
    /// The next segment that is stored, on the same timeline or on the one that continues it; `nil` if there is none: then
    /// the missing ones are the newest, which the server has finished or a backup needs.
    package let next: WALSegmentName?

    /// How many segments are missing.
    package var count: UInt64 { last.number - first.number + 1 }
}

/// From where on the WAL along a history counts: what is before ends a window, and endangers nothing any more.
package struct WALBeginning: Sendable, Hashable {
    /// The first segment that counts.
    package var first: UInt64
    /// If a backup begins there, the segments that must be there whatever else is stored; `nil` where WAL begins with the
    /// first segment that is stored.
    package var needed: Range<UInt64>?

    package init(first: UInt64, needed: Range<UInt64>? = nil) {
        self.first = first
        self.needed = needed
    }
}

extension WALCoverage {
    /// The gaps of the stored WAL on every timeline of which anything is stored, and on that of the server.
    ///
    /// - Parameters:
    ///   - histories: Of the timelines whose history file is stored. Of another than timeline 1 without one only its own
    ///     segments are compared.
    ///   - beginning: From where on the WAL along a history counts; `nil` for all of it.
    ///   - server: The timeline on which the server writes, and up to where: all segments before that one are finished.
    /// - Returns: In the order of timelines and positions, each missing segment once.
    package func gaps(
        histories: [UInt32: TimelineHistory], from beginning: (TimelineHistory) -> WALBeginning? = { _ in nil },
        upTo server: (timeline: UInt32, lsn: LogSequenceNumber)? = nil
    ) -> [WALGap] {
        var missing = WALCoverage(segmentSize: segmentSize)
        var following: [WALSegmentName: WALSegmentName] = [:]
        for timeline in Set(runs.keys).union(server.map { [$0.timeline] } ?? []).sorted() {
            let history = histories[timeline] ?? TimelineHistory(first: timeline)
            for gap in gaps(along: history, from: beginning(history), upTo: server) {
                missing.insert(gap.first.number...gap.last.number, timeline: gap.first.timeline)
                if let next = gap.next { following[gap.last] = next }
            }
        }
        return missing.runs.sorted { $0.key < $1.key }.flatMap { timeline, runs in
            runs.compactMap { run in
                gap(run, timeline).map { WALGap(first: $0.first, last: $0.last, next: following[$0.last]) }
            }
        }
    }

    /// The gaps in what recovery along one history would read.
    ///
    /// What is missing is what recovery would look for: each segment of the newest timeline that has a byte in it
    /// (``TimelineHistory/segment(_:size:)``). So the last segment of a timeline that was left in its middle is not
    /// missed: it is stored as `.partial`, or not at all, and its content begins the first segment of the timeline that
    /// follows. Anywhere else a `.partial` file is none that recovery reads. What is before the first stored segment is
    /// no gap, unless a backup needs it.
    ///
    /// - Returns: By position.
    package func gaps(
        along history: TimelineHistory, from beginning: WALBeginning?,
        upTo server: (timeline: UInt32, lsn: LogSequenceNumber)?
    ) -> [WALGap] {
        let finished = server.flatMap { $0.timeline == history.timeline ? segmentSize.number(containing: $0.lsn) : nil }
        var gaps: [WALGap] = []
        var hasBegun = beginning?.needed != nil
        var open: [(timeline: UInt32, numbers: ClosedRange<UInt64>)] = []
        func close(_ open: (timeline: UInt32, numbers: ClosedRange<UInt64>), before next: WALSegmentName?) {
            if let gap = gap(open.numbers, open.timeline) {
                gaps.append(WALGap(first: gap.first, last: gap.last, next: next))
            }
        }
        for part in parts(of: history, from: beginning, upTo: finished) {
            var cursor = part.numbers.lowerBound
            for run in runs[part.timeline] ?? [] where run.overlaps(part.numbers) {
                let lower = max(run.lowerBound, part.numbers.lowerBound)
                if cursor < lower, hasBegun { open.append((part.timeline, cursor...lower - 1)) }
                let next = WALSegmentName(timeline: part.timeline, number: lower, segmentSize: segmentSize)
                for gap in open { close(gap, before: next) }
                open = []
                hasBegun = true
                let end = min(run.upperBound, part.numbers.upperBound)
                cursor = end == .max ? end : end + 1
            }
            if hasBegun, cursor <= part.numbers.upperBound {
                open.append((part.timeline, cursor...part.numbers.upperBound))
            }
        }
        // What is behind the last stored segment is missing only if the server has finished it, or a backup needs it.
        for gap in open {
            if finished != nil {
                close(gap, before: nil)
            } else if let needed = beginning?.needed, needed.overlaps(gap.numbers) {
                close((gap.timeline, gap.numbers.clamped(to: needed.lowerBound...needed.upperBound - 1)), before: nil)
            }
        }
        return gaps
    }

    /// Which segments recovery along a history reads of which timeline: from where it counts to the newest stored one, or
    /// to the last one that a backup needs or that is before `finished`.
    private func parts(
        of history: TimelineHistory, from beginning: WALBeginning?, upTo finished: UInt64?
    ) -> [(timeline: UInt32, numbers: ClosedRange<UInt64>)] {
        let path = history.path
        var parts: [(timeline: UInt32, numbers: ClosedRange<UInt64>)] = []
        for (index, stretch) in path.enumerated() {
            let first = max(segmentSize.number(containing: stretch.start), beginning?.first ?? 0)
            let behind: UInt64
            if index + 1 < path.count {
                behind = segmentSize.number(containing: path[index + 1].start)
            } else {
                let newest = newest(onTimeline: stretch.timeline).map { $0 &+ 1 }
                behind = max(newest ?? 0, finished ?? 0, beginning?.needed?.upperBound ?? 0)
            }
            if first < behind { parts.append((stretch.timeline, first...behind - 1)) }
        }
        return parts
    }

    private func gap(_ numbers: ClosedRange<UInt64>, _ timeline: UInt32) -> (
        first: WALSegmentName, last: WALSegmentName
    )? {
        guard
            let first = WALSegmentName(timeline: timeline, number: numbers.lowerBound, segmentSize: segmentSize),
            let last = WALSegmentName(timeline: timeline, number: numbers.upperBound, segmentSize: segmentSize)
        else { return nil }
        return (first, last)
    }
}
