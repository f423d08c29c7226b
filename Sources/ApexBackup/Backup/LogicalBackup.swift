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
            compression: request.settings.compression, writer: repository.storage.bytesPerWriter)
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
        let attempt = try BackupAttempt(run, under: lease, in: repository)
        do {
            var set = BackupSet(run: run, repository: repository)
            if request.settings.globals {
                let globals = try await phases.measure("globals") { try await dumpGlobals(of: source, run: run) }
                set.artefacts.append(globals.artefact)
                if let words = globals.words { set.remarks.append("pg_dumpall said: \(words)") }
            }
            let dumps = try await phases.measure("dump") { try await dumpDatabases(of: source, run: run) }
            set.add(dumps)
            if !source.facts.inRecovery {
                await WALHeartbeat(repository: repository, connection: connection).runBeside()
            }
            try await phases.measure("commit") { try set.storeTables(of: dumps) }
            let manifest = try set.manifest(
                of: source, startedAt: startedAt, phases: phases.durations, settings: request.settings.summary)
            try attempt.commit(manifest)
            return manifest
        } catch {
            throw attempt.discard(after: RunLog.describe(error).namingGrants(to: source.role))
        }
    }

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
