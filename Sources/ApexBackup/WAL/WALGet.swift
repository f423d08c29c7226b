import BackupModel
import BackupStorage

/// Brings a file of WAL from the archive, as `restore_command` asks for it.
package struct WALGet: Sendable {
    /// What is asked of it.
    package struct Request: Sendable {
        /// The name of the file, `%f`.
        package var name: String
        /// Where to put it, `%p`.
        package var path: String
        /// The cluster's system identifier; `nil` looks into the data directory that is the current one.
        package var systemIdentifier: String?
        /// A segment of which the pieces are taken where it is not there whole.
        package var pieces: Pieces?
        /// How the segments behind it are read ahead; `nil` if they are not.
        package var prefetch: WALPrefetch.Settings?
        /// How long to wait for a file that is absent while something is being stored beside it.
        package var patience: Duration

        package init(
            name: String, path: String, systemIdentifier: String? = nil, pieces: Pieces? = nil,
            prefetch: WALPrefetch.Settings? = nil, patience: Duration = WALGet.patience
        ) {
            self.name = name
            self.path = path
            self.systemIdentifier = systemIdentifier
            self.pieces = pieces
            self.prefetch = prefetch
            self.patience = patience
        }
    }

    /// An unfinished segment that may be taken as far as it is stored.
    package struct Pieces: Sendable, Hashable {
        package var segment: String
        /// Whether it may be only while nothing is stored behind it: recovery goes to the end of the WAL.
        package var atEndOnly: Bool

        package init(segment: String, atEndOnly: Bool) {
            self.segment = segment
            self.atEndOnly = atEndOnly
        }
    }

    /// What came of it.
    package enum Outcome: Sendable, Hashable {
        /// The file is in its place, whole and proved.
        case delivered
        /// The same, and it was read ahead.
        case readAhead
        /// The archive certainly ends before it.
        case absent
    }

    /// How long a server that recovers waits for what is being stored: it would be promoted without it.
    package static let patience = Duration.seconds(600)
    /// The same for a standby, which asks again and streams meanwhile.
    package static let patienceOfStandby = Duration.seconds(5)

    let request: Request
    private let environment: BackupEnvironment
    private let open: @Sendable () throws -> Repository

    /// `open` opens the repository, and so reads its marker, for each attempt anew.
    package init(
        _ request: Request, environment: BackupEnvironment,
        opening open: @escaping @Sendable () throws -> Repository
    ) {
        self.request = request
        self.environment = environment
        self.open = open
    }

    /// Brings the file.
    ///
    /// PostgreSQL takes a file that is absent for the end of the WAL, and promotes. So ``Outcome/absent`` is answered only
    /// for what the storage says is not there, while nobody is storing it and no later segment that continues it is there.
    /// What may pass by itself is tried again for a few seconds (``WALGetRetry``).
    ///
    /// - Throws: ``ErrorCode/walMissing`` for a hole and for what may still come, ``ErrorCode/objectDamaged`` and others
    ///   for what could not be brought or proved; nothing usable is at the path then.
    package func run() async throws -> Outcome {
        var failures = 0
        var firstFailure: Duration?
        while true {
            do {
                return try await WALGetAttempt(request, in: try open()).run()
            } catch let error as BackupError {
                failures += 1
                let now = environment.clocks.monotonic()
                let elapsed = now - (firstFailure ?? now)
                firstFailure = firstFailure ?? now
                guard let pause = WALGetRetry.pause(after: failures, with: error.code, elapsed: elapsed) else {
                    throw error
                }
                environment.note("\(error.messageWithReason): it is tried again")
                try await environment.clocks.sleep(pause)
            }
        }
    }
}

/// One attempt to bring a file of WAL.
private struct WALGetAttempt {
    private let request: WALGet.Request
    private let repository: Repository

    init(_ request: WALGet.Request, in repository: Repository) {
        self.request = request
        self.repository = repository
    }

    func run() async throws -> WALGet.Outcome {
        let control = try controlFile(inDataDirectory: ".")
        let prefetch = prefetch(control)
        if prefetch?.take() == true { return .readAhead }
        try repository.requireRegistration()
        let identifier =
            try request.systemIdentifier ?? control.map { "\($0.systemIdentifier)" }
            ?? repository.soleIncarnation()
        try repository.requireIncarnation(identifier)
        let archive = try WALArchive(repository, systemIdentifier: identifier)
        let size = try control.flatMap { WALSegmentSize(bytes: $0.layout.walSegmentSize) } ?? storedSize(in: archive)
        guard let name = WALFileName(parsing: request.name, segmentSize: size) else {
            throw BackupError(
                .usage, "'\(request.name)' cannot be the name of a file of WAL.",
                reason: "PostgreSQL names them by 1 to 64 letters, digits and dots",
                remedy: "Give what restore_command gets as %f.", unchanged: "Nothing was brought.")
        }
        guard case .segment(let segment) = name else { return try await bringOther(name, from: archive) }
        let claim = prefetch?.claim()
        defer { claim?.giveBack() }
        if prefetch?.take() == true { return .readAhead }
        if try bring(segment, from: archive) == .delivered {
            prefetch?.goOn()
            return .delivered
        }
        if try await comes(name, to: archive) { return try bring(segment, from: archive) }
        let later = try archive.later(than: segment)
        if let pieces = request.pieces, pieces.segment == request.name, later == nil || !pieces.atEndOnly,
            try !archive.pieces(of: segment).isEmpty
        {
            return try bringPieces(of: segment, from: archive)
        }
        // It may have come since it was looked for: together with what is behind it, or in the place of its pieces.
        if try bring(segment, from: archive) == .delivered { return .delivered }
        guard let later else { return .absent }
        throw Self.hole(segment, before: later)
    }

