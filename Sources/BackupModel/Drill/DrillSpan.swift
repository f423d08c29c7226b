/// A stretch of a drill's time, measured on a monotonic clock or assumed by its policy.
package struct DrillSpan: Sendable, Hashable {
    /// What was being done.
    package enum Phase: String, Sendable, Hashable, CaseIterable, Codable {
        /// Until the failure is noticed.
        case detect
        /// Until somebody decides to restore.
        case declare
        /// Making an empty server.
        case provision
        /// Choosing the backup and reading its manifest.
        case select
        /// Reading stored bytes ahead of the restore.
        case fetch
        /// Writing the data back.
        case restore
        /// Replaying WAL.
        case replay
        /// Becoming a server that takes writes.
        case promote
        /// Statistics, after which queries run as they should.
        case warmUp = "warm_up"
        /// Gating checks.
        case verify
        /// Advisory checks, which no recovery would wait for.
        case deepVerify = "deep_verify"
        /// Removing the server.
        case cleanup
        /// Time that passed before recovery was proved and that no span covers.
        case other

        /// Whether recovery waits for it.
        package var isPartOfRecovery: Bool { self != .deepVerify && self != .cleanup }
    }

    /// How a length is known.
    package enum Basis: String, Sendable, Hashable, Codable {
        /// On the drill's monotonic clock.
        case measured
        /// From the policy.
        case assumed
    }

    /// What was being done.
    package var phase: Phase
    /// When it began, after the declared failure; `nil` if it is no single stretch of the drill's clock.
    package var start: Duration?
    /// How long it took.
    package var duration: Duration
    /// How that is known.
    package var basis: Basis
    /// The bytes it moved.
    package var bytes: Int64?

    /// Makes a measured span that began `start` after the declared failure.
    package init(_ phase: Phase, start: Duration, duration: Duration, bytes: Int64? = nil) {
        self.phase = phase
        self.start = start
        self.duration = duration
        self.bytes = bytes
        basis = .measured
    }

    /// Makes a span that has a length but no place on the drill's clock.
    init(_ phase: Phase, duration: Duration, basis: Basis) {
        self.phase = phase
        self.duration = duration
        self.basis = basis
    }
}

extension Sequence<DrillSpan> {
    /// The time that at least one of these spans covers before `end`: overlaps count once.
    ///
    /// At least the longest of them, and at most their sum.
    package func criticalPath(until end: Duration) -> Duration {
        let stretches = compactMap { span -> (start: Duration, end: Duration)? in
            guard let start = span.start, start < end else { return nil }
            return (start, Swift.min(start + span.duration, end))
        }
        var total = Duration.zero
        var reached: Duration?
        for stretch in stretches.sorted(by: { $0.start < $1.start }) {
            let from = Swift.max(stretch.start, reached ?? stretch.start)
            if stretch.end > from { total += stretch.end - from }
            reached = Swift.max(stretch.end, reached ?? stretch.end)
        }
        return total
    }
}
