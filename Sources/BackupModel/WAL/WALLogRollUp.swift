/// What the segments of one log folder say, together and each of them: the first level of the index.
///
/// It is a function of the segments alone, so that whoever makes it makes the same.
package struct WALLogRollUp: Sendable, Hashable {
    /// What they say together.
    package let summary: WALLogSummary
    /// What each says, in order.
    package let segments: [WALLogSegment]

    /// Rolls up segments that follow each other on one timeline.
    ///
    /// A record that goes on in a later one of them is completed. One that goes on behind the last of them is left as it
    /// is, for its reader to complete with what follows: then ``WALLogSummary/isOpen`` is true.
    ///
    /// - Returns: `nil` for no segments at all.
    package init?(_ log: WALLogName, _ size: WALSegmentSize, _ raw: [WALLogSegment]) {
        guard !raw.isEmpty else { return nil }
        var segments = raw
        var summary = WALLogSummary(timeline: log.timeline, log: log.log, segmentSize: size)
        for index in segments.indices {
            let completion = segments[index].summary.complete(with: raw[(index + 1)...].lazy.map(\.summary))
            summary.add(segments[index], isOpen: completion == .needsMore)
        }
        self.summary = summary
        self.segments = segments
    }

    /// A roll-up as it was read.
    ///
    /// - Returns: `nil` unless it is one of `log`, with all segments of that folder.
    package init?(_ log: WALLogName, _ size: WALSegmentSize, read summary: WALLogSummary, _ segments: [WALLogSegment]) {
        guard summary.timeline == log.timeline, summary.log == log.log, summary.segmentSize == size,
            let range = log.segments(size), Self.isWhole(range, segments.map(\.name))
        else { return nil }
        self.summary = summary
        self.segments = segments
    }

    /// What it says of a segment of its folder, when that is whole.
    package func segment(_ name: WALSegmentName) -> WALLogSegment? {
        let index = Int(name.number % summary.segmentSize.segmentsPerLog)
        return segments.indices.contains(index) && segments[index].name == name.description ? segments[index] : nil
    }

    /// Whether these are the names of all segments of the range, in order.
    private static func isWhole(_ range: WALSegmentRange, _ names: [String]) -> Bool {
        names.count == Int(range.count)
            && zip(range.numbers, names).allSatisfy { number, name in
                WALSegmentName(timeline: range.timeline, number: number, segmentSize: range.size)?.description == name
            }
    }
}

/// One segment in a roll-up: what its trailer says, and the size of its object.
package struct WALLogSegment: Sendable, Hashable, Codable {
    package var name: String
    package var storedBytes: Int64
    package var contentSHA256: SHA256Digest
    package var summary: WALSegmentSummary

    package init(name: String, storedBytes: Int64, contentSHA256: SHA256Digest, summary: WALSegmentSummary) {
        self.name = name
        self.storedBytes = storedBytes
        self.contentSHA256 = contentSHA256
        self.summary = summary
    }
}

/// What the segments of a log folder say together: enough to skip the folder in a search.
package struct WALLogSummary: Sendable, Hashable, Codable {
    package var timeline: UInt32
    package var log: UInt32
    package var segmentSize: WALSegmentSize
    /// The size of all their objects together.
    package private(set) var storedBytes: Int64 = 0
    package private(set) var overview = WALOverview()
    /// The greatest values of the settings that a standby must match, of all changes; `nil` if there is none.
    package private(set) var greatestParameters: HotStandbyParameters?
    /// Whether a record may be counted only with the segment behind the last one: what is said then is a bound, and
    /// exact once the segments are looked at one by one.
    package private(set) var isOpen = false

    init(timeline: UInt32, log: UInt32, segmentSize: WALSegmentSize) {
        self.timeline = timeline
        self.log = log
        self.segmentSize = segmentSize
    }

    mutating func add(_ segment: WALLogSegment, isOpen: Bool) {
        storedBytes += segment.storedBytes
        overview.add(segment.summary)
        for change in segment.summary.parameterChanges.entries {
            let change = HotStandbyParameters(change.parameters)
            greatestParameters = greatestParameters?.raised(by: [change]) ?? change
        }
        self.isOpen = self.isOpen || isOpen
    }
}

/// One folder in a roll-up over roll-ups.
package struct WALLogEntry: Sendable, Hashable, Codable {
    /// SHA-256 of the content of the folder's roll-up.
    package var contentSHA256: SHA256Digest
    package var summary: WALLogSummary

    package init(contentSHA256: SHA256Digest, summary: WALLogSummary) {
        self.contentSHA256 = contentSHA256
        self.summary = summary
    }
}

extension HotStandbyParameters {
    /// Those of a change in the WAL.
    package init(_ change: WALParameters) {
        self.init(
            maxConnections: change.maxConnections, maxWorkerProcesses: change.maxWorkerProcesses,
            maxWALSenders: change.maxWALSenders, maxPreparedTransactions: change.maxPreparedTransactions,
            maxLocksPerTransaction: change.maxLocksPerTransaction)
    }
}
