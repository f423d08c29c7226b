extension WALArchiveFacts {
    /// How long ago an instant was; `nil` for one that is to come by more than clocks may differ, as one of them is wrong.
    package func age(of time: Timestamp) -> Duration? {
        let age = now.since(clamping: time)
        return age < .zero - TwoServersWrite.clockTolerance ? nil : max(.zero, age)
    }

    /// Up to where whole segments are stored without a hole, from the newest backup on, on the way to the timeline that is
    /// judged; `nil` if none are.
    ///
    /// A timeline of which nothing is stored yet has the end of the one before, but no more of it than it continues.
    package var wholeEnd: LogSequenceNumber? {
        guard let newest = newestEnd else { return nil }
        return currentGaps.first.map { min(newest, $0.first.start) } ?? newest
    }

    /// The same with the pieces behind it.
    var storedEnd: LogSequenceNumber? {
        guard let end = wholeEnd, let piecesEnd else { return wholeEnd }
        return max(end, piecesEnd)
    }

    /// The end of the newest stored segment, whatever is missing before it.
    private var newestEnd: LogSequenceNumber? {
        for stretch in (currentHistory?.path ?? []).reversed() {
            guard let newest = coverage.newest(onTimeline: stretch.timeline),
                let name = WALSegmentName(
                    timeline: stretch.timeline, number: newest, segmentSize: coverage.segmentSize),
                name.end > stretch.start
            else { continue }
            return min(name.end, stretch.end ?? name.end)
        }
        return nil
    }

    /// The segment of which pieces would go on where the whole ones end; `nil` where something is stored behind it.
    package var unfinishedSegment: WALSegmentName? {
        guard let timeline = currentTimeline, let end = wholeEnd, currentGaps.first?.next == nil else { return nil }
        return unfinished.first {
            $0.timeline == timeline && $0.number == coverage.segmentSize.number(containing: end)
        }
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
        let size = coverage.segmentSize
        guard let end = storedEnd else {
            return WALArchiveStatus.Lag(bytes: server.lsn.position - size.offset(of: server.lsn), time: nil)
        }
        guard let first = currentGaps.first else { return WALArchiveStatus.Lag(bytes: 0, time: .zero) }
        let missing = currentGaps.reduce(0) { $0 + $1.count } * size.bytes
        // Of the first one pieces may be stored.
        let pieces = end > first.first.start ? end.position - first.first.start.position : 0
        return WALArchiveStatus.Lag(bytes: missing - min(missing, pieces), time: latestTime.flatMap(age))
    }

    var exposure: WALArchiveStatus.Exposure {
        let end = storedEnd
        let bytes = server.map { server in
            let stored = end?.position ?? 0
            return server.lsn.position > stored ? server.lsn.position - stored : 0
        }
        let isNothing = bytes == 0 || isLastCommitStored
        return WALArchiveStatus.Exposure(
            bytes: bytes, atMost: isNothing ? .zero : latestTime.flatMap(age), storedEnd: end)
    }

    /// Whether the server says when it committed last, and that is stored.
    private var isLastCommitStored: Bool {
        guard let last = server?.lastCommitAt, let stored = latestTime else { return false }
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
