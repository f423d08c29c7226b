package import BackupModel
import BackupStorage
package import PostgresAccess

/// Takes a logical backup: a dump of each chosen database from one snapshot of it, and the cluster's globals.
package struct LogicalBackup: Sendable {
    /// What is asked of it.
    package struct Request: Sendable {
        /// The policy's settings for logical backups.
        package var settings: BackupPolicy.LogicalSettings
        /// How many databases are dumped at once; `nil` chooses.
        package var jobs: Int?
        /// A directory with PostgreSQL's programs; `nil` searches.
        package var bin: String?

        package init(settings: BackupPolicy.LogicalSettings, jobs: Int? = nil, bin: String? = nil) {
            self.settings = settings
            self.jobs = jobs
            self.bin = bin
        }
    }

    let repository: Repository
    let connection: ConnectionSettings
    let request: Request

    package init(repository: Repository, connection: ConnectionSettings, request: Request) {
        self.repository = repository
        self.connection = connection
        self.request = request
    }

    /// Takes the backup and commits it; anything that fails leaves no backup and a run record that says why.
    package func run() async throws -> BackupManifest {
        return try await RunLog(repository: repository).recorded(
            .backup, kind: .logical, settings: "\(request)"
        ) { run in
            try await repository.withLease(.logical, for: run) { lease in
                try await take(run, under: lease)
            }
        }
    }

    private func take(_ run: RunID, under lease: Lease) async throws -> BackupManifest {
        let environment = repository.environment
        let startedAt = environment.clocks.wall()
        var phases = PhaseLog(clocks: environment.clocks, events: environment.events)
        let source = try await phases.measure("connect") {
            do {
                return try await DumpSource.open(self)
            } catch {
                throw RunLog.describe(error).leaving("No backup was taken.")
            }
        }
        try checkSpace(for: source.databases)
        _ = try repository.put(
            RunningBackup(leaseEpoch: lease.epoch, baseline: nil), at: repository.layout.running(run))
        do {
            var set = BackupSet(run: run, repository: repository)
            if request.settings.globals {
                let globals = try await phases.measure("globals") { try await dumpGlobals(of: source, run: run) }
                set.artefacts.append(globals)
            }
            let dumps = try await phases.measure("dump") { try await dumpDatabases(of: source, run: run) }
            set.add(dumps)
            try await phases.measure("commit") { try set.storeTables(of: dumps) }
            let manifest = try set.manifest(
                of: source, startedAt: startedAt, phases: phases.durations, settings: request.settings.summary)
            try commit(manifest, under: lease)
            return manifest
        } catch {
            throw discard(run, after: RunLog.describe(error))
        }
    }

    /// Puts the manifest, unless the run was given up meanwhile.
    ///
    /// From then on the backup is there: an error of the put is judged by looking, and nothing after it fails the run.
    private func commit(_ manifest: BackupManifest, under lease: Lease) throws(BackupError) {
        try Task.checkNotCancelled()
        try lease.requireHeld()
        let outcome: PutOutcome
        do {
            outcome = try repository.put(manifest, at: repository.layout.manifest(manifest.id))
        } catch {
            guard case .committed(manifest)? = try Catalogue(repository).document(of: manifest.id) else { throw error }
            repository.environment.warn("Backup \(manifest.id) is committed, but: \(error.message)")
            return
        }
        guard outcome == .stored else { throw givenUp(manifest.id) }
        do {
            try repository.storage.remove(repository.layout.running(manifest.id))
        } catch {
            repository.environment.warn("The mark of a running backup could not be removed: \(error.message)")
        }
    }

    /// Removes what a failed run stored, unless a manifest stands or may stand there; tells what became of it.
    ///
    /// What cannot be removed now is a leftover for prune.
    private func discard(_ run: RunID, after failure: BackupError) -> BackupError {
        let layout = repository.layout
        var error = failure
        do {
            switch try Catalogue(repository).document(of: run) {
            case .committed: return error.leaving("Backup \(run) is committed and whole.")
            case .aborted: error = givenUp(run)
            case nil: break
            }
            for name in try repository.storage.children(of: layout.backup(run)) where name != "manifest.json" {
                try repository.storage.remove(layout.backup(run).appending(name))
            }
        } catch let problem {
            repository.environment.warn(
                "What the failed run \(run) stored was not all removed; 'apex-backup prune --apply' will: "
                    + problem.message)
        }
        return error.leaving("No backup was committed; earlier backups were not touched.")
    }

    private func givenUp(_ run: RunID) -> BackupError {
        BackupError(
            .backupAborted, "Backup \(run) was given up by 'apex-backup prune' before it could commit.",
            reason: "its lease had no heartbeat for \(DurationText.format(repository.environment.leaseExpiry))",
            remedy: "Find out why this run was suspended, and take a new backup.")
    }

    /// Refuses to begin what cannot fit, judged by the last backup; the first backup is only warned about.
    private func checkSpace(for databases: [DatabaseEntry]) throws(BackupError) {
        guard let free = try repository.storage.freeBytes() else { return }
        let previous = try Catalogue(repository).backups().last { $0.manifest?.kind == .logical }?.manifest
        let needed = previous.map { $0.totals.storedBytes / 10 * 11 }
        if let needed, needed > free {
            throw BackupError(
                .repositoryFull,
                "The repository '\(repository.storage.location)' has \(formatBytes(free)) free, and this backup will "
                    + "need about \(formatBytes(needed)).",
                reason: "the last backup stored \(formatBytes(previous?.totals.storedBytes ?? 0))",
                remedy: "Remove expired backups with 'apex-backup prune --apply', or enlarge the volume.",
                unchanged: "Nothing was written.")
        }
        let size = databases.reduce(0) { $0 + ($1.sizeBytes ?? 0) }
        if needed == nil, size / 3 > free {
            repository.environment.warn(
                "The databases have \(formatBytes(size)) and the repository \(formatBytes(free)) free: the backup may "
                    + "not fit.")
        }
    }
}

extension BackupPolicy.LogicalSettings {
    /// The settings that shape a backup, for its manifest.
    var summary: [String: String] {
        [
            "format": format.rawValue, "compression": compression.description, "verify_dump": verifyDump.rawValue,
            "counts": counts.rawValue, "globals": "\(globals)",
        ]
    }
}

extension Task where Success == Never, Failure == Never {
    /// Throws when this task was asked to stop.
    static func checkNotCancelled() throws(BackupError) {
        guard isCancelled else { return }
        throw RunLog.describe(_Concurrency.CancellationError())
    }
}