    /// What is read ahead, beside a server that runs on the data directory that is the current one.
    private func prefetch(_ control: ControlFile?) -> WALPrefetch? {
        guard let settings = request.prefetch, let control,
            let size = WALSegmentSize(bytes: control.layout.walSegmentSize),
            let segment = WALSegmentName(parsing: request.name, segmentSize: size),
            let archive = try? WALArchive(
                repository, systemIdentifier: request.systemIdentifier ?? "\(control.systemIdentifier)")
        else { return nil }
        return WALPrefetch(settings, segment: segment, path: request.path, in: archive)
    }

    /// The size that the segment has in the archive, when nobody else says it.
    private func storedSize(in archive: WALArchive) throws(BackupError) -> WALSegmentSize {
        guard let segment = WALSegmentName(parsing: request.name, segmentSize: .standard),
            let summary = try archive.record(of: segment)?.summary, summary.end > summary.start
        else { return .standard }
        return WALSegmentSize(bytes: Int64(summary.end.position - summary.start.position)) ?? .standard
    }

    /// Brings a file that is no segment.
    private func bringOther(_ name: WALFileName, from archive: WALArchive) async throws -> WALGet.Outcome {
        let brought = try deliver { sink throws(BackupError) in try archive.read(name, into: sink) }
        guard brought == .absent, try await comes(name, to: archive) else { return brought }
        return try deliver { sink throws(BackupError) in try archive.read(name, into: sink) }
    }

    private func bring(_ segment: WALSegmentName, from archive: WALArchive) throws(BackupError) -> WALGet.Outcome {
        try deliver { sink throws(BackupError) in
            try archive.readChecked(segment, into: sink)
        }
    }

    /// Brings what is stored of a segment that is not finished.
    ///
    /// A receiver may put something longer in the place of its pieces meanwhile, or all of it.
    private func bringPieces(
        of segment: WALSegmentName, from archive: WALArchive
    ) throws(BackupError) -> WALGet.Outcome {
        var attempts = 10
        while true {
            do throws(BackupError) {
                return try deliver { sink throws(BackupError) in
                    try archive.readPadded(segment, into: sink)
                    return true
                }
            } catch {
                attempts -= 1
                guard attempts > 0, error.code == .walMissing else { throw error }
            }
        }
    }

    /// Writes the file by `body`, which returns whether there is one.
    private func deliver(
        _ body: (any ByteSink) throws(BackupError) -> Bool
    ) throws(BackupError) -> WALGet.Outcome {
        do throws(BackupError) {
            let file = try PlacedFile(request.path)
            guard try body(UnfinishedSink(file)) else { return .absent }
            try file.finish()
            return .delivered
        } catch {
            throw error.leaving("Nothing was put at '\(request.path)'.")
        }
    }

    /// Waits while somebody stores something where a file is absent; returns whether the file came.
    private func comes(_ name: WALFileName, to archive: WALArchive) async throws -> Bool {
        let clocks = repository.environment.clocks
        var watch = UploadWatch(limit: request.patience, at: clocks.monotonic())
        while true {
            // In this order: what is finished in between is found.
            let writes = try archive.unfinishedWrites(beside: name)
            if try archive.record(of: name) != nil { return true }
            switch watch.look(at: writes, time: clocks.monotonic(), now: clocks.wall()) {
            case .nothing: return false
            case .underWay: try await clocks.sleep(.milliseconds(100))
            case .takesTooLong: throw Self.mayCome(name, after: request.patience)
            }
        }
    }

    private static func mayCome(_ name: WALFileName, after patience: Duration) -> BackupError {
        BackupError(
            .walMissing, "WAL file \(name) is not there, and may still come.",
            reason: "after \(DurationText.format(patience)) something is still being stored beside it",
            remedy: "Wait for whoever stores it, and start the server again. What a writer that died has left is not "
                + "waited for when it is 5 minutes old; 'apex-backup prune --apply' removes it after a day.",
            unchanged: "Nothing was brought.")
    }

    private static func hole(_ segment: WALSegmentName, before later: WALSegmentName) -> BackupError {
        BackupError(
            .walMissing, "WAL segment \(segment) is missing, and \(later) behind it is there.",
            reason: "the WAL has a hole: a server that took it for the end would lose what is behind it",
            remedy: "Put the segment back from the server's pg_wal or a copy of the repository, or recover to a moment "
                + "before it.", unchanged: "Nothing was brought.")
    }
}
