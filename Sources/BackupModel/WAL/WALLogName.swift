/// A log folder of the archive: the segments of one timeline whose names share their middle eight digits, 4 GiB of WAL.
package struct WALLogName: Sendable, Hashable {
    package let timeline: UInt32
    /// The upper half of the positions in it.
    package let log: UInt32

    package init(timeline: UInt32, log: UInt32) {
        self.timeline = timeline
        self.log = log
    }

    /// The segments that it has when it is whole; `nil` for timeline 0, which has none.
    package func segments(_ size: WALSegmentSize) -> WALSegmentRange? {
        guard timeline > 0 else { return nil }
        let first = UInt64(log) * size.segmentsPerLog
        return WALSegmentRange(timeline: timeline, numbers: first...first + size.segmentsPerLog - 1, size: size)
    }
}

extension WALLogName: CustomStringConvertible {
    /// The folder below that of the archive's WAL: `<timeline>/<log>`.
    package var description: String { "\(timeline.eightHexDigits)/\(log.eightHexDigits)" }
}

extension WALLogName: Comparable {
    /// By timeline, and within it by position.
    package static func < (lhs: Self, rhs: Self) -> Bool { (lhs.timeline, lhs.log) < (rhs.timeline, rhs.log) }
}

extension WALSegmentName {
    /// The folder that the segment is stored in.
    package var log: WALLogName {
        WALLogName(timeline: timeline, log: UInt32(truncatingIfNeeded: number / size.segmentsPerLog))
    }
}

extension WALSegmentRange {
    /// The folders that its segments are stored in, ascending.
    package var logs: some Sequence<WALLogName> {
        (numbers.lowerBound / size.segmentsPerLog...numbers.upperBound / size.segmentsPerLog).lazy.map {
            WALLogName(timeline: timeline, log: UInt32(truncatingIfNeeded: $0))
        }
    }

    /// The folder whose segments these are, all of them.
    package var wholeLog: WALLogName? {
        guard let log = first?.log, log.segments(size) == self else { return nil }
        return log
    }
}

/// Log folders of one timeline that follow each other, of which a roll-up over roll-ups tells.
package struct WALLogSpan: Sendable, Hashable {
    package let timeline: UInt32
    package let logs: ClosedRange<UInt32>

    package init(timeline: UInt32, logs: ClosedRange<UInt32>) {
        self.timeline = timeline
        self.logs = logs
    }

    /// No span reaches over a multiple of this many folders.
    package static let longest: UInt32 = 1024

    /// Returns `nil` unless `text` is such a name and the span is one that is made.
    package init?(parsing text: some StringProtocol, timeline: UInt32) {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = UInt32(eightHexDigits: ends[0]), let last = UInt32(eightHexDigits: ends[1]),
            first < last, first / Self.longest == last / Self.longest
        else { return nil }
        self.init(timeline: timeline, logs: first...last)
    }

    /// The name of its object: the first and the last folder.
    package var name: String { "\(logs.lowerBound.eightHexDigits)-\(logs.upperBound.eightHexDigits)" }
}

extension WALLogSpan {
    /// The spans to make of a timeline whose folders `rolledUp` have roll-ups, where there are `stored` ones.
    ///
    /// Each is as long as can be; one that an existing one holds is not needed, nor one of a single folder.
    package static func missing(
        of timeline: UInt32, rolledUp: some Sequence<UInt32>, stored: [WALLogSpan]
    ) -> [WALLogSpan] {
        var runs: [ClosedRange<UInt32>] = []
        for log in Set(rolledUp).sorted() {
            if let run = runs.last, run.upperBound + 1 == log, log % longest != 0 {
                runs[runs.count - 1] = run.lowerBound...log
            } else {
                runs.append(log...log)
            }
        }
        return runs.filter { run in run.count > 1 && !stored.contains { $0.logs.contains(run) } }
            .map { WALLogSpan(timeline: timeline, logs: $0) }
    }

    /// Those of `stored` that are not needed any more: a longer one holds them, or no folder of theirs has a roll-up.
    package static func superfluous(of stored: [WALLogSpan], rolledUp: Set<UInt32>) -> [WALLogSpan] {
        stored.filter { span in
            stored.contains { $0 != span && $0.logs.contains(span.logs) } || rolledUp.isDisjoint(with: span.logs)
        }
    }

    /// The one of `stored` that tells of most folders, among them this one.
    package static func longest(of stored: [WALLogSpan], holding log: UInt32) -> WALLogSpan? {
        stored.filter { $0.logs.contains(log) }.max { ($0.logs.count, $0.name) < ($1.logs.count, $1.name) }
    }
}
