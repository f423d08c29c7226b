/// Up to which moment the restored data reach, and how far that is before the declared failure.
package struct RecoveryPoint: Sendable, Hashable {
    /// What the moment rests on.
    package enum Basis: String, Sendable, Hashable, Codable {
        /// The clock read in the snapshot that a dump was taken from.
        case dumpSnapshot = "dump snapshot"
        /// A heartbeat in the WAL that was replayed.
        case heartbeat
        /// The last time that the WAL which was replayed tells: nothing says that the source wrote nothing since.
        case lastRecord = "last record"
        /// The moment that recovery was to end at, and did.
        case target
        /// The source had written no WAL at the declared failure that was not replayed.
        case sourcePosition = "source position"

        /// Whether the time between two clocks is compared.
        package var comparesClocks: Bool { self != .target && self != .sourcePosition }
    }

    /// What the replayed WAL is compared with.
    package enum LossBasis: String, Sendable, Hashable, Codable {
        /// Where the source had written to at the declared failure.
        case source = "source position"
        /// The end of what is stored.
        case archive = "end of the archive"
    }

    /// WAL that was written and not replayed.
    package struct Loss: Sendable, Hashable {
        package var bytes: UInt64
        package var basis: LossBasis

        /// From `replayed` to `end`.
        package init(from replayed: LogSequenceNumber, to end: LogSequenceNumber, _ basis: LossBasis) {
            bytes = end.position - min(end.position, replayed.position)
            self.basis = basis
        }
    }

    /// The snapshot that one database was dumped from.
    package struct Snapshot: Sendable, Hashable {
        /// The database.
        package var database: String
        /// The server's clock in it.
        package var at: Timestamp
        /// The WAL position in it.
        package var lsn: LogSequenceNumber?
        /// The timeline of that position.
        package var timeline: UInt32?

        /// Makes a snapshot.
        package init(database: String, at: Timestamp, lsn: LogSequenceNumber? = nil, timeline: UInt32? = nil) {
            self.database = database
            self.at = at
            self.lsn = lsn
            self.timeline = timeline
        }
    }

    /// The time between ``covered`` and the declared failure: what would have been lost.
    package var actual: Duration
    /// How far the true value may be from ``actual``, to either side.
    package var uncertainty: Duration
    /// What it rests on.
    package var basis: Basis
    /// All that was committed before this moment is there.
    package var covered: Timestamp
    /// The database whose snapshot it is.
    package var database: String?
    /// The WAL position at that moment.
    package var lsn: LogSequenceNumber?
    /// The timeline of that position.
    package var timeline: UInt32?
    /// The moment of the damage that recovery ends before; `nil` is the declared failure.
    package var failure: Timestamp?
    /// Whether less may have been lost than ``actual``, and not more.
    package var isUpperBound = false

    /// WAL that was written and not recovered; `nil` if that is not known.
    package var loss: Loss?
    /// Where the source had written to at the declared failure, if it said so.
    package var source: SourcePosition?

    /// The recovery point of a recovery to the end of the WAL, the last of which is from `covered`; `lsn` is the end of
    /// what was replayed, and `stored` that of what is stored.
    ///
    /// A source that had written no more proves that nothing was lost, whatever clocks say. With a heartbeat in the WAL it
    /// is known to have written until then; otherwise it may have been idle since, and ``actual`` is the most that was
    /// lost.
    package init(
        endOfWAL covered: Timestamp, hasHeartbeat: Bool, lsn: LogSequenceNumber, stored: LogSequenceNumber,
        timeline: UInt32, declaredFailure: Timestamp, clockUncertainty: Duration, source: SourcePosition? = nil
    ) {
        self.lsn = lsn
        self.timeline = timeline
        self.source = source
        loss = source.map { Loss(from: lsn, to: $0.lsn, .source) } ?? Loss(from: lsn, to: stored, .archive)
        if let source, source.lsn <= lsn {
            actual = .zero
            uncertainty = .zero
            basis = .sourcePosition
            self.covered = declaredFailure
            return
        }
        let age = declaredFailure.since(covered)
        actual = max(age, .zero)
        uncertainty = clockUncertainty + max(.zero - age, .zero)
        basis = hasHeartbeat ? .heartbeat : .lastRecord
        self.covered = covered
        isUpperBound = !hasHeartbeat
    }

    /// The recovery point of a recovery that ended as soon as the backup was consistent, measured to the moment `stop` at
    /// which that was; the last of the WAL that was replayed is from `covered`.
    ///
    /// Nothing is said of what was written after the backup.
    package init(
        consistentAt stop: Timestamp, covered: Timestamp, hasHeartbeat: Bool, lsn: LogSequenceNumber, timeline: UInt32,
        clockUncertainty: Duration
    ) {
        let age = stop.since(covered)
        actual = max(age, .zero)
        uncertainty = clockUncertainty + max(.zero - age, .zero)
        basis = hasHeartbeat ? .heartbeat : .lastRecord
        self.covered = covered
        failure = stop
        self.lsn = lsn
        self.timeline = timeline
        isUpperBound = !hasHeartbeat
    }

    /// The recovery point of a recovery to a chosen moment, which ended there: nothing before it was lost.
    ///
    /// The source's own clock told the times in the WAL, so that no other is compared.
    package init(target: Timestamp, lsn: LogSequenceNumber, timeline: UInt32) {
        actual = .zero
        uncertainty = .zero
        basis = .target
        covered = target
        failure = target
        self.lsn = lsn
        self.timeline = timeline
    }

    /// The recovery point of dumps, which is their oldest snapshot; `nil` if there is none.
    ///
    /// A snapshot after the declared failure can only come from clocks that differ: nothing was lost then, and the
    /// difference is added to the uncertainty. `clockUncertainty` says how far the server's and the drill's clocks may
    /// have been apart.
    package init?(dumps snapshots: [Snapshot], declaredFailure: Timestamp, clockUncertainty: Duration) {
        guard let oldest = snapshots.min(by: { $0.at < $1.at }) else { return nil }
        let age = declaredFailure.since(oldest.at)
        actual = max(age, .zero)
        uncertainty = clockUncertainty + max(.zero - age, .zero)
        basis = .dumpSnapshot
        covered = oldest.at
        database = oldest.database
        lsn = oldest.lsn
        timeline = oldest.timeline
    }
}
