/// Where the source had written its WAL to at the declared failure, as it said itself.
package struct SourcePosition: Sendable, Hashable {
    package var lsn: LogSequenceNumber
    package var timeline: UInt32
    /// Its clock against that of the drill's host, then.
    package var clock: ClockDifference

    package init(lsn: LogSequenceNumber, timeline: UInt32, clock: ClockDifference) {
        self.lsn = lsn
        self.timeline = timeline
        self.clock = clock
    }
}

/// What came of asking the source at the declared failure; a drill goes on without it.
package enum SourceAnswer: Sendable, Hashable {
    case position(SourcePosition)
    /// Why nothing is known.
    case none(String)

    package var position: SourcePosition? { if case .position(let position) = self { position } else { nil } }

    /// What a server that calls itself `facts` says of the cluster `systemIdentifier`, which is recovered on `timeline`.
    package init(
        _ facts: ServerFacts, clock: ClockDifference, of systemIdentifier: String, onTimeline timeline: UInt32
    ) {
        if facts.systemIdentifier != systemIdentifier {
            self = .none("another cluster answers, of the system identifier \(facts.systemIdentifier)")
        } else if facts.inRecovery {
            self = .none("a standby answers, which does not know what its primary wrote")
        } else if facts.timeline != timeline {
            self = .none("it writes timeline \(facts.timeline), and timeline \(timeline) is recovered")
        } else {
            self = .position(SourcePosition(lsn: facts.currentLSN, timeline: facts.timeline, clock: clock))
        }
    }
}
