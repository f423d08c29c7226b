import BackupModel
import BackupStorage

/// Plans a restore of physical backups: which one, which WAL, and where recovery ends.
///
/// Nothing is touched.
struct PhysicalRestorePlanning {
    let repository: Repository
    let request: PhysicalRestore.Request

    private static let nothing = "Nothing was restored."

    func prepare() throws(BackupError) -> PhysicalRestore.Prepared {
        try repository.requireRegistration()
        let catalogue = Catalogue(repository)
        let first = try catalogue.backup(named: request.backup, kind: .physical)
        let (manifest, record) = try physical(first)
        let archive = try WALArchive(repository, systemIdentifier: manifest.systemIdentifier)
        let recovery = try plan(along: archive, record, beginningWith: first, of: try catalogue.entries())
        let entry = try catalogue.entry(recovery.plan.backup.id) ?? first
        let chosen = try physical(entry)
        let tablespaces = try request.tablespaces.directories(
            for: chosen.record.tablespaces, besides: request.directory)
        let space = try space(for: chosen, recovery.plan, isDivided: !tablespaces.isEmpty)
        let plan = PhysicalRestorePlan(
            backup: entry.id, directory: request.directory,
            tablespaces: Dictionary(
                tablespaces.map { ("\($0.key)", $0.value) }, uniquingKeysWith: { first, _ in first }),
            moment: RecoveryText.moment(request.moment ?? .latest),
            target: RecoveryText.target(recovery.plan), timeline: recovery.plan.timeline,
            serverVersion: chosen.manifest.server.version, files: chosen.record.files,
            contentBytes: chosen.manifest.totals.contentBytes, freeBytes: space,
            segments: Int(clamping: recovery.plan.segmentCount),
            firstSegment: recovery.plan.segments.first?.first?.description ?? "",
            lastSegment: recovery.plan.segments.last?.last?.description ?? "", isPrimary: request.asPrimary,
            isStaged: request.archive == nil,
            consistentAt: chosen.record.stop, end: RecoveryText.end(recovery.plan.end),
            lost: RecoveryText.loss(recovery.plan.lost), reasons: recovery.plan.reasons.compactMap(RecoveryText.reason),
            warnings: warnings(entry, chosen.record) + recovery.warnings)
        return PhysicalRestore.Prepared(
            plan: plan, manifest: chosen.manifest, record: chosen.record, recovery: recovery.plan,
            tablespaces: tablespaces, pieces: try pieces(of: recovery.plan, in: archive),
            parameterChanges: try recovery.index.parameterChanges(in: recovery.plan.segments))
    }

    private func physical(
        _ entry: CatalogueEntry
    ) throws(BackupError) -> (manifest: BackupManifest, record: PhysicalRecord) {
        if let manifest = entry.manifest, let record = manifest.physical { return (manifest, record) }
        throw BackupError(
            .usage, "Backup \(entry.id) holds dumps; a directory takes a cluster's files.",
            remedy: "Name a server with --to postgresql://…, or a physical backup.", unchanged: Self.nothing)
    }

    private func pieces(
        of plan: RecoveryPlan, in archive: WALArchive
    ) throws(BackupError) -> WALGet.Pieces? {
        guard let last = plan.segments.last?.last, try archive.record(of: last) == nil else { return nil }
        return WALGet.Pieces(segment: "\(last)", atEndOnly: plan.target == .latest)
    }

    private struct Recovery {
        var plan: RecoveryPlan
        var index: ArchiveIndex
        var warnings: [String]
    }

