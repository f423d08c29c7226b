/// A gap, or a part of one, and whether it is on the way to the timeline that is judged.
struct JudgedGap: Sendable, Hashable {
    var gap: WALArchiveStatus.Gap
    var isOnCurrentPath: Bool
}

extension WALArchiveFacts {
    /// The gaps, cut where what is known of their segments changes.
    var judgedGaps: [JudgedGap] {
        otherGaps.flatMap { judge($0, isOnCurrentPath: false) }
            + currentGaps.flatMap { judge($0, isOnCurrentPath: true) }
    }

    private func judge(_ gap: WALGap, isOnCurrentPath: Bool) -> [JudgedGap] {
        let age = age(of: gap)
        return parts(of: gap, age).map { part in
            JudgedGap(
                gap: WALArchiveStatus.Gap(
                    state: part.state, first: part.first.description, last: part.last.description,
                    count: part.last.number - part.first.number + 1, age: age),
                isOnCurrentPath: isOnCurrentPath)
        }
    }

    /// How long the segments of a gap have been missing, at least.
    ///
    /// That is since a later one was stored, or, where there is none, no longer than since the last commit before it.
    /// Nobody knows since when WAL is missing that was there when a backup ended.
    private func age(of gap: WALGap) -> Duration? {
        if gap.next == nil, gap.first.timeline != server?.timeline { return nil }
        return (gap.next.map { storedAt[$0] } ?? latestTime).flatMap(age)
    }

    /// A range of segments that are missing for the same reason.
    private struct Part {
        var state: WALArchiveStatus.GapState
        var first: WALSegmentName
        var last: WALSegmentName
    }

    private func parts(of gap: WALGap, _ age: Duration?) -> [Part] {
        func isInside(_ name: WALSegmentName) -> Bool {
            name.timeline == gap.first.timeline && name.size == gap.first.size
                && (gap.first.number...gap.last.number).contains(name.number)
        }
        var known: [UInt64: WALArchiveStatus.GapState] = [:]
        for name in server?.ready ?? [] where isInside(name) { known[name.number] = .delayed }
        for name in server?.segments ?? [] where isInside(name) { known[name.number] = .delayed }
        for (name, age) in uploads where isInside(name) && age <= delay { known[name.number] = .uploading }
        let rest: WALArchiveStatus.GapState =
            if server?.segments != nil { .lost } else if let age, age <= delay { .delayed } else { .lost }

        var parts: [Part] = []
        func add(_ numbers: ClosedRange<UInt64>, _ state: WALArchiveStatus.GapState) {
            let timeline = gap.first.timeline
            let size = gap.first.size
            guard let first = WALSegmentName(timeline: timeline, number: numbers.lowerBound, segmentSize: size),
                let last = WALSegmentName(timeline: timeline, number: numbers.upperBound, segmentSize: size)
            else { return }
            if let before = parts.last, before.state == state {
                parts[parts.count - 1].last = last
            } else {
                parts.append(Part(state: state, first: first, last: last))
            }
        }
        var lower = gap.first.number
        for (number, state) in known.sorted(by: { $0.key < $1.key }) {
            if lower < number { add(lower...number - 1, rest) }
            add(number...number, state)
            lower = number + 1
        }
        if lower <= gap.last.number { add(lower...gap.last.number, rest) }
        return parts
    }
}
