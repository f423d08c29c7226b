/// Which segments are kept beside a server that recovers, so that it finds them when it asks.
package enum WALReadAhead {
    /// What a spool lacks, and what it has in vain.
    package struct Plan: Sendable, Hashable {
        /// The segments to bring, in the order in which the server will ask for them.
        package var fetch: [WALSegmentName]
        /// The spooled segments that it will not ask for next.
        package var remove: Set<WALSegmentName>
    }

    /// How many segments are read ahead unless another number is asked for.
    package static let standardCount = 8
    /// How many may be: they take their size beside the server's own WAL.
    package static let possibleCounts = 0...64

    /// What to do when the server has last been given `asked`, and `spooled` is there.
    ///
    /// `asked` itself is neither brought nor removed: the server may be about to take it, or to ask for it again.
    package static func plan(after asked: WALSegmentName, spooled: Set<WALSegmentName>, count: Int) -> Plan {
        var window: [WALSegmentName] = []
        var next = asked.next
        while let segment = next, window.count < count {
            window.append(segment)
            next = segment.next
        }
        return Plan(
            fetch: window.filter { !spooled.contains($0) }, remove: spooled.subtracting(window).subtracting([asked]))
    }

    /// Whether `freeBytes` of a file system leave room for `count` segments that are not needed yet, and as much again.
    package static func hasRoom(_ freeBytes: Int64, count: Int, size: WALSegmentSize) -> Bool {
        freeBytes / 2 > Int64(count) * Int64(size.bytes)
    }
}

/// A segment in a spool that was proved, and when its file was written: one that was changed since is another file.
package struct SpooledSegment: Sendable, Hashable {
    package let segment: WALSegmentName
    /// When the file was last written, in nanoseconds of its file system's clock.
    package let modified: Int64

    package init(_ segment: WALSegmentName, modified: Int64) {
        self.segment = segment
        self.modified = modified
    }

    /// Returns `nil` unless `text` is the name that ``description`` gives.
    package init?(parsing text: some StringProtocol, segmentSize: WALSegmentSize) {
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let segment = WALSegmentName(parsing: parts[0], segmentSize: segmentSize),
            let modified = Int64(parts[1]), "\(modified)" == parts[1]
        else { return nil }
        self.init(segment, modified: modified)
    }
}

extension SpooledSegment: CustomStringConvertible {
    /// The name of its file.
    package var description: String { "\(segment)-\(modified)" }
}
