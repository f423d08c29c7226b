import BackupModel
import BackupStorage
import PostgresAccess

/// What a base backup brought, stored and durable, but for what belongs into the manifest.
struct CapturedBaseBackup: Sendable {
    let received: BaseBackupReceiver.Received
    let end: BaseBackupEnd
    let packs: [PackLine]
    let tables: FileTables
    /// The latest time that a record of the WAL beside it carries.
    let latestRecord: Timestamp?

    /// The stored table of files and the server's own manifest.
    struct FileTables: Sendable {
        var files: Artefact
        var serverManifest: Artefact
        var fileCount: Int
        var contentBytes: Int64
    }
}

/// Receives a base backup, stores its files in packs, and the WAL that it needs beside it.
///
/// One thread reads the server's stream, `workers` compress and write pieces of 4 MiB, each into packs of its own, one
/// writes the table of files, and one receives WAL. Between them are queues of limited length.
struct BaseBackupCapture: Sendable {
    let run: RunID
    let repository: Repository
    let source: PhysicalSource
    let objects: IncarnationLayout
    let settings: BackupPolicy.PhysicalSettings
    let level: Int
    let workers: Int
    /// How often a heartbeat is written.
    let heartbeat: Duration

    /// What a part of the capture came to.
    private enum Part: Sendable {
        case packs([PackLine])
        case tables(CapturedBaseBackup.FileTables)
        case received(BaseBackupEnd, BaseBackupReceiver.Received)
        case wal(latestRecord: Timestamp?)
    }

    func run() async throws -> CapturedBaseBackup {
        switch settings.wal {
        case .stream: try await runWithWAL()
        case .archive: try await runWithoutWAL()
        }
    }

    /// Streams no WAL: the archive will have it.
    private func runWithoutWAL() async throws -> CapturedBaseBackup {
        try await ReplicationSession.with(
            source.connection, applicationName: "apex-backup files", timeout: DumpSource.connectTimeout
        ) { files in
            let timeline = try await identify(files).timeline
            if timeline > 1 {
                let archive = try WALArchive(repository, systemIdentifier: source.facts.systemIdentifier)
                try archive.store(try await files.timelineHistory(timeline), of: timeline)
            }
            return try await capture(files, nil)
        }
    }

    private func runWithWAL() async throws -> CapturedBaseBackup {
        let slot = "apex_backup_\(run.text.lowercased().map { $0.isLetter || $0.isNumber ? String($0) : "_" }.joined())"
        let timeout = DumpSource.connectTimeout
        return try await ReplicationSession.with(
            source.connection, applicationName: "apex-backup WAL", timeout: timeout
        ) { wal in
            _ = try await identify(wal)
            // Before the backup begins, so that the server keeps all WAL from its start on.
            try await wal.makeTemporarySlot(slot)
            return try await ReplicationSession.with(
                source.connection, applicationName: "apex-backup files", timeout: timeout
            ) { files in try await capture(files, WALSource(session: wal, slot: slot)) }
        }
    }

    /// A session that WAL is streamed over.
    private struct WALSource: Sendable {
        let session: ReplicationSession
        let slot: String
    }

    private func identify(_ session: ReplicationSession) async throws -> ReplicationSession.Identity {
        let identity = try await session.identify()
        guard identity.systemIdentifier == source.facts.systemIdentifier else {
            throw BackupError(
                .wrongCluster, "Two sessions of \(source.connection.redacted) led to different servers.",
                remedy: "Name only hosts of one cluster in the connection's URL.")
        }
        return identity
    }

    private func capture(_ files: ReplicationSession, _ wal: WALSource?) async throws -> CapturedBaseBackup {
        let pieces = BoundedQueue<FramePiece>(limit: workers)
        let contents = BoundedQueue<BackupContent>(limit: 64)
        let (starts, announced) = AsyncStream<BaseBackupStart>.makeStream()
        let control = WALStreamControl(from: LogSequenceNumber(position: 0))
        let archive = try WALArchive(repository, systemIdentifier: source.facts.systemIdentifier)
        return try await withThrowingTaskGroup(of: Part.self) { group in
            group.addTask {
                defer { announced.finish() }
                let received = try await receive(files, pieces, contents, announced, control)
                // Only now: after a failure everybody waits until that is known, so that nothing else seems its cause.
                pieces.close()
                return received
            }
            group.addTask {
                var starting = starts.makeAsyncIterator()
                guard let start = await starting.next() else { return .wal(latestRecord: nil) }
                // From now on, so that the WAL of the backup holds one whenever it ends.
                async let _: Void = writeHeartbeats()
                guard let wal else {
                    // Nothing more is announced: everything was received.
                    _ = await starting.next()
                    return .wal(latestRecord: nil)
                }
                let capture = WALCapture(
                    session: wal.session, slot: wal.slot, archive: archive, size: source.segmentSize,
                    clocks: repository.environment.clocks)
                return .wal(
                    latestRecord: try await capture.run(from: start.lsn, timeline: start.timeline, control: control))
            }
            for worker in 0..<workers {
                group.addTask { .packs(try store(pieces, as: worker, into: contents)) }
            }
            group.addTask { try writeTables(of: contents) }
            return try await Self.join(&group, workers: workers, contents: contents) {
                pieces.abandon()
                contents.abandon()
            }
        }
    }

