/// A range of segments that a recovery along some timeline would read, and that are not stored.
package struct WALGap: Sendable, Hashable {
    /// The first and the last segment that is missing.
    package let first: WALSegmentName
    package let last: WALSegmentName
    /// The next segment that is stored, on the same timeline or on the one that continues it; `nil` if there is none: then
    /// the missing ones are the newest, which the server has finished.
    package let next: WALSegmentName?

    /// How many segments are missing.
    package var count: UInt64 { last.number - first.number + 1 }
}

extension WALCoverage {
    /// The gaps of the stored WAL on every timeline of which anything is stored, and on that of the server.
    ///
    /// What is missing is what recovery would look for: along a timeline's history each segment of the newest timeline that
    /// has a byte in it (``TimelineHistory/segment(_:size:)``). So the last segment of a timeline that was left in its
    /// middle is not missed: it is stored as `.partial`, or not at all, and its content begins the first segment of the
    /// timeline that follows. Anywhere else a `.partial` file is none that recovery reads. What is before the first stored
    /// segment of a history is no gap.
    ///
    /// - Parameters:
    ///   - histories: Of the timelines whose history file is stored. Of another than timeline 1 without one only its own
    ///     segments are compared.
    ///   - server: The timeline on which the server writes, and up to where: all segments before that one are finished.
    /// - Returns: In the order of timelines and positions, each missing segment once.
    package func gaps(
        histories: [UInt32: TimelineHistory], upTo server: (timeline: UInt32, lsn: LogSequenceNumber)? = nil
    ) -> [WALGap] {
        var missing = WALCoverage(segmentSize: segmentSize)
        var following: [WALSegmentName: WALSegmentName] = [:]
        for timeline in Set(runs.keys).union(server.map { [$0.timeline] } ?? []).sorted() {
            let history = histories[timeline] ?? TimelineHistory(first: timeline)
            let finished = server.flatMap { $0.timeline == timeline ? segmentSize.number(containing: $0.lsn) : nil }
            var hasBegun = false
            var open: [(timeline: UInt32, numbers: ClosedRange<UInt64>)] = []
            for part in parts(of: history, upTo: finished) {
                var cursor = part.numbers.lowerBound
                for run in runs[part.timeline] ?? [] where run.overlaps(part.numbers) {
                    let lower = max(run.lowerBound, part.numbers.lowerBound)
                    if cursor < lower, hasBegun { open.append((part.timeline, cursor...lower - 1)) }
                    let next = WALSegmentName(timeline: part.timeline, number: lower, segmentSize: segmentSize)
                    for gap in open {
                        missing.insert(gap.numbers, timeline: gap.timeline)
                        if let last = name(gap.numbers.upperBound, gap.timeline) { following[last] = next }
                    }
                    open = []
                    hasBegun = true
                    let end = min(run.upperBound, part.numbers.upperBound)
                    cursor = end == .max ? end : end + 1
                }
                if hasBegun, cursor <= part.numbers.upperBound {
                    open.append((part.timeline, cursor...part.numbers.upperBound))
                }
            }
            // What is behind the last stored segment is missing only if the server has finished it.
            if finished != nil { for gap in open { missing.insert(gap.numbers, timeline: gap.timeline) } }
        }
        return missing.gaps(following: following)
    }

    /// Which segments recovery along a history reads of which timeline, up to the newest stored one, or to the last one
    /// before `finished`.
    private func parts(
        of history: TimelineHistory, upTo finished: UInt64?
    ) -> [(timeline: UInt32, numbers: ClosedRange<UInt64>)] {
        let path = history.path
        var parts: [(timeline: UInt32, numbers: ClosedRange<UInt64>)] = []
        for (index, stretch) in path.enumerated() {
            let first = segmentSize.number(containing: stretch.start)
            let behind: UInt64
            if index + 1 < path.count {
                behind = segmentSize.number(containing: path[index + 1].start)
            } else {
                let newest = newest(onTimeline: stretch.timeline).map { $0 &+ 1 }
                behind = max(newest ?? 0, finished ?? 0)
            }
            if first < behind { parts.append((stretch.timeline, first...behind - 1)) }
        }
        return parts
    }

    private func name(_ number: UInt64, _ timeline: UInt32) -> WALSegmentName? {
        WALSegmentName(timeline: timeline, number: number, segmentSize: segmentSize)
    }

    /// These segments as gaps.
    private func gaps(following: [WALSegmentName: WALSegmentName]) -> [WALGap] {
        runs.sorted { $0.key < $1.key }.flatMap { timeline, runs in
            runs.compactMap { run in
                guard let first = name(run.lowerBound, timeline), let last = name(run.upperBound, timeline) else {
                    return nil
                }
                return WALGap(first: first, last: last, next: following[last])
            }
        }
    }
}