    private func plan(
        along archive: WALArchive, _ record: PhysicalRecord, beginningWith first: CatalogueEntry,
        of entries: [CatalogueEntry]
    ) throws(BackupError) -> Recovery {
        guard let size = WALSegmentSize(bytes: record.walSegmentBytes) else {
            throw BackupError(
                .objectDamaged, "The manifest of backup \(first.id) cannot be believed.",
                reason: "it says that WAL segments have \(record.walSegmentBytes) bytes", remedy: "Use another backup.",
                unchanged: Self.nothing)
        }
        let system = first.manifest?.systemIdentifier
        let backups = entries.compactMap { $0.manifest?.systemIdentifier == system ? RecoveryCandidate($0) : nil }
        let coverage = try archive.coverage(size: size)
        let histories = try archive.histories().values.sorted { $0.timeline < $1.timeline }
        let index = ArchiveIndex(archive, histories: histories)
        let production = Set(backups.map(\.timeline))
        let planner = RecoveryPlanner(
            backups: backups, coverage: coverage, histories: histories, production: production, index: index)
        let plan = try planner.plan(
            RecoveryRequest(
                request.moment ?? .latest, isInclusive: request.isInclusive, timeline: request.timeline,
                backup: request.backup == "latest" ? nil : first.id,
                otherwise: request.acceptsNearest ? .nearest : .refuse))
        return Recovery(
            plan: plan, index: index, warnings: notFollowed(coverage, histories, production, plan))
    }

    /// Timelines that go on from the one that is followed, and on which no backup was taken.
    ///
    /// They may be production's after a failover, or those of a clone that was let into the archive by mistake.
    private func notFollowed(
        _ coverage: WALCoverage, _ histories: [TimelineHistory], _ production: Set<UInt32>, _ plan: RecoveryPlan
    ) -> [String] {
        histories.filter { history in
            request.timeline == nil && history.timeline > plan.timeline && !production.contains(history.timeline)
                && coverage.newest(onTimeline: history.timeline) != nil
                && history.ancestorTimelines.contains(plan.timeline)
        }.map {
            "timeline \($0.timeline) goes on from timeline \(plan.timeline) and is not followed, as no backup was taken "
                + "on it: if production was promoted to it, add --timeline \($0.timeline)"
        }
    }

    /// What is free where the restore goes, which must be enough.
    private func space(
        for chosen: (manifest: BackupManifest, record: PhysicalRecord), _ plan: RecoveryPlan,
        isDivided: Bool
    ) throws(BackupError) -> Int64 {
        let free = try DataDirectory.freeBytes(around: request.directory)
        let staged = request.archive == nil ? Int64(clamping: plan.segmentCount) : 0
        let (wal, isTooMuch) = staged.multipliedReportingOverflow(by: chosen.record.walSegmentBytes)
        let needed = chosen.manifest.totals.contentBytes &+ wal
        // How much of it goes into which tablespace the manifest does not say.
        guard isDivided || (!isTooMuch && needed < free) else {
            throw BackupError(
                .targetUnsuitable,
                "'\(request.directory)' has \(formatBytes(free)) free, and the restore needs \(formatBytes(needed)).",
                remedy: "Name a directory on a larger file system.", unchanged: Self.nothing)
        }
        return free
    }

    private func warnings(_ entry: CatalogueEntry, _ record: PhysicalRecord) -> [String] {
        var warnings: [String] = []
        if let failed = entry.failedVerification {
            warnings.append("verification found this backup damaged at \(failed.at.readable): \(failed.reason ?? "")")
        }
        if record.configurationMissing {
            warnings.append(
                "the backup has no configuration files: the restored server starts with PostgreSQL's own settings")
        }
        return warnings
    }
}

extension RecoveryCandidate {
    /// Returns `nil` for an entry that is no physical backup.
    init?(_ entry: CatalogueEntry) {
        guard let manifest = entry.manifest, let record = manifest.physical else { return nil }
        self.init(
            id: entry.id, start: record.start, stop: record.stop, timeline: record.timeline,
            startedAt: manifest.startedAt, stoppedAt: manifest.recoveryPoint,
            isDamaged: manifest.isOfDamagedSource || entry.failedVerification != nil)
    }
}

extension RecoveryPlan {
    /// How many segments recovery reads.
    var segmentCount: UInt64 { segments.reduce(0) { $0 + $1.count } }
}
