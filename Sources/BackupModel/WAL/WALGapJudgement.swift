/// A gap, or a part of one, and whether it is on the way to the timeline that is judged.
struct JudgedGap: Sendable, Hashable {
    var gap: WALArchiveStatus.Gap
    var isOnCurrentPath: Bool
}

extension WALArchiveFacts {
    /// The gaps, cut where what is known of their segments changes.
    var judgedGaps: [JudgedGap] {
        let path = Set((currentTimeline.flatMap { histories[$0] }?.path ?? []).map(\.timeline))
            .union(currentTimeline.map { [$0] } ?? [])
        return gaps.flatMap { gap in
            let age = age(of: gap)
            let isOnPath = path.contains(gap.first.timeline) && isBeforeFork(gap)
            return parts(of: gap, age).map { part in
                JudgedGap(
                    gap: WALArchiveStatus.Gap(
                        state: part.state, first: part.first.description, last: part.last.description,
                        count: part.last.number - part.first.number + 1, age: age),
                    isOnCurrentPath: isOnPath)
            }
        }
    }

    /// Whether recovery to the judged timeline would read the first segment of the gap.
    private func isBeforeFork(_ gap: WALGap) -> Bool {
        guard let timeline = currentTimeline, let history = histories[timeline] else { return true }
        return history.segment(gap.first.number, size: gap.first.size) == gap.first
    }

    /// How long the segments of a gap have been missing, at least: since a later one was stored, or, where there is none,
    /// no longer than since the newest one was.
    private func age(of gap: WALGap) -> Duration? {
        let since = gap.next.map { storedAt[$0] } ?? newest?.storedAt
        return since.map { max(.zero, now.since(clamping: $0)) }
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

extension WALArchiveFacts {
    /// The end of the newest run of stored segments that leads to the judged timeline, and of the pieces behind it.
    ///
    /// A timeline of which nothing is stored yet has the end of the one before, but no more of it than it continues.
    var storedEnd: LogSequenceNumber? {
        guard let timeline = currentTimeline else { return nil }
        let history = histories[timeline] ?? TimelineHistory(first: timeline)
        for stretch in history.path.reversed() {
            guard let newest = coverage.newest(onTimeline: stretch.timeline),
                let name = WALSegmentName(
                    timeline: stretch.timeline, number: newest, segmentSize: coverage.segmentSize),
                name.end > stretch.start
            else { continue }
            let end = min(name.end, stretch.end ?? name.end)
            guard stretch.timeline == timeline, let piecesEnd else { return end }
            return max(end, piecesEnd)
        }
        return nil
    }

    /// The growth of the timelines, with the server that was seen to write.
    var allGrowth: [WALTimelineGrowth] {
        guard let server, !server.isInRecovery else { return growth }
        let number = coverage.segmentSize.number(containing: server.lsn)
        var one =
            growth.first { $0.timeline == server.timeline }
            ?? WALTimelineGrowth(timeline: server.timeline, beganAt: nil, latestTime: nil, newestSegment: number)
        one.latestTime = max(one.latestTime ?? now, now)
        one.newestSegment = max(one.newestSegment, number)
        return growth.filter { $0.timeline != server.timeline } + [one]
    }

    var lag: WALArchiveStatus.Lag? {
        guard let server else { return nil }
        let finished = server.lsn.position - coverage.segmentSize.offset(of: server.lsn)
        let stored = storedEnd?.position ?? 0
        guard stored < finished else { return WALArchiveStatus.Lag(bytes: 0, time: .zero) }
        return WALArchiveStatus.Lag(
            bytes: finished - stored, time: newest?.storedAt.map { max(.zero, now.since(clamping: $0)) })
    }

    var exposure: WALArchiveStatus.Exposure {
        let end = storedEnd
        let bytes = server.map { server in
            let stored = end?.position ?? 0
            return server.lsn.position > stored ? server.lsn.position - stored : 0
        }
        var atMost = newest?.latestTime.map { max(.zero, now.since(clamping: $0)) }
        if bytes == 0 || isLastCommitStored { atMost = .zero }
        return WALArchiveStatus.Exposure(bytes: bytes, atMost: atMost, storedEnd: end)
    }
}

extension WALArchiveFacts {
    /// Whether the server says when it committed last, and that is stored.
    private var isLastCommitStored: Bool {
        guard let last = server?.lastCommitAt, let stored = newest?.latestTime else { return false }
        return last <= stored
    }
}

extension Timestamp {
    /// The time from `start` to this instant, of any two instants.
    fileprivate func since(clamping start: Timestamp) -> Duration {
        let (difference, overflow) = microseconds.subtractingReportingOverflow(start.microseconds)
        return .microseconds(overflow ? (microseconds < start.microseconds ? .min : .max) : difference)
    }
}
