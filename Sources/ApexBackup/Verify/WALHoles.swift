package import BackupModel
import BackupStorage

extension WALVerification {
    /// Segments that are missing between stored ones.
    package struct Hole: Sendable, Hashable, Encodable {
        /// The names of the first and the last.
        package var first: String
        package var last: String
        package var count: UInt64
        /// The newest backup that does not get past it to WAL that no other one reaches; `nil` if nothing that is promised
        /// is lost.
        package var neededBy: RunID?
        /// Whether something is being stored there just now.
        package var isBeingFilled: Bool
    }

    /// What the names of the stored files say.
    struct StoredNames {
        var coverage: WALCoverage
        var evidence = WALHoleEvidence()

        init(size: WALSegmentSize) { coverage = WALCoverage(segmentSize: size) }

        mutating func add(_ object: ObjectKey, _ layout: IncarnationLayout) {
            if object.text.hasPrefix("\(layout.pieces)/") { evidence.isArchived = true }
            switch layout.walFile(object, segmentSize: coverage.segmentSize) {
            case .segment(let segment): coverage.insert(segment)
            // Only a server that archives hands over the label of a base backup.
            case .backup: evidence.isArchived = true
            case .partial, .history, .other, nil: break
            }
        }
    }

    /// The holes between the stored segments of an incarnation.
    func holes(
        in archive: WALArchive, _ stored: StoredNames, of entries: [CatalogueEntry]
    ) async throws(BackupError) -> [Hole] {
        var stored = stored
        stored.evidence.unfinishedRuns = try RunLog(repository: repository).entries()
            .filter { $0.start?.operation == .backup && $0.start?.kind == .physical && $0.state != .succeeded }
            .compactMap { $0.start?.at }
        let backups = entries.filter { $0.manifest?.systemIdentifier == "\(archive.systemIdentifier)" }
        let histories = try archive.histories().values.sorted { $0.timeline < $1.timeline }
        let retention = WALRetention(
            kept: backups.compactMap(WALRetention.Backup.init), expiring: [], coverage: stored.coverage,
            histories: histories, window: window)
        var holes: [Hole] = []
        let end = repository.environment.clocks.monotonic() + Self.patience
        for hole in retention.holes(at: repository.environment.clocks.wall(), stored.evidence) {
            let gap = hole.gap
            // It may have been filled since its folder was listed.
            if try archive.isStoredWhole(gap.first), try archive.isStoredWhole(gap.last) { continue }
            let writes = try writes(beside: gap.first, archive)
            var isBeingFilled = !writes.isEmpty
            if hole.neededBy != nil, isBeingFilled {
                let areOver = try await areOver(writes, beside: gap.first, archive, by: end)
                let hasFirst = try archive.isStoredWhole(gap.first)
                let hasLast = try archive.isStoredWhole(gap.last)
                if hasFirst, hasLast { continue }
                isBeingFilled = !areOver || hasFirst || hasLast
            }
            holes.append(
                Hole(
                    first: "\(gap.first)", last: "\(gap.last)", count: gap.count, neededBy: hole.neededBy,
                    isBeingFilled: isBeingFilled))
        }
        return holes
    }

    /// How long all together is waited for what is being stored where something is missing.
    private static let patience = Duration.seconds(60)

    /// What is being stored in the folder of a segment, by whoever may still live.
    private func writes(beside segment: WALSegmentName, _ archive: WALArchive) throws(BackupError) -> Set<ObjectKey> {
        let now = repository.environment.clocks.wall()
        return try Set(
            archive.unfinishedWrites(beside: .segment(segment)).filter { $0.mayComplete(at: now) }.map(\.key))
    }

    /// Waits until none of the writes goes on; returns `false` if one still does at `end`.
    ///
    /// A busy archive always stores something in its newest folder, and seldom what is missing there.
    private func areOver(
        _ writes: Set<ObjectKey>, beside segment: WALSegmentName, _ archive: WALArchive, by end: Duration
    ) async throws(BackupError) -> Bool {
        let clocks = repository.environment.clocks
        do {
            return try await clocks.wait(within: end - clocks.monotonic(), every: .milliseconds(200)) {
                try self.writes(beside: segment, archive).isDisjoint(with: writes)
            }
        } catch {
            throw RunLog.describe(error)
        }
    }

    /// What is wrong because of a hole; `nil` if nothing is.
    static func problem(_ hole: Hole) -> BackupError? {
        guard let backup = hole.neededBy, !hole.isBeingFilled else { return nil }
        return BackupError(
            .walMissing,
            hole.count == 1
                ? "WAL segment \(hole.first) is missing from the repository."
                : "\(hole.count) WAL segments are missing from the repository, \(hole.first) to \(hole.last).",
            reason: "the WAL behind is reached neither from backup \(backup) nor from a later one",
            remedy: "Put them back from a copy of the repository, or from the server's pg_wal with 'apex-backup wal "
                + "push'; else take a new base backup ('apex-backup backup --kind physical').")
    }
}
