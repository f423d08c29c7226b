/// When WAL of one timeline was written, as far as it is stored: the times are those of commits and rollbacks, by the clock
/// of the server that wrote them.
///
/// The times at which segments were stored do not count: an archiver may store later what was written before.
package struct WALTimelineGrowth: Sendable, Hashable {
    package var timeline: UInt32
    /// When the timeline began: the time of its end-of-recovery record or of the checkpoint in its place, else of its
    /// first commit.
    package var beganAt: Timestamp?
    /// The greatest time in the newest segments of the timeline, or a moment at which a server was seen to write on it.
    package var latestTime: Timestamp?
    /// The newest stored segment, `.partial` files not counted.
    package var newestSegment: UInt64

    /// What is known of one timeline.
    package init(timeline: UInt32, beganAt: Timestamp?, latestTime: Timestamp?, newestSegment: UInt64) {
        self.timeline = timeline
        self.beganAt = beganAt
        self.latestTime = latestTime
        self.newestSegment = newestSegment
    }
}

/// Two timelines on which servers wrote at the same time.
package struct TwoServersWrite: Sendable, Hashable, Codable {
    /// The older and the newer timeline.
    package var timelines: [UInt32]
    /// From when on both were written, and until when at least.
    package var from: Timestamp
    package var until: Timestamp
    /// Whether both were written lately, so that it may go on.
    package var isNow: Bool
}

extension TwoServersWrite {
    /// How far the clocks of two servers may be apart before times are believed to tell an order.
    package static let clockTolerance = Duration.seconds(60)

    /// The pairs of timelines on which servers wrote at once.
    ///
    /// A timeline and one that continues it were written at once if the older one has a stored segment that is, at
    /// least in part, behind the point where the newer one left it, and a time in its newest WAL that is later than the
    /// beginning of the newer one, by more than the clocks may differ. WAL behind that point alone is no proof: a
    /// primary that failed had often written more than its standby received. Two timelines that both continue a third
    /// were written at once if the spans of their times overlap by more than that.
    ///
    /// It is going on if both have a time that is no longer ago than `lately`.
    package static func find(
        _ growth: [WALTimelineGrowth], histories: [UInt32: TimelineHistory], segmentSize: WALSegmentSize,
        now: Timestamp, lately: Duration
    ) -> [TwoServersWrite] {
        let growth = growth.sorted { $0.timeline < $1.timeline }
        var beginnings: [UInt32: Timestamp] = [:]
        for one in growth { beginnings[one.timeline] = one.beganAt }
        var found: [TwoServersWrite] = []
        for (index, newer) in growth.enumerated() {
            guard let history = histories[newer.timeline], let newerEnd = newer.latestTime else { continue }
            for older in growth[..<index] {
                guard let olderEnd = older.latestTime else { continue }
                let begin: Timestamp?
                if let place = history.ancestors.firstIndex(where: { $0.timeline == older.timeline }) {
                    guard older.newestSegment >= segmentSize.number(containing: history.ancestors[place].end) else {
                        continue
                    }
                    // The timeline that left it need not be the newer one itself.
                    let child = history.ancestors.dropFirst(place + 1).first?.timeline ?? newer.timeline
                    begin = beginnings[child] ?? newer.beganAt
                } else {
                    begin = [older.beganAt, newer.beganAt].compactMap(\.self).max()
                }
                let end = min(olderEnd, newerEnd)
                guard let begin, end.microseconds.isLater(than: begin.microseconds, by: clockTolerance) else {
                    continue
                }
                found.append(
                    TwoServersWrite(
                        timelines: [older.timeline, newer.timeline], from: begin, until: end,
                        isNow: !now.microseconds.isLater(than: end.microseconds, by: lately)))
            }
        }
        return found
    }
}

extension Int64 {
    /// Whether an instant in microseconds is more than `duration` behind another one; of any two instants.
    fileprivate func isLater(than other: Int64, by duration: Duration) -> Bool {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? self > other : difference > duration.wholeMicroseconds
    }
}
