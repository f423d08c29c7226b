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
        var view = try look()
        return try prepare(in: &view)
    }

    /// Looks at the backups, and at the archive of the server of which the one is that is asked for.
    func look() throws(BackupError) -> RestorableArchive {
        try repository.requireRegistration()
        let catalogue = Catalogue(repository)
        let first = try catalogue.backup(named: request.backup, kind: .physical)
        let (manifest, record) = try physical(first)
        return try RestorableArchive(
            WALArchive(repository, systemIdentifier: manifest.systemIdentifier), beginningWith: first,
            of: try catalogue.entries(), size: try segmentSize(record, of: first.id))
    }

    /// The same as ``prepare()``, of what was looked at before.
    func prepare(in view: inout RestorableArchive) throws(BackupError) -> PhysicalRestore.Prepared {
        let (catalogue, first, archive) = (Catalogue(repository), view.first, view.archive)
        let recovery = try plan(in: &view)
        let entry = try catalogue.entry(recovery.plan.backup.id) ?? first
        let chosen = try physical(entry)
        let existing = request.rewritesExisting ? try ExistingCluster(at: request.directory, of: chosen.manifest) : nil
        let tablespaces = try request.tablespaces.directories(
            for: chosen.record.tablespaces, besides: request.directory,
            links: try links(of: chosen.record.tablespaces, in: existing))
        let created = try CreatedTablespaces(in: recovery.plan, view.index).warnings(for: request)
        var rewriting: Rewriting?
        if let existing {
            rewriting = try Rewriting(
                existing, of: chosen.manifest, archive: archive,
                segmentSize: try segmentSize(chosen.record, of: entry.id), tablespaces: tablespaces)
        }
        let space = try space(
            for: chosen, recovery.plan, isDivided: try isDivided(tablespaces),
            reusing: rewriting?.forecast.existingBytes ?? 0)
        let plan = PhysicalRestorePlan(
            backup: entry.id, directory: request.directory,
            tablespaces: Dictionary(
                tablespaces.map { ("\($0.key)", $0.value) }, uniquingKeysWith: { first, _ in first }),
            rewrite: rewriting?.forecast,
            moment: RecoveryText.moment(request.moment ?? .latest),
            target: RecoveryText.target(recovery.plan), timeline: recovery.plan.timeline,
            serverVersion: chosen.manifest.server.version, files: chosen.record.files,
            contentBytes: chosen.manifest.totals.contentBytes, freeBytes: space,
            segments: Int(clamping: recovery.plan.segmentCount),
            firstSegment: recovery.plan.segments.first?.first?.description ?? "",
            lastSegment: recovery.plan.segments.last?.last?.description ?? "", collations: chosen.record.collations,
            collationScript: "\(request.directory)/\(CollationScript.fileName)",
            isPrimary: request.asPrimary,
            isStaged: request.archive == nil, credentials: request.archive?.access?.credentials,
            neededVariables: request.archive?.needed ?? [],
            consistentAt: chosen.record.stop, end: RecoveryText.end(recovery.plan.end),
            lost: RecoveryText.loss(recovery.plan.lost), reasons: recovery.plan.reasons.compactMap(RecoveryText.reason),
            warnings: warnings(entry, chosen.record) + recovery.warnings + created
                + (try walWarnings(rewriting)))
        return PhysicalRestore.Prepared(
            plan: plan, manifest: chosen.manifest, record: chosen.record, recovery: recovery.plan,
            tablespaces: tablespaces, rewriting: rewriting, pieces: try pieces(of: recovery.plan, in: archive),
            parameterChanges: try view.index.parameterChanges(in: recovery.plan.segments), index: view.index)
    }

    private func physical(
        _ entry: CatalogueEntry
    ) throws(BackupError) -> (manifest: BackupManifest, record: PhysicalRecord) {
        if let manifest = entry.manifest, let record = manifest.physical { return (manifest, record) }
        throw BackupError(
            .usage, "Backup \(entry.id) holds dumps; a directory takes a cluster's files.",
            remedy: "Name a server with --to postgresql://…, or a physical backup.", unchanged: Self.nothing)
    }

    /// Where the links of a directory that is rewritten lead.
    private func links(
        of tablespaces: [PhysicalRecord.Tablespace], in existing: ExistingCluster?
    ) throws(BackupError) -> [UInt32: String] {
        var links: [UInt32: String] = [:]
        guard let existing else { return links }
        for tablespace in tablespaces where !tablespace.isInPlace {
            links[tablespace.oid] = try existing.directory.target(ofLink: RestoredTree.link(to: tablespace.oid))
        }
        return links
    }

    private func walWarnings(_ rewriting: Rewriting?) throws(BackupError) -> [String] {
        guard let rewriting else { return [] }
        let directory = rewriting.existing.directory
        if let target = try directory.target(ofLink: DataPath("pg_wal")) {
            return ["pg_wal, now a link to '\(target)', becomes a directory; what is behind the link stays as it is"]
        }
        let names = rewriting.unarchived.names
        guard let first = names.first, let last = names.last else { return [] }
        return [
            "pg_wal has \(names.count) files that the archive lacks, \(first) to \(last): what was committed in them is not "
                + "restored, unless they are pushed before ('apex-backup wal push'). They are kept, in "
                + "'\(directory.path)/\(UnarchivedWAL.folder)'"
        ]
    }

    private func pieces(
        of plan: RecoveryPlan, in archive: WALArchive
    ) throws(BackupError) -> WALGet.Pieces? {
        guard let last = plan.segments.last?.last, try archive.record(of: last) == nil else { return nil }
        return WALGet.Pieces(segment: "\(last)", atEndOnly: plan.target == .latest)
    }

    private struct Recovery {
        var plan: RecoveryPlan
        var windows: [RestorableWindow]
        var warnings: [String]
    }

    /// The moments between which every one can be reached that the newest WAL is behind, the end of the WAL included.
    ///
    /// - Throws: what is thrown for a plan to the end of the WAL: a hole behind the newest backup, for one.
    func window(in view: inout RestorableArchive) throws(BackupError) -> (start: Timestamp, end: Timestamp) {
        let recovery = try plan(in: &view)
        let (plan, end) = (recovery.plan, recovery.plan.end.mark)
        let window = recovery.windows.last {
            request.backup == "latest" && $0.timeline == plan.timeline && $0.start.lsn <= end.lsn && end.lsn <= $0.end
        }
        let start = window?.start.time ?? plan.backup.stoppedAt
        return (start, max(end.time ?? start, start))
    }

    private func plan(in view: inout RestorableArchive) throws(BackupError) -> Recovery {
        let wanted = RecoveryRequest(
            request.moment ?? .latest, isInclusive: request.isInclusive, timeline: request.timeline,
            backup: request.backup == "latest" ? nil : view.first.id,
            otherwise: request.acceptsNearest ? .nearest : .refuse)
        while true {
            let planner = RecoveryPlanner(
                backups: view.backups, coverage: view.survey.allSegments, histories: view.index.histories,
                production: view.production, index: view.index)
            let plan: RecoveryPlan
            do throws(BackupError) {
                plan = try planner.plan(wanted)
            } catch {
                // A refusal names a hole, or what can be reached: that is looked for everywhere.
                guard try view.survey.listAll() else { throw error }
                continue
            }
            // What the index says is a claim: each segment that is needed must be seen, too.
            if try view.survey.list(plan.segments) { continue }
            if plan.isNearest, try view.survey.listAll() { continue }
            return Recovery(
                plan: plan,
                windows: restorableWindows(
                    view.backups, coverage: view.survey.allSegments, histories: view.index.histories),
                warnings: notFollowed(plan, in: view))
        }
    }

    private func segmentSize(_ record: PhysicalRecord, of backup: RunID) throws(BackupError) -> WALSegmentSize {
        if let size = WALSegmentSize(bytes: record.walSegmentBytes) { return size }
        throw BackupError(
            .objectDamaged, "The manifest of backup \(backup) cannot be believed.",
            reason: "it says that WAL segments have \(record.walSegmentBytes) bytes", remedy: "Use another backup.",
            unchanged: Self.nothing)
    }

    /// Timelines that go on from the one that is followed, and on which no backup was taken.
    ///
    /// They may be production's after a failover, or those of a clone that was let into the archive by mistake.
    private func notFollowed(_ plan: RecoveryPlan, in view: RestorableArchive) -> [String] {
        let coverage = view.survey.allSegments
        return view.index.histories.filter { history in
            request.timeline == nil && history.timeline > plan.timeline && !view.production.contains(history.timeline)
                && coverage.newest(onTimeline: history.timeline) != nil
                && history.ancestorTimelines.contains(plan.timeline)
        }.map {
            "timeline \($0.timeline) goes on from timeline \(plan.timeline) and is not followed, as no backup was taken "
                + "on it: if production was promoted to it, add --timeline \($0.timeline)"
        }
    }

    /// Whether tablespaces may be on other file systems than the data: what is made anew beside it is on the same.
    private func isDivided(_ tablespaces: [UInt32: String]) throws(BackupError) -> Bool {
        if tablespaces.isEmpty { return false }
        func parent(_ path: String) -> Substring { path[..<(path.lastIndex(of: "/") ?? path.startIndex)] }
        for place in [request.directory] + tablespaces.values {
            guard parent(place) == parent(request.directory), try DataDirectory(at: place) == nil else { return true }
        }
        return false
    }

    /// What is free where the restore goes, which must be enough.
    private func space(
        for chosen: (manifest: BackupManifest, record: PhysicalRecord), _ plan: RecoveryPlan,
        isDivided: Bool, reusing existing: Int64
    ) throws(BackupError) -> Int64 {
        let free = try DataDirectory.freeBytes(around: request.directory)
        let staged = request.archive == nil ? Int64(clamping: plan.segmentCount) : 0
        let (wal, isTooMuch) = staged.multipliedReportingOverflow(by: chosen.record.walSegmentBytes)
        let needed = max(0, chosen.manifest.totals.contentBytes - existing) &+ wal
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
        if request.archive?.needed.contains("AWS_SESSION_TOKEN") == true {
            warnings.append(
                "the credentials in the environment expire: a server that recovers for longer stops, and needs new ones"
            )
        }
        if let failed = entry.failedVerification {
            warnings.append("verification found this backup damaged at \(failed.at.readable): \(failed.reason ?? "")")
        }
        if record.configurationMissing {
            warnings.append(
                "the backup has no configuration files: the restored server starts with PostgreSQL's own settings")
        }
        warnings += [record.collations?.warning(forLibrary: systemLibraryVersion())].compactMap(\.self)
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

    /// Whether it leads to another moment than was asked for.
    var isNearest: Bool {
        reasons.contains { if case .nearest = $0 { true } else { false } }
    }
}
