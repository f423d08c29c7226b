package import BackupModel
import BackupStorage

/// Retention of the WAL beside physical backups: what is planned, and carried out when the backups that go are gone.
package struct WALPrune: Sendable {
    /// What is decided of one incarnation of the cluster.
    package struct Plan: Sendable {
        package var systemIdentifier: String
        package var retention: WALRetentionPlan
        package var segmentSize: WALSegmentSize
    }

    let repository: Repository
    /// For how long every moment stays restorable.
    let window: Duration

    /// Decides about the WAL of every incarnation; `expiring` are the backups that other rules let go.
    func plans(
        for entries: [CatalogueEntry], expiring: Set<RunID>, at now: Timestamp
    ) throws(BackupError) -> [Plan] {
        let physical = entries.filter { $0.manifest?.physical != nil }
        guard !physical.isEmpty else { return [] }
        let running = try unknown(among: entries)
        var plans: [Plan] = []
        for system in Set(physical.compactMap { $0.manifest?.systemIdentifier }).sorted() {
            let backups = physical.filter { $0.manifest?.systemIdentifier == system }
            guard let bytes = backups.last?.manifest?.physical?.walSegmentBytes,
                let size = WALSegmentSize(bytes: bytes)
            else { continue }
            let archive = try WALArchive(repository, systemIdentifier: system)
            let retention = WALRetention(
                kept: backups.filter { !expiring.contains($0.id) }.compactMap(WALRetention.Backup.init),
                expiring: backups.filter { expiring.contains($0.id) }.compactMap(WALRetention.Backup.init),
                running: running, coverage: try archive.coverage(size: size, withPieces: false),
                histories: try archive.histories().values.sorted { $0.timeline < $1.timeline }, window: window)
            // The clock was judged before any of this.
            plans.append(
                Plan(
                    systemIdentifier: system, retention: try retention.plan(at: now, believing: nil), segmentSize: size)
            )
        }
        return plans
    }

    /// What may need WAL that nobody knows of; while there is anything, no WAL goes.
    ///
    /// These are physical backups that are being taken, from a standby far behind perhaps, and manifests that cannot be
    /// read.
    private func unknown(among entries: [CatalogueEntry]) throws(BackupError) -> [WALRetention.Running] {
        var unknown: [WALRetention.Running] = []
        for entry in entries {
            switch entry.content {
            case .committed, .aborted: continue
            case .unreadable: break
            case .running:
                if try isLogical(entry.id) { continue }
            }
            unknown.append(WALRetention.Running(id: entry.id, startedAt: Timestamp(microseconds: 0)))
        }
        return unknown
    }

    /// Whether a run certainly takes dumps, which need no WAL.
    private func isLogical(_ run: RunID) throws(BackupError) -> Bool {
        do throws(BackupError) {
            return try repository.get(RunningBackup.self, at: repository.layout.running(run))?.kind == .logical
        } catch {
            guard error.code == .objectDamaged else { throw error }
            return false
        }
    }

    /// Removes the WAL that goes, oldest first; returns how many files, and their stored bytes.
    func apply(_ plan: Plan) throws(BackupError) -> (files: Int, bytes: Int64) {
        guard let layout = repository.layout.incarnationObjects(plan.systemIdentifier) else { return (0, 0) }
        var files = 0
        var bytes: Int64 = 0
        func remove(_ keys: [ObjectKey]) throws(BackupError) {
            for key in keys { bytes += try repository.storage.info(key)?.size ?? 0 }
            try repository.storage.remove(keys)
            files += keys.count
        }
        for timeline in Set(plan.retention.removed.map(\.timeline)).sorted() {
            let folder = layout.wal.appending(timeline.eightHexDigits)
            for log in try repository.storage.children(of: folder) {
                try Task.checkNotCancelled()
                let objects = folder.appending(log)
                try remove(
                    try repository.storage.children(of: objects).filter { name in
                        guard name.hasSuffix(".zst") else { return false }
                        let file = WALFileName(parsing: name.dropLast(4), segmentSize: plan.segmentSize)
                        return file.map { plan.retention.removes($0) } ?? false
                    }.map(objects.appending))
            }
        }
        for name in try repository.storage.children(of: layout.pieces) {
            guard let segment = WALSegmentName(parsing: name, segmentSize: plan.segmentSize),
                plan.retention.removes(segment)
            else { continue }
            let folder = layout.pieces.appending(name)
            try remove(try repository.storage.children(of: folder).map(folder.appending))
        }
        return (files, bytes)
    }
}

extension WALRetention.Backup {
    /// Returns `nil` for an entry that is no physical backup.
    fileprivate init?(_ entry: CatalogueEntry) {
        guard let manifest = entry.manifest, let record = manifest.physical else { return nil }
        self.init(
            id: entry.id, start: record.start, stop: record.stop, timeline: record.timeline,
            finishedAt: manifest.finishedAt, isHeld: !entry.isRemovable,
            isDamaged: manifest.isOfDamagedSource || entry.failedVerification != nil)
    }
}