    /// Waits for all parts; when one fails, lets those go that wait for it, and throws what was the cause.
    private static func join(
        _ group: inout ThrowingTaskGroup<Part, any Error>, workers: Int, contents: BoundedQueue<BackupContent>,
        letGo: () -> Void
    ) async throws -> CapturedBaseBackup {
        var packs: [PackLine] = []
        var tables: CapturedBaseBackup.FileTables?
        var received: (end: BaseBackupEnd, BaseBackupReceiver.Received)?
        var latestRecord: Timestamp?
        var ended = 0
        var failure: (any Error)?
        while let result = await group.nextResult() {
            switch result {
            case .success(.packs(let lines)):
                packs += lines
                ended += 1
                if ended == workers { contents.close() }
            case .success(.tables(let stored)): tables = stored
            case .success(.received(let end, let rest)): received = (end, rest)
            case .success(.wal(let latest)): latestRecord = latest
            case .failure(let error):
                if failure == nil || failure is CancellationError || (failure as? BackupError)?.code == .interrupted {
                    failure = error
                }
                letGo()
                group.cancelAll()
            }
        }
        // Who was asked to stop fails because of that, whatever failed then.
        try Task.checkCancellation()
        if let failure { throw failure }
        guard let (end, received) = received, let tables, tables.serverManifest.contentBytes > 0 else {
            throw BaseBackupReceiver.incomplete("its manifest is missing")
        }
        return CapturedBaseBackup(
            received: received, end: end, packs: packs, tables: tables, latestRecord: latestRecord)
    }

    /// Writes heartbeats until cancelled.
    private func writeHeartbeats() async {
        guard !source.facts.inRecovery else { return }
        let writing = WALHeartbeat(repository: repository, connection: source.connection)
        repeat { await writing.runBeside() } while await isTime(after: heartbeat)
    }

    /// Whether the time passed, and nobody asked to stop.
    private func isTime(after pause: Duration) async -> Bool {
        do {
            try await repository.environment.clocks.sleep(pause)
            return true
        } catch { return false }
    }

    private func receive(
        _ session: ReplicationSession, _ pieces: BoundedQueue<FramePiece>, _ contents: BoundedQueue<BackupContent>,
        _ announced: AsyncStream<BaseBackupStart>.Continuation, _ control: WALStreamControl
    ) async throws -> Part {
        let receiver = BaseBackupReceiver(pieces: pieces, contents: contents, environment: repository.environment)
        let options = BaseBackupOptions(
            label: "apex-backup \(run)", isFast: settings.checkpoint == .fast,
            maxRate: settings.maxRate.map { $0 / 1024 })
        let end = try await session.baseBackup(options) { start in
            receiver.begin(start)
            announced.yield(start)
        } onMessage: { message in
            try receiver.receive(message)
        }
        let received = try receiver.finish()
        control.stop(at: lastOfWAL(end))
        return .received(end, received)
    }

    /// A primary has switched to the next segment: all of that in which the backup ended will come.
    private func lastOfWAL(_ end: BaseBackupEnd) -> LogSequenceNumber {
        guard !source.facts.inRecovery else { return end.lsn }
        let last = WALSegmentName(
            timeline: end.timeline, containing: LogSequenceNumber(position: end.lsn.position - 1),
            segmentSize: source.segmentSize)
        return last?.end ?? end.lsn
    }

    private func store(
        _ pieces: BoundedQueue<FramePiece>, as worker: Int, into contents: BoundedQueue<BackupContent>
    ) throws(BackupError) -> [PackLine] {
        let writer = try PackWriter(
            repository.storage, folder: objects.packs(of: run), backup: run, worker: worker, level: level)
        while let piece = pieces.take() {
            let frame = try writer.store(piece.content.span)
            guard contents.put(.stored(frame, piece.slices)) else { break }
        }
        try writer.finish()
        return writer.packs
    }

    private func writeTables(of contents: BoundedQueue<BackupContent>) throws(BackupError) -> Part {
        let files = ArtefactWriter(
            name: "files.jsonl.zst", role: .files, compression: .zstd(level: 3), of: run, in: repository)
        let manifest = ArtefactWriter(
            name: "backup_manifest.zst", role: .serverManifest, compression: .zstd(level: 3), of: run, in: repository)
        let fileStream = try files.open(overlapped: false)
        let manifestStream = try manifest.open(overlapped: false)
        var table = FileTableWriter(into: fileStream.sink)
        while let content = contents.take() {
            switch content {
            case .file(let number, let line): try table.add(number, line)
            case .stored(let frame, let slices): try table.add(frame, slices)
            case .serverManifest(let bytes): try manifestStream.sink.write(bytes.span)
            }
        }
        try table.finish()
        return .tables(
            .init(
                files: try fileStream.finish(), serverManifest: try manifestStream.finish(),
                fileCount: table.fileCount, contentBytes: table.contentBytes))
    }
}
