/// What the summaries of segments that follow each other say together, as far as a search needs it to skip them.
///
/// It takes the same room whatever the number of segments.
package struct WALOverview: Sendable, Hashable, Codable {
    /// The greatest time of a commit or rollback, which need not be that of the last one.
    package private(set) var latestTransactionTime: Timestamp?
    /// Where the record of the last commit or rollback begins.
    package private(set) var lastTransactionEnd: LogSequenceNumber?
    /// The greatest time of a checkpoint, a restore point or the beginning of a timeline.
    package private(set) var latestWitnessTime: Timestamp?
    /// How many restore points there are.
    package private(set) var restorePoints = 0
    /// How many tablespaces are made.
    package private(set) var tablespaceCreations = 0
    /// The first byte of the first segment whose valid WAL ends before it does.
    package private(set) var firstUnreadable: LogSequenceNumber?

    /// Of no segment.
    package init() {}
}

extension WALOverview {
    /// The greatest time that a record has.
    package var latestTime: Timestamp? { [latestTransactionTime, latestWitnessTime].compactMap(\.self).max() }

    /// Adds the segment that follows.
    package mutating func add(_ summary: WALSegmentSummary) {
        var other = WALOverview()
        other.latestTransactionTime = summary.latestTime
        other.lastTransactionEnd = summary.lastTransactionEnd
        other.latestWitnessTime = summary.witnesses.map(\.time).max()
        other.restorePoints = summary.restorePoints.entries.count
        other.tablespaceCreations = summary.tablespaceCreations.entries.count
        other.firstUnreadable = summary.damage == nil ? nil : summary.start
        add(other)
    }

    /// Adds the segments that follow.
    package mutating func add(_ other: WALOverview) {
        latestTransactionTime = [latestTransactionTime, other.latestTransactionTime].compactMap(\.self).max()
        lastTransactionEnd = other.lastTransactionEnd ?? lastTransactionEnd
        latestWitnessTime = [latestWitnessTime, other.latestWitnessTime].compactMap(\.self).max()
        restorePoints &+= other.restorePoints
        tablespaceCreations &+= other.tablespaceCreations
        firstUnreadable = firstUnreadable ?? other.firstUnreadable
    }
}

extension WALSegmentSummary {
    /// A record that says when it was written, and is no end of a transaction.
    struct Witness: Sendable, Hashable {
        var lsn: LogSequenceNumber
        var time: Timestamp
    }

    /// The records that prove that the WAL goes on to a time, in the order of their positions.
    var witnesses: [Witness] {
        var witnesses = restorePoints.entries.map { Witness(lsn: $0.lsn, time: $0.time) }
        witnesses += timelineBeginnings.entries.map { Witness(lsn: $0.lsn, time: $0.time) }
        if let checkpoint { witnesses.append(Witness(lsn: checkpoint.lsn, time: checkpoint.time)) }
        return witnesses.sorted { ($0.lsn, $0.time) < ($1.lsn, $1.time) }
    }

    /// The greatest position at which a whole record is known to begin.
    var lastKnownRecord: LogSequenceNumber? {
        [lastWholeRecord, lastTransactionEnd, witnesses.last?.lsn].compactMap(\.self).max()
    }
}
