package import BackupModel
import BackupStorage

/// Restores a physical backup into a directory, with the WAL that it needs, so that a plain `pg_ctl -D` starts it.
package struct PhysicalRestore: Sendable {
    /// What is asked of it.
    package struct Request: Sendable {
        /// A backup's name, or `latest`.
        package var backup: String
        /// Where recovery ends; `nil` is the end of the WAL there is.
        package var moment: RestoreMoment?
        /// The directory, as an absolute path.
        package var directory: String
        /// Workers that read and write at once; `nil` chooses.
        package var jobs: Int?
        /// Whether the server is to archive and run what its source did.
        package var asPrimary: Bool

        package init(
            backup: String, moment: RestoreMoment?, directory: String, jobs: Int? = nil, asPrimary: Bool = false
        ) {
            self.backup = backup
            self.moment = moment
            self.directory = directory
            self.jobs = jobs
            self.asPrimary = asPrimary
        }
    }

    /// A restore that was planned.
    package struct Prepared: Sendable {
        package var plan: PhysicalRestorePlan
        let manifest: BackupManifest
        let record: PhysicalRecord
        let segments: [WALSegmentName]
    }

    let repository: Repository
    let request: Request

    package init(repository: Repository, request: Request) {
        self.repository = repository
        self.request = request
    }

    /// Plans, and refuses what cannot work; nothing is touched.
    package func prepare() throws(BackupError) -> Prepared {
        try repository.requireRegistration()
        let entry = try Catalogue(repository).backup(named: request.backup, kind: .physical)
        guard let manifest = entry.manifest, let record = manifest.physical else {
            throw BackupError(
                .usage, "Backup \(entry.id) holds dumps; a directory takes a cluster's files.",
                remedy: "Name a server with --to postgresql://…, or a physical backup.", unchanged: Self.nothing)
        }
        try refuse(record, of: entry)
        let segments = try segments(record, of: manifest)
        let free = try DataDirectory.freeBytes(around: request.directory)
        let needed = manifest.totals.contentBytes + Int64(segments.count) * record.walSegmentBytes
        guard needed < free else {
            throw BackupError(
                .targetUnsuitable,
                "'\(request.directory)' has \(formatBytes(free)) free, and the restore needs \(formatBytes(needed)).",
                remedy: "Name a directory on a larger file system.", unchanged: Self.nothing)
        }
        var warnings: [String] = []
        if let failed = entry.failedVerification {
            warnings.append("verification found this backup damaged at \(failed.at.readable): \(failed.reason ?? "")")
        }
        if record.configurationMissing {
            warnings.append(
                "the backup has no configuration files: the restored server starts with PostgreSQL's own settings")
        }
        let plan = PhysicalRestorePlan(
            backup: entry.id, directory: request.directory, moment: isImmediate ? "immediate" : "latest",
            serverVersion: manifest.server.version, files: record.files, contentBytes: manifest.totals.contentBytes,
            freeBytes: free, segments: segments.count, firstSegment: segments.first?.description ?? "",
            lastSegment: segments.last?.description ?? "", consistentAt: record.stop, warnings: warnings)
        return Prepared(plan: plan, manifest: manifest, record: record, segments: segments)
    }

    private static let nothing = "Nothing was restored."
    private var isImmediate: Bool { request.moment == .immediate }

    private func refuse(_ record: PhysicalRecord, of entry: CatalogueEntry) throws(BackupError) {
        switch request.moment {
        case nil, .latest, .immediate: break
        case .transaction, .restorePoint, .position, .time:
            throw BackupError(
                .momentUnreachable, "This version does not recover to a chosen moment.",
                reason: "it restores to a backup's own end (immediate) or to the end of the WAL there is (latest)",
                remedy: "Give --to immediate or --to latest, or set recovery_target in the restored "
                    + "postgresql.auto.conf before the server is started.", unchanged: Self.nothing)
        }
        guard record.tablespaces.isEmpty else {
            throw BackupError(
                .targetUnsuitable, "Backup \(entry.id) has tablespaces, which this version does not restore.",
                reason: record.tablespaces.map { "\($0.oid) at '\($0.location)'" }.joined(separator: ", "),
                remedy: "Restore another backup, or use one of a version that has them.", unchanged: Self.nothing)
        }
    }

    /// The segments to put beside the data: those that the files need, and for the end of all WAL those after them.
    private func segments(
        _ record: PhysicalRecord, of manifest: BackupManifest
    ) throws(BackupError) -> [WALSegmentName] {
        let needed = record.neededSegments
        guard let first = needed.first, let last = needed.last else {
            throw BackupError(
                .objectDamaged, "The manifest of backup \(manifest.id) cannot be believed.",
                reason: "it names no WAL that it needs", remedy: "Use another backup.", unchanged: Self.nothing)
        }
        let archive = try WALArchive(repository, systemIdentifier: manifest.systemIdentifier)
        let (stored, beyond) = try archive.run(from: first)
        guard stored.count >= needed.count else {
            let missing = needed[stored.count]
            throw BackupError(
                .walMissing, "WAL segment \(missing), which backup \(manifest.id) needs, is missing.",
                remedy: "Put it back from a copy of the repository, or use another backup.", unchanged: Self.nothing)
        }
        if isImmediate { return needed }
        if let beyond {
            let hole = stored.last?.next?.description ?? last.description
            throw BackupError(
                .walMissing, "The end of the WAL cannot be reached from backup \(manifest.id).",
                reason: "segment \(hole) is missing, and \(beyond) is there",
                remedy: "Restore the newest backup, or give --to immediate for the end of this one.",
                unchanged: Self.nothing)
        }
        return stored
    }

    /// Carries the plan out as a recorded run.
    package func run(_ prepared: Prepared) async throws {
        try await RunLog(repository: repository).recorded(
            .restore, kind: .physical, settings: "\(request)", duty: .bestEffort
        ) { run in
            do {
                try await restore(prepared)
            } catch {
                let known = RunLog.describe(error)
                repository.recordDamage(known, of: prepared.manifest.id, foundBy: run)
                throw known.leaving(
                    "The directory '\(request.directory)' is not complete, and no server starts on it; the backup was "
                        + "not touched.")
            }
        }
    }

    private func restore(_ prepared: Prepared) async throws {
        let directory = try DataDirectory(making: request.directory)
        let files = FileRestore(
            manifest: prepared.manifest, repository: repository, directory: directory,
            workers: request.jobs ?? min(4, HostFacts.processorCount))
        let control = try await files.run()
        let configuration = RestoredSettings(
            manifest: prepared.manifest, record: prepared.record, repository: repository, directory: directory,
            request: request)
        try configuration.write()
        try stage(prepared.segments, of: prepared.manifest, in: directory)
        try directory.synchronize()
        // Without it no server starts: only now, when all else is durable, does it get its name.
        try directory.rename(control, to: "pg_control")
        try directory.synchronize()
    }

    private func stage(
        _ segments: [WALSegmentName], of manifest: BackupManifest, in directory: DataDirectory
    ) throws(BackupError) {
        let archive = try WALArchive(repository, systemIdentifier: manifest.systemIdentifier)
        for segment in segments {
            try Task.checkNotCancelled()
            let path = DataPath("\(RestoredSettings.stage)/\(segment)")
            try directory.makeFile(path, size: 0)
            try directory.write(path) { file throws(BackupError) in
                let content = CollectingSink(limit: Int(segment.size.bytes))
                try archive.read(segment, into: content)
                try file.write(content.bytes.span, at: 0)
            }
        }
    }
}
