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
        /// The most memory it may use, in bytes; `nil` is the standard.
        package var memory: Int64?
        /// A directory with PostgreSQL's programs; `nil` searches.
        package var bin: String?
        /// How long a dump waits for the lock on a table, which somebody else's exclusive lock may keep from it.
        package var lockWait = Duration.seconds(30 * 60)

        package init(
            settings: BackupPolicy.LogicalSettings, jobs: Int? = nil, memory: Int64? = nil, bin: String? = nil
        ) {
            self.settings = settings
            self.jobs = jobs
            self.memory = memory
            self.bin = bin
        }
    }

    let repository: Repository
    let request: Request
    private let connection: @Sendable () throws -> ConnectionSettings

    /// A backup of the server that `connection` leads to; it is resolved when the attempt has its record.
    package init(
        repository: Repository, connection: @autoclosure @escaping @Sendable () throws -> ConnectionSettings,
        request: Request
    ) {
        self.repository = repository
        self.connection = connection
        self.request = request
    }

    /// Takes the backup and commits it; anything that fails leaves no backup and a run record that says why.
    package func run() async throws -> BackupManifest {
        return try await RunLog(repository: repository).recorded(
            .backup, kind: .logical, settings: "\(request)"
        ) { run in
            let connection = try connection()
            let backup = LogicalBackup(repository: repository, connection: connection, request: try fittingRequest())
            return try await repository.withLease(.logical, for: run) { lease in
                try await backup.take(run, of: connection, under: lease)
            }
        }
    }

    /// The request with as many jobs as there is memory for.
    private func fittingRequest() throws(BackupError) -> Request {
        var request = request
        let jobs = try DumpMemory.jobs(
            asked: request.jobs, processors: HostFacts.processorCount, limit: request.memory,
            compression: request.settings.compression)
        if let asked = request.jobs, jobs < asked {
            repository.environment.note("backup.memory has room for \(jobs) of \(asked) dumps at once")
        }
        request.jobs = jobs
        return request
    }

    private func take(
        _ run: RunID, of connection: ConnectionSettings, under lease: Lease
    ) async throws -> BackupManifest {
        let environment = repository.environment
        let startedAt = environment.clocks.wall()
        var phases = PhaseLog(clocks: environment.clocks, events: environment.events)
        let source = try await phases.measure("connect") {
            do {
                return try await DumpSource.open(connection, for: request, into: repository)
            } catch {
                throw RunLog.describe(error).leaving("No backup was taken.")
            }
        }
        try checkSpace(for: source.databases)
        _ = try repository.put(
            RunningBackup(kind: .logical, leaseEpoch: lease.epoch, baseline: nil), at: repository.layout.running(run))
        do {
            var set = BackupSet(run: run, repository: repository)
            if request.settings.globals {
                let globals = try await phases.measure("globals") { try await dumpGlobals(of: source, run: run) }
                set.artefacts.append(globals.artefact)
                if let words = globals.words { set.remarks.append("pg_dumpall said: \(words)") }
            }
            let dumps = try await phases.measure("dump") { try await dumpDatabases(of: source, run: run) }
            set.add(dumps)
            try await phases.measure("commit") { try set.storeTables(of: dumps) }
            let manifest = try set.manifest(
                of: source, startedAt: startedAt, phases: phases.durations, settings: request.settings.summary)
            try commit(manifest, under: lease)
            return manifest
        } catch {
            throw discard(run, after: RunLog.describe(error).namingGrants(to: source.role))
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
    private func discard(_ run: RunID, after failure: BackupError) -> BackupError {
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

    /// Refuses to begin what cannot fit, judged by what the last backup stored of the same databases.
    ///
    /// For databases that it did not hold there is a warning only.
    private func checkSpace(for databases: [DatabaseEntry]) throws(BackupError) {
        guard let free = try repository.storage.freeBytes() else { return }
        let known = try storedBefore()
        let stored = databases.reduce(0) { $0 + (known[$1.oid] ?? 0) }
        let needed = stored / 10 * 11
        guard needed <= free else {
            throw BackupError(
                .repositoryFull,
                "The repository '\(repository.storage.location)' has \(formatBytes(free)) free, and this backup will "
                    + "need about \(formatBytes(needed)).",
                reason: "the last backup stored \(formatBytes(stored)) of these databases",
                remedy: "Remove expired backups with 'apex-backup prune --apply', or enlarge the volume.",
                unchanged: "Nothing was written.")
        }
        let size = databases.reduce(0) { $0 + (known[$1.oid] == nil ? $1.sizeBytes ?? 0 : 0) }
        if needed + size / 3 > free {
            repository.environment.warn(
                "The databases have \(formatBytes(size)) and the repository \(formatBytes(free)) free: the backup may "
                    + "not fit.")
        }
    }
}

extension LogicalBackup {
    /// The stored bytes of each database's dump in the last logical backup; nothing if that cannot be told.
    private func storedBefore() throws(BackupError) -> [UInt32: Int64] {
        let catalogue = Catalogue(repository)
        guard let manifest = try catalogue.newestBackup(kind: .logical)?.manifest,
            let (databases, artefacts) = try? catalogue.databases(of: manifest)
        else { return [:] }
        let bytes = Dictionary(artefacts.map { ($0.name, $0.storedBytes) }) { first, _ in first }
        return Dictionary(databases.map { ($0.oid, bytes[$0.artefact] ?? 0) }) { first, _ in first }
    }
}

extension BackupPolicy.LogicalSettings {
    /// The settings that shape a backup, for its manifest.
    var summary: [String: String] {
        func list(_ names: [String]) -> String {
            let text = names.sorted().map(quoteLiteral).joined(separator: ", ")
            guard text.utf8.count > 4096 else { return text }
            return "\(names.count) names with the SHA-256 \(SHA256.digest(of: Array(text.utf8).span))"
        }
        let chosen =
            switch databases {
            case .all: "all"
            case .named(let names): list(names)
            }
        return [
            "databases": chosen, "exclude": list(exclude),
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
