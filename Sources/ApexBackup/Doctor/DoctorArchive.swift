import BackupModel
import BackupStorage
import PostgresAccess

/// What the repository has of a server: settings only say what is meant to come there.
extension Doctor {
    /// The backups of the server that nothing is wrong with.
    func wholeBackups(of facts: DoctorFacts, in repository: Repository) throws(BackupError) -> [BackupManifest] {
        try Catalogue(repository).backups().filter { entry in
            entry.failedVerification == nil && entry.manifest?.isOfDamagedSource == false
                && entry.manifest?.systemIdentifier == facts.server.systemIdentifier
        }.compactMap(\.manifest)
    }

    /// How far the archive leads on from the newest physical one of `backups`; `nil` without one.
    func archived(
        behind backups: [BackupManifest], of facts: DoctorFacts, in repository: Repository
    ) throws(BackupError) -> DoctorFacts.ArchivedWAL? {
        let physical = backups.filter { $0.kind == .physical }
        guard let base = physical.max(by: { $0.recoveryPoint < $1.recoveryPoint }),
            let report = try WALArchiveInspection(repository: repository, rpo: facts.wanted.rpo).reports().first(
                where: { $0.systemIdentifier == facts.server.systemIdentifier })
        else { return nil }
        let windows = report.windows.filter { $0.backups.contains(base.id) }
        guard
            let window = windows.first(where: { $0.timeline == facts.server.timeline })
                ?? windows.max(by: { $0.to < $1.to })
        else { return .nothing }
        var reach = DoctorFacts.ArchivedWAL.Reach(
            timeline: window.timeline, end: window.to, missing: window.missing,
            isBeyondBackup: base.physical?.neededSegments.last.map { $0.end < window.to } ?? true)
        // Pieces of the segment behind the last whole one.
        if let pieces = report.piecesEnd, window.missing == nil, pieces > reach.end,
            pieces.position - reach.end.position <= facts.segmentSize.bytes
        {
            reach.end = pieces
            reach.isBeyondBackup = true
        }
        return .upTo(reach)
    }

    /// Looks whether what a receiver gets comes into the repository, if somebody holds its slot.
    func watchReceiver(
        through session: PostgresSession, into repository: Repository, _ facts: inout DoctorFacts
    ) async throws {
        guard facts.isSlotActive, !facts.server.inRecovery else { return }
        let archive = try WALArchive(repository, systemIdentifier: facts.server.systemIdentifier)
        guard let patience else {
            facts.reception = .notTried(isStored: try isFinishedStored(of: facts, in: archive))
            return
        }
        let answer = try await session.query("SELECT lsn FROM (\(PostgresSession.heartbeat)) AS heartbeat")
        guard let written = answer.firstValue.flatMap({ LogSequenceNumber(parsing: $0) }),
            let segment = WALSegmentName(
                timeline: facts.server.timeline, containing: LogSequenceNumber(position: max(written.position, 1) - 1),
                segmentSize: facts.segmentSize)
        else { throw unexpectedAnswer("pg_logical_emit_message") }
        let environment = repository.environment
        let clocks = environment.clocks
        let (isStored, took) = try await clocks.timed {
            try await clocks.wait(within: patience, every: .milliseconds(100)) {
                environment.events(.phase("waiting for what the receiver gets up to \(written)"))
                return try archive.storedEnd(of: segment).map { $0 >= written } ?? false
            }
        }
        facts.reception = isStored ? .proved(took: took) : .missing(waited: took)
    }

    /// Whether the segment before the one that the server writes is stored, or some of the one that it writes.
    private func isFinishedStored(of facts: DoctorFacts, in archive: WALArchive) throws(BackupError) -> Bool {
        let number = facts.segmentSize.number(containing: facts.server.currentLSN)
        for number in [number, number > 0 ? number - 1 : 0] {
            guard
                let segment = WALSegmentName(
                    timeline: facts.server.timeline, number: number, segmentSize: facts.segmentSize)
            else { continue }
            if try archive.isStored(segment) { return true }
        }
        return false
    }
}
