package import BackupModel
import BackupStorage

/// Retention of the WAL beside physical backups: what is planned, and carried out when the backups that go are gone.
package struct WALPrune: Sendable {
    /// What is decided of one incarnation of the cluster.
    package struct Plan: Sendable {
        package var systemIdentifier: String
        package var retention: WALRetentionPlan
        package var segmentSize: WALSegmentSize

        /// Whether anything of a log folder may go.
        fileprivate func mayRemove(from log: WALLogName) -> Bool {
            guard let anchor = retention.anchor, let segments = log.segments(segmentSize) else { return false }
            return log.timeline <= anchor.timeline && segments.numbers.lowerBound < retention.floor
        }

        /// Whether every segment of a log folder goes.
        fileprivate func removesAll(of log: WALLogName) -> Bool {
            log.segments(segmentSize)?.names.allSatisfy { retention.removes($0) } ?? false
        }
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
                running: running, coverage: try archive.coverage(size: size),
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
    ///
    /// The roll-up of a folder goes before anything that it tells of, so that none ever tells of what is gone: also after
    /// a crash. It is looked for again behind that, as one may just have been made.
    func apply(_ plan: Plan) throws(BackupError) -> (files: Int, bytes: Int64) {
        let archive = try WALArchive(repository, systemIdentifier: plan.systemIdentifier)
        let layout = archive.layout
        var files = 0
        var bytes: Int64 = 0
        func remove(_ keys: [ObjectKey]) throws(BackupError) {
            for key in keys { bytes += try repository.storage.info(key)?.size ?? 0 }
            try repository.storage.remove(keys)
            files += keys.count
        }
        let rollUps = try WALRollUps(archive, size: plan.segmentSize)
        let stored = try archive.logs()
        for log in stored where plan.mayRemove(from: log) {
            try Task.checkNotCancelled()
            let folder = layout.log(log)
            let files = try repository.storage.children(of: folder).map(folder.appending).compactMap { key in
                layout.walFile(key, segmentSize: plan.segmentSize).map { (key: key, name: $0) }
            }
            let going = files.filter { plan.retention.removes($0.name) }.map(\.key)
            let segments = files.count { if case .segment = $0.name { true } else { false } }
            // Also of what an earlier run removed that died.
            if !going.isEmpty || segments < plan.segmentSize.segmentsPerLog {
                try repository.storage.remove(layout.rollUp(of: log))
            }
            guard !going.isEmpty else { continue }
            try remove(going)
            try repository.storage.remove(layout.rollUp(of: log))
        }
        let orphans = rollUps.logs.subtracting(stored).filter(plan.removesAll)
        try repository.storage.remove(orphans.map(layout.rollUp))
        for segment in try archive.begun(size: plan.segmentSize) where plan.retention.removes(segment) {
            let folder = layout.pieces(of: segment)
            try remove(try repository.storage.children(of: folder).map(folder.appending))
        }
        let superfluous = try WALRollUps(archive, size: plan.segmentSize).superfluousSpans
        try repository.storage.remove(superfluous.map(layout.span))
        return (files, bytes)
    }
}

extension WALRetention.Backup {
    /// Returns `nil` for an entry that is no physical backup.
    init?(_ entry: CatalogueEntry) {
        guard let manifest = entry.manifest, let record = manifest.physical else { return nil }
        self.init(
            id: entry.id, start: record.start, stop: record.stop, timeline: record.timeline,
            finishedAt: manifest.finishedAt, isHeld: !entry.isRemovable,
            isDamaged: manifest.isOfDamagedSource || entry.failedVerification != nil)
    }
}
