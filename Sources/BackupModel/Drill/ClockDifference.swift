/// How far the clock of a server was from that of a host which read its own before and after it.
package struct ClockDifference: Sendable, Hashable {
    /// The server's clock minus the host's.
    package var skew: Duration
    /// How far the true difference may be from ``skew``, to either side.
    package var uncertainty: Duration

    /// Compares the server's time with the host's `start` and `end`, between which it was read.
    package init(server: Timestamp, between start: Timestamp, and end: Timestamp) {
        uncertainty = max(end.since(start), .zero) / 2
        skew = server.since(start) - uncertainty
    }

    /// By how much a time of one clock may be wrong on the other.
    package var bound: Duration { max(skew, .zero - skew) + uncertainty }
}

extension BackupManifest {
    /// The server's clock against that of the host that took the backup, as far as the backup tells.
    package var clockDifference: ClockDifference {
        let asking = phases.first.flatMap { $0.name == "connect" ? Duration.seconds($0.seconds) : nil }
        return ClockDifference(
            server: server.clock, between: startedAt, and: asking.map(startedAt.advanced(by:)) ?? finishedAt)
    }
}
