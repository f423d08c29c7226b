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
        /// Whether what is exactly at the moment is recovered too.
        package var isInclusive = true
        /// The timeline to follow; `nil` is the newest that production was seen on.
        package var timeline: UInt32?
        /// Whether the nearest moment that can be reached will do.
        package var acceptsNearest = false
        /// Whether a data directory of the same cluster may be there, of which what is right stays.
        package var rewritesExisting = false
        /// Where tablespaces are put.
        package var tablespaces = TablespacePlaces()
        /// What the server does at its target.
        package var action = RecoverySettings.Action.promote
        /// The directory, as an absolute path.
        package var directory: String
        /// Workers that read and write at once; `nil` chooses.
        package var jobs: Int?
        /// How the server gets WAL from the archive; `nil` puts what it needs beside the data.
        package var archive: WALCommands?
        /// Whether the server may make the tablespaces that its WAL makes, where its source had them.
        var mayMakeTablespaces = true
        /// Whether the server is to archive and run what its source did.
        package var asPrimary: Bool

        package init(
            backup: String, moment: RestoreMoment?, directory: String, jobs: Int? = nil, archive: WALCommands? = nil,
            asPrimary: Bool = false
        ) {
            self.archive = archive
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
        let recovery: RecoveryPlan
        let tablespaces: [UInt32: String]
        /// What is there already and is rewritten.
        let rewriting: Rewriting?
        /// The last segment, if only its beginning is stored.
        let pieces: WALGet.Pieces?
        /// What the WAL that is recovered changes of the settings that a standby must match.
        let parameterChanges: [HotStandbyParameters]
        /// What the plan was made from.
        let index: ArchiveIndex
    }

    let repository: Repository
    let request: Request

    package init(repository: Repository, request: Request) {
        self.repository = repository
        self.request = request
    }

    /// Plans, and refuses what cannot work; nothing is touched.
    package func prepare() throws(BackupError) -> Prepared {
        try PhysicalRestorePlanning(repository: repository, request: request).prepare()
    }

    /// What ``prepare(in:)`` plans with.
    func look() throws(BackupError) -> RestorableArchive {
        try PhysicalRestorePlanning(repository: repository, request: request).look()
    }

    /// The same as ``prepare()``, of what was looked at before.
    func prepare(in view: inout RestorableArchive) throws(BackupError) -> Prepared {
        try PhysicalRestorePlanning(repository: repository, request: request).prepare(in: &view)
    }

    /// What a restore has done.
    package struct Result: Sendable, Codable, Hashable {
        package var plan: PhysicalRestorePlan
        /// The bytes of files that were written.
        package var writtenBytes: Int64
        /// The bytes of files that were there and right.
        package var keptBytes: Int64
        /// WAL of the directory that was rewritten, which the archive lacks; `nil` if there was none.
        package var keptWAL: KeptWAL?
    }

    /// Carries the plan out as a recorded run.
    @discardableResult
    package func run(_ prepared: Prepared) async throws -> Result {
        try await recorded { run in try await carryOut(prepared, for: run) }
    }

    /// Runs `body` as an attempt to restore, whose record says how all of it ended.
    func recorded<Value: Sendable>(_ body: (RunID) async throws -> Value) async throws -> Value {
        try await RunLog(repository: repository).recorded(
            .restore, kind: .physical, settings: "\(request)", duty: .bestEffort, body)
    }

    /// Carries the plan out as a part of `run`.
    func carryOut(_ prepared: Prepared, for run: RunID) async throws -> Result {
        do {
            let (tree, kept) = try await makeTree(prepared, for: run)
            let tally: FileRestore.Tally
            do {
                tally = try await restoreBackup(prepared, into: tree)
            } catch {
                let known = RunLog.describe(error)
                repository.recordDamage(known, of: prepared.manifest.id, foundBy: run)
                throw known
            }
            // What is wrong with later WAL is not the backup's.
            try finish(prepared, tree)
            return Result(plan: prepared.plan, writtenBytes: tally.written, keptBytes: tally.kept, keptWAL: kept)
        } catch {
            throw told(RunLog.describe(error), of: prepared)
        }
    }

    /// The directories to write to; of those that are rewritten, all that the backup does not have is gone.
    private func makeTree(_ prepared: Prepared, for run: RunID) async throws -> (tree: RestoredTree, kept: KeptWAL?) {
        guard let rewriting = prepared.rewriting else {
            return (try RestoredTree(request.directory, tablespaces: prepared.tablespaces), nil)
        }
        let (tree, kept) = try await rewriting.begin(run)
        // Said at once: whatever fails afterwards, it is there.
        if let kept { repository.environment.warn(kept.text) }
        return (tree, kept)
    }

    /// The error as it is said of the place that is written to: the repository is only read.
    private func told(_ error: BackupError, of prepared: Prepared) -> BackupError {
        guard error.unchanged != ExistingCluster.untouched else { return error }
        var error = error
        // That a run was stopped says nothing of what it had begun.
        if error.code == .interrupted { error.unchanged = nil }
        error = error.leaving(
            "The directory '\(request.directory)' is not complete, and no server starts on it"
                + (prepared.rewriting == nil ? "; " : "; the same command finishes it; ")
                + "the backup was not touched.")
        guard error.code == .repositoryFull else { return error }
        return BackupError(
            .targetFull, error.message, reason: error.reason,
            remedy: prepared.rewriting == nil
                ? "Empty the directory, make room there, and restore again."
                : "Make room there, and run the same command again: what is right already stays.",
            unchanged: error.unchanged)
    }

    /// Writes all that the backup itself consists of.
    private func restoreBackup(_ prepared: Prepared, into tree: RestoredTree) async throws -> FileRestore.Tally {
        let files = FileRestore(
            manifest: prepared.manifest, repository: repository, tree: tree,
            workers: request.jobs ?? min(4, HostFacts.processorCount))
        let tally = try await files.run()
        try RestoredSettings(
            prepared: prepared, repository: repository, directory: tree.main, request: request
        ).write()
        if request.archive == nil { try stage(prepared.record.neededSegments, of: prepared, in: tree.main) }
        return tally
    }

    private func finish(_ prepared: Prepared, _ tree: RestoredTree) throws(BackupError) {
        if request.archive == nil {
            let staged = Set(prepared.record.neededSegments)
            try stage(
                prepared.recovery.segments.lazy.flatMap(\.names).filter { !staged.contains($0) }, of: prepared,
                in: tree.main)
        }
        try tree.synchronize()
        if tree.isRewritten { try tree.main.removeFile(ExistingCluster.aside) }
        // Without it no server starts: only now, when all else is durable, does it get its name.
        try tree.main.rename(FileRestore.control, to: "pg_control")
    }

    /// Puts segments beside the data, and the histories of timelines.
    private func stage(
        _ segments: some Sequence<WALSegmentName>, of prepared: Prepared, in directory: DataDirectory
    ) throws(BackupError) {
        let archive = try WALArchive(repository, systemIdentifier: prepared.manifest.systemIdentifier)
        try directory.makeDirectory(DataPath(RestoredSettings.stage))
        let folder = "\(directory.path)/\(RestoredSettings.stage)"
        for (timeline, content) in try archive.historyFiles() {
            let file = try PlacedFile("\(folder)/\(WALFileName.history(timeline: timeline))")
            try file.write(content.span)
            try file.finish()
        }
        for segment in segments {
            try Task.checkNotCancelled()
            let file = try PlacedFile("\(folder)/\(segment)")
            try archive.readPadded(segment, into: UnfinishedSink(file))
            try file.finish()
        }
    }
}
