import BackupModel
import BackupStorage

/// One attempt to make a backup, from the mark that it runs to its commit or the removal of what it stored.
struct BackupAttempt: Sendable {
    let run: RunID
    private let lease: Lease
    private let repository: Repository
    /// Where it stores objects besides those in its own folder; nothing else is there.
    private let folders: [ObjectKey]

    /// Marks the run as one that may commit.
    init(
        _ run: RunID, under lease: Lease, in repository: Repository, folders: [ObjectKey] = []
    ) throws(BackupError) {
        self.run = run
        self.lease = lease
        self.repository = repository
        self.folders = folders
        _ = try repository.put(
            RunningBackup(kind: lease.kind, leaseEpoch: lease.epoch, baseline: nil), at: repository.layout.running(run))
    }

    /// Puts the manifest, unless the run was given up meanwhile.
    ///
    /// From then on the backup is there: an error of the put is judged by looking, and nothing after it fails the run.
    func commit(_ manifest: BackupManifest) throws(BackupError) {
        try Task.checkNotCancelled()
        try lease.requireHeld()
        let outcome: PutOutcome
        do {
            outcome = try repository.put(manifest, at: repository.layout.manifest(manifest.id))
        } catch {
            try settle(manifest, after: error)
            return
        }
        guard outcome == .stored else { throw Self.givenUp(manifest.id, by: nil) }
        do {
            try repository.storage.remove(repository.layout.running(manifest.id))
        } catch {
            repository.environment.warn("The mark of a running backup could not be removed: \(error.message)")
        }
    }

    /// After a put that failed: finds out whether it was done all the same.
    ///
    /// Where a failure does not exclude that it is done later still, as over a network, the manifest's name is claimed
    /// first.
    private func settle(_ manifest: BackupManifest, after failure: BackupError) throws(BackupError) {
        let document: ManifestDocument?
        do {
            if failure.code == .storageFailed || failure.code == .repositoryUnavailable {
                let mark = AbortedRun(
                    at: repository.environment.clocks.wall(), by: manifest.id,
                    reason: "its commit failed: \(failure.message)")
                _ = try repository.put(ManifestDocument.aborted(mark), at: repository.layout.manifest(manifest.id))
            }
            document = try Catalogue(repository).document(of: manifest.id)
        } catch {
            throw BackupError(
                .commitUnknown, "Whether backup \(manifest.id) was committed is not known.",
                reason: "\(failure.message) Then: \(error.message)",
                remedy:
                    "When the repository answers again, see 'apex-backup list'; 'apex-backup prune --apply' removes "
                    + "what is left if it was not committed.",
                unchanged: "Nothing was removed; earlier backups were not touched.")
        }
        guard case .committed(manifest)? = document else { throw failure }
        repository.environment.warn("Backup \(manifest.id) is committed, but: \(failure.message)")
    }

    /// Removes what a failed run stored, unless a manifest stands or may stand there; tells what became of it.
    ///
    /// What cannot be removed now is a leftover for prune.
    func discard(after failure: BackupError) -> BackupError {
        if failure.code == .commitUnknown { return failure }
        let layout = repository.layout
        var error = failure
        do {
            switch try Catalogue(repository).document(of: run) {
            case .committed: return error.leaving("Backup \(run) is committed and whole.")
            case .aborted(let mark): if mark.by != run { error = Self.givenUp(run, by: mark) }
            case nil: break
            }
            let names = try repository.storage.children(of: layout.backup(run)).filter { $0 != "manifest.json" }
            try repository.storage.remove(names.map(layout.backup(run).appending))
            for folder in folders {
                try repository.storage.remove(repository.storage.children(of: folder).map(folder.appending))
            }
        } catch let problem {
            repository.environment.warn(
                "What the failed run \(run) stored was not all removed; 'apex-backup prune --apply' will: "
                    + problem.message)
        }
        return error.leaving(Self.uncommitted)
    }

    static func givenUp(_ run: RunID, by mark: AbortedRun?) -> BackupError {
        BackupError(
            .backupAborted, "Backup \(run) was given up by 'apex-backup prune' before it could commit.",
            reason: mark.map { "run \($0.by): \($0.reason)" } ?? "its lease had no heartbeat",
            remedy: "Find out why this run was suspended, and take a new backup.", unchanged: uncommitted)
    }

    private static let uncommitted = "No backup was committed; earlier backups were not touched."
}
