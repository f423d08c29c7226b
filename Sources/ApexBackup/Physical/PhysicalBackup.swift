package import BackupModel
import BackupStorage
package import PostgresAccess

/// Takes a physical backup: the cluster's files, by a base backup, and the WAL that they need, streamed or archived.
package struct PhysicalBackup: Sendable {
    /// What is asked of it.
    package struct Request: Sendable {
        /// The policy's settings for physical backups.
        package var settings: BackupPolicy.PhysicalSettings
        /// How many workers compress and store; `nil` chooses.
        package var jobs: Int?
        /// The most memory it may use, in bytes; `nil` is the standard.
        package var memory: Int64?
        /// How often a heartbeat is written while it runs.
        package var heartbeat: Duration

        package init(
            settings: BackupPolicy.PhysicalSettings, jobs: Int? = nil, memory: Int64? = nil,
            heartbeat: Duration = .seconds(30)
        ) {
            self.settings = settings
            self.jobs = jobs
            self.memory = memory
            self.heartbeat = heartbeat
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
    ///
    /// Afterwards it brings the index of the WAL up to date.
    package func run() async throws -> BackupManifest {
        let manifest = try await RunLog(repository: repository).recorded(
            .backup, kind: .physical, settings: "\(request)"
        ) { run in
            let connection = try connection()
            let level = try level()
            let workers = try fittingWorkers()
            return try await repository.withLease(.physical, for: run) { lease in
                try await take(run, of: connection, under: lease, level: level, workers: workers)
            }
        }
        WALIndexing(repository: repository).runAfterwards()
        return manifest
    }

    /// Refuses to commit without the WAL that makes the files consistent: it was stored, but others remove WAL too.
    private func requireWAL(of manifest: BackupManifest) throws(BackupError) {
        guard let record = manifest.physical else { return }
        let archive = try WALArchive(repository, systemIdentifier: manifest.systemIdentifier)
        for segment in record.neededSegments {
            guard let end = try archive.storedEnd(of: segment), end >= min(segment.end, record.stop) else {
                throw WALArchive.missing(segment)
            }
        }
    }

    /// Refuses to begin what cannot fit, judged by what the last backup stored of a cluster of its size.
    ///
    /// Of the first there is a warning only.
    private func checkSpace(for source: PhysicalSource) throws(BackupError) {
        guard let free = try repository.storage.freeBytes() else { return }
        let last = try Catalogue(repository).newestBackup(kind: .physical)?.manifest
        guard let last, last.systemIdentifier == source.facts.systemIdentifier,
            let needed = last.totals.stored(ofContent: source.sizeBytes)
        else {
            if source.sizeBytes / 3 > free {
                repository.environment.warn(
                    "The cluster has \(formatBytes(source.sizeBytes)) and the repository \(formatBytes(free)) free: the "
                        + "backup may not fit.")
            }
            return
        }
        guard needed <= free else {
            throw BackupError(
                .repositoryFull,
                "The repository '\(repository.storage.location)' has \(formatBytes(free)) free, and this backup will "
                    + "need about \(formatBytes(needed)).",
                reason: "the last one stored \(formatBytes(last.totals.storedBytes)) of "
                    + formatBytes(last.totals.contentBytes),
                remedy: "Remove expired backups with 'apex-backup prune --apply', or enlarge the volume.",
                unchanged: "Nothing was written.")
        }
    }

    /// As many workers as there is memory for.
    private func fittingWorkers() throws(BackupError) -> Int {
        let workers = try BaseBackupMemory.workers(
            asked: request.jobs, processors: HostFacts.processorCount, limit: request.memory,
            compression: request.settings.compression, writer: repository.storage.bytesPerWriter)
        if let asked = request.jobs, workers < asked {
            repository.environment.note("backup.memory has room for \(workers) of \(asked) workers")
        }
        return workers
    }

    private func level() throws(BackupError) -> Int {
        guard case .zstd(let level) = request.settings.compression else {
            throw BackupError(
                .settings, "Physical backups are not compressed with \(request.settings.compression).",
                reason: "packs are zstd files", remedy: "Set backup.physical.compression to zstd:1 … zstd:19.",
                unchanged: "No backup was taken.")
        }
        return level
    }

    private func take(
        _ run: RunID, of connection: ConnectionSettings, under lease: Lease, level: Int, workers: Int
    ) async throws -> BackupManifest {
        let environment = repository.environment
        let startedAt = environment.clocks.wall()
        var phases = PhaseLog(clocks: environment.clocks, events: environment.events)
        let source = try await phases.measure("connect") {
            do {
                return try await PhysicalSource.open(connection, into: repository, wal: request.settings.wal)
            } catch {
                throw RunLog.describe(error).leaving("No backup was taken.")
            }
        }
        let clockDifference = source.facts.clock.since(environment.clocks.wall())
        guard let objects = repository.layout.incarnationObjects(source.facts.systemIdentifier) else {
            throw unexpectedAnswer("system_identifier")
        }
        try checkSpace(for: source)
        let attempt = try BackupAttempt(run, under: lease, in: repository, folders: [objects.packs(of: run)])
        do {
            let capture = BaseBackupCapture(
                run: run, repository: repository, source: source, objects: objects, settings: request.settings,
                level: level, workers: workers, heartbeat: request.heartbeat)
            let captured = try await phases.measure("files") { try await capture.run() }
            if request.settings.wal == .archive {
                try await phases.measure("wal") {
                    try await ArchivedWAL(
                        connection: connection,
                        archive: WALArchive(repository, systemIdentifier: source.facts.systemIdentifier),
                        segmentSize: source.segmentSize, patience: request.settings.walTimeout
                    ).wait(
                        from: captured.received.start.lsn, to: captured.end.lsn,
                        timeline: captured.received.start.timeline)
                }
            }
            var set = PhysicalSet(run: run, repository: repository, source: source, captured: captured)
            try await phases.measure("commit") { try set.storeSmall() }
            let manifest = try set.manifest(
                startedAt: startedAt, clockDifference: clockDifference, phases: phases.durations,
                settings: request.settings.summary)
            try requireWAL(of: manifest)
            try attempt.commit(manifest)
            return manifest
        } catch {
            throw attempt.discard(after: RunLog.describe(error))
        }
    }
}

extension BackupPolicy.PhysicalSettings {
    /// The settings that shape a backup, for its manifest.
    var summary: [String: String] {
        [
            "compression": compression.description, "checkpoint": checkpoint.rawValue, "wal": wal.rawValue,
            "max_rate": maxRate.map(formatBytes) ?? "none",
        ]
    }
}
