/// WAL that a server no longer had when it was asked for: a hole that nothing fills any more.
///
/// It is an object of the repository, so that it is known when the server, and whoever saw it, are gone.
package struct WALGapRecord: Sendable, Hashable, Codable {
    /// The timeline of the first byte.
    package var timeline: UInt32
    /// The first position that is missing, and the first behind it that is there.
    package var from: LogSequenceNumber
    package var to: LogSequenceNumber
    /// When it was found.
    package var foundAt: Timestamp
    /// The replication slot that should have kept the WAL.
    package var slot: String
    /// Why it is missing, in the server's words.
    package var reason: String

    package init(
        timeline: UInt32, from: LogSequenceNumber, to: LogSequenceNumber, foundAt: Timestamp, slot: String,
        reason: String
    ) {
        self.timeline = timeline
        self.from = from
        self.to = to
        self.foundAt = foundAt
        self.slot = slot
        self.reason = reason
    }

    /// What it is called in the repository: three numbers that sort as the gaps do.
    package var name: String {
        Self.namePrefix(WALReceptionStart(timeline: timeline, position: from)) + Self.digits(to)
    }

    /// With what the names of those begin that begin at a position.
    package static func namePrefix(_ start: WALReceptionStart) -> String {
        "\(start.timeline.eightHexDigits)-\(digits(start.position))-"
    }

    private static func digits(_ lsn: LogSequenceNumber) -> String {
        UInt32(lsn.position >> 32).eightHexDigits + UInt32(truncatingIfNeeded: lsn.position).eightHexDigits
    }

    /// What an operator is told of it.
    package var description: String {
        "The WAL from \(from) to \(to) on timeline \(timeline) is lost. No moment behind it can be reached from a backup "
            + "before it."
    }
}
