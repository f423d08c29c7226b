/// Where a timeline comes from: which timelines it continues, and up to which position each of them counts.
///
/// PostgreSQL writes it to `<timeline>.history` when a timeline begins, and never for timeline 1
/// (src/backend/access/transam/timeline.c).
package struct TimelineHistory: Sendable, Hashable {
    /// An ancestor, and where it was left.
    package struct Ancestor: Sendable, Hashable {
        /// The ancestor.
        package let timeline: UInt32
        /// The first position that no longer belongs to it, but to its successor.
        package let end: LogSequenceNumber
        /// Why it was left, in the words of the server that did.
        package let reason: String
    }

    /// A stretch of the log on one timeline, from `start` to just before `end`; without an end if it goes on.
    package struct Stretch: Sendable, Hashable {
        /// The timeline.
        package let timeline: UInt32
        /// The first position.
        package let start: LogSequenceNumber
        /// The position behind the last; `nil` for the timeline whose history this is.
        package let end: LogSequenceNumber?
    }

    /// The timeline whose history this is.
    package let timeline: UInt32
    /// The timelines that it continues, oldest first.
    package let ancestors: [Ancestor]

    /// The history of a timeline that continues no other, as timeline 1.
    package init(first timeline: UInt32) {
        self.timeline = timeline
        ancestors = []
    }

    /// Reads the content of `<timeline>.history`.
    ///
    /// - Throws: `objectDamaged` for a line that is neither a comment, nor blank, nor an ancestor; for ancestors that
    ///   do not ascend up to `timeline`; and for positions that go back.
    package init(timeline: UInt32, parsing text: some StringProtocol) throws(BackupError) {
        self.timeline = timeline
        var ancestors: [Ancestor] = []
        for (index, line) in text.utf8.split(separator: ASCII.lineFeed, omittingEmptySubsequences: false).enumerated() {
            let content = line.drop(while: ASCII.isSpace)
            guard let first = content.first, first != UInt8(ascii: "#") else { continue }
            guard let ancestor = Ancestor(parsing: Substring(decoding: content, as: UTF8.self)) else {
                throw Self.damaged(timeline, line: index + 1, "it is not a timeline, a position and a reason")
            }
            guard ancestor.timeline > ancestors.last?.timeline ?? 0, ancestor.timeline < timeline else {
                throw Self.damaged(timeline, line: index + 1, "timeline \(ancestor.timeline) is out of order")
            }
            if let before = ancestors.last, ancestor.end < before.end {
                throw Self.damaged(timeline, line: index + 1, "\(ancestor.end) is before \(before.end)")
            }
            ancestors.append(ancestor)
        }
        self.ancestors = ancestors
    }

    private static func damaged(_ timeline: UInt32, line: Int, _ why: String) -> BackupError {
        BackupError(
            .objectDamaged, "The timeline history file \(timeline.eightHexDigits).history is malformed.",
            reason: "line \(line): \(why)",
            remedy: "Compare it with the same file in pg_wal of the server that is on timeline \(timeline), or of a "
                + "standby of it.")
    }
}

extension TimelineHistory {
    /// The numbers of the timelines that this one continues.
    package var ancestorTimelines: Set<UInt32> { Set(ancestors.map(\.timeline)) }

    /// The stretches of the log that lead to this timeline, oldest first.
    ///
    /// An ancestor that was left where it began has none.
    package var path: [Stretch] {
        var start = LogSequenceNumber(position: 0)
        var stretches: [Stretch] = []
        for ancestor in ancestors {
            if start < ancestor.end {
                stretches.append(Stretch(timeline: ancestor.timeline, start: start, end: ancestor.end))
            }
            start = max(start, ancestor.end)
        }
        return stretches + [Stretch(timeline: timeline, start: start, end: nil)]
    }

    /// The timeline to which the byte at `lsn` belongs.
    ///
    /// A position where a timeline was left belongs to its successor.
    package func timeline(at lsn: LogSequenceNumber) -> UInt32 {
        ancestors.first { lsn < $0.end }?.timeline ?? timeline
    }

    /// The segment, of those with this number, that recovery along this history reads first: the one of the newest
    /// timeline that has a byte in it.
    ///
    /// A timeline begins in the middle of a segment, whose file repeats what its ancestor had before.
    package func segment(_ number: UInt64, size: WALSegmentSize) -> WALSegmentName? {
        let newest = path.last { size.number(containing: $0.start) <= number }
        return WALSegmentName(timeline: newest?.timeline ?? timeline, number: number, segmentSize: size)
    }
}

extension TimelineHistory.Ancestor {
    /// Returns `nil` unless `line` is a number, an LSN and anything more, with white space between them.
    fileprivate init?(parsing line: Substring) {
        let fields = line.split(maxSplits: 2) { $0.asciiValue.map(ASCII.isSpace) ?? false }
        guard fields.count >= 2, fields[0].utf8.allSatisfy(ASCII.isDigit), let timeline = UInt32(fields[0]),
            timeline > 0, let end = LogSequenceNumber(parsing: fields[1])
        else { return nil }
        self.timeline = timeline
        self.end = end
        var reason = fields.count > 2 ? fields[2].drop { $0.asciiValue.map(ASCII.isSpace) ?? false } : ""
        while let last = reason.utf8.last, ASCII.isSpace(last) { reason.removeLast() }
        self.reason = String(reason)
    }
}
