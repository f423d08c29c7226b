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
        /// How long to wait for a segment that seems to be under way.
        package var patience: Duration

        package init(
            name: String, path: String, systemIdentifier: String? = nil, pieces: Pieces? = nil,
            prefetch: WALPrefetch.Settings? = nil, patience: Duration = .seconds(5)
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

    let repository: Repository
    let request: Request

    /// `repository` was opened in this run: its marker was read.
    package init(repository: Repository, request: Request) {
        self.repository = repository
        self.request = request
    }

    /// Brings the file.
    ///
    /// PostgreSQL takes a file that is absent for the end of the WAL, and promotes. So ``Outcome/absent`` is answered only
    /// for what the storage says is not there, while no later segment that continues it is.
    ///
    /// - Throws: ``ErrorCode/walMissing`` for a hole, ``ErrorCode/objectDamaged`` and others for what could not be
    ///   brought or proved; nothing usable is at the path then.
    package func run() async throws -> Outcome {
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
        guard case .segment(let segment) = name else {
            return try deliver { sink throws(BackupError) in try archive.read(name, into: sink) }
        }
        let claim = prefetch?.claim()
        defer { claim?.giveBack() }
        if prefetch?.take() == true { return .readAhead }
        if try bring(segment, from: archive) == .delivered {
            prefetch?.goOn()
            return .delivered
        }
        if try await waits(for: segment, in: archive) { return try bring(segment, from: archive) }
        let later = try archive.later(than: segment)
        if let pieces = request.pieces, pieces.segment == request.name, later == nil || !pieces.atEndOnly,
            try !archive.pieces(of: segment).isEmpty
        {
            return try deliver { sink throws(BackupError) in
                try archive.readPadded(segment, into: sink)
                return true
            }
        }
        if let later { throw Self.hole(segment, before: later) }
        return .absent
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

    private func bring(_ segment: WALSegmentName, from archive: WALArchive) throws(BackupError) -> Outcome {
        try deliver { sink throws(BackupError) in
            try archive.readChecked(segment, into: sink)
        }
    }

    /// Writes the file by `body`, which returns whether there is one.
    private func deliver(
        _ body: (any ByteSink) throws(BackupError) -> Bool
    ) throws(BackupError) -> Outcome {
        do throws(BackupError) {
            let file = try PlacedFile(request.path)
            guard try body(UnfinishedSink(file)) else { return .absent }
            try file.finish()
            return .delivered
        } catch {
            throw error.leaving("Nothing was put at '\(request.path)'.")
        }
    }

    /// Waits while something is being stored beside the segment; returns whether the segment came.
    private func waits(for segment: WALSegmentName, in archive: WALArchive) async throws -> Bool {
        let end = repository.environment.clocks.monotonic() + request.patience
        while try archive.isStoring(beside: segment), repository.environment.clocks.monotonic() < end {
            if try archive.record(of: segment) != nil { return true }
            try await repository.environment.clocks.sleep(.milliseconds(50))
        }
        return try archive.record(of: segment) != nil
    }

    private static func hole(_ segment: WALSegmentName, before later: WALSegmentName) -> BackupError {
        BackupError(
            .walMissing, "WAL segment \(segment) is missing, and \(later) behind it is there.",
            reason: "the WAL has a hole: a server that took it for the end would lose what is behind it",
            remedy: "Put the segment back from the server's pg_wal or a copy of the repository, or recover to a moment "
                + "before it.", unchanged: "Nothing was brought.")
    }
}
