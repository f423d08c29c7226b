import BackupModel
import BackupStorage
import PostgresAccess

/// One database, dumped and stored.
struct StoredDump: Sendable {
    var database: DatabaseRecord
    var artefact: Artefact
    /// Its tables and sequences.
    var lines: [TableLine]
    /// What pg_dump said although it succeeded.
    var remark: String?
}

/// What a logical backup consists of, gathered until it is committed.
struct BackupSet {
    let run: RunID
    let repository: Repository
    var artefacts: [Artefact] = []
    /// What the dump programs said although they succeeded.
    var remarks: [String] = []
    private var databases: [DatabaseRecord] = []
    private var dumps: [Artefact] = []
    private var rows: (tables: Int, rows: Int64) = (0, 0)

    /// Above this many databases their records would not fit a manifest of 64 KiB.
    static let databasesInManifest = 50
    static let largestManifest = 64 << 10

    init(run: RunID, repository: Repository) {
        self.run = run
        self.repository = repository
    }

    mutating func add(_ stored: [StoredDump]) {
        databases += stored.map(\.database)
        dumps += stored.map(\.artefact)
        remarks += stored.compactMap(\.remark)
        rows.tables += stored.reduce(0) { $0 + $1.database.tables }
        rows.rows += stored.reduce(0) { $0 + $1.database.rows }
    }

    /// Stores row counts and sequence values, a line each.
    mutating func storeTables(of stored: [StoredDump]) throws(BackupError) {
        artefacts.append(
            try storeLines(
                stored.flatMap(\.lines), as: "tables.jsonl.zst", role: .tables, of: run, in: repository))
    }

    /// The manifest of all that was stored, and the last artefacts: the guide, and a list of very many databases.
    mutating func manifest(
        of source: DumpSource, startedAt: Timestamp, phases: [PhaseDuration], settings: [String: String]
    ) throws(BackupError) -> BackupManifest {
        let guide = RestoreGuide(
            id: run, cluster: repository.layout.cluster, globals: artefacts.first { $0.role == .globals },
            dumps: Array(zip(databases, dumps)))
        artefacts.append(
            try storeBytes(Array(guide.text.utf8), as: "RESTORE.md", role: .guide, of: run, in: repository))
        let totals = BackupTotals(
            contentBytes: (artefacts + dumps).reduce(0) { $0 + $1.contentBytes },
            storedBytes: (artefacts + dumps).reduce(0) { $0 + $1.storedBytes },
            databases: databases.count, tables: rows.tables, rows: rows.rows)
        var manifest = BackupManifest(
            id: run, cluster: repository.layout.cluster, systemIdentifier: source.facts.systemIdentifier,
            kind: .logical, startedAt: startedAt, finishedAt: repository.environment.clocks.wall(),
            recoveryPoint: databases.map(\.snapshot.clock).min() ?? startedAt, server: source.facts,
            tools: source.tools.tools.merging(["apex-backup": repository.environment.toolVersion]) { $1 },
            totals: totals, databases: databases, artefacts: artefacts + dumps,
            passwordsMissing: artefacts.contains { $0.role == .globals } && !source.facts.canReadRolePasswords,
            warnings: Self.fitting(source.warnings + remarks), phases: phases, settings: settings,
            previousManifest: try Catalogue(repository).newestManifestDigest())
        // Few databases may have very many settings or extensions.
        let inlineSize = try size(of: manifest)
        if databases.count > Self.databasesInManifest || inlineSize > Self.largestManifest {
            let lines = zip(databases, dumps).map { DatabaseLine(database: $0, artefact: $1) }
            manifest.databases = nil
            manifest.artefacts =
                artefacts + [
                    try storeLines(
                        lines, as: "databases.jsonl.zst", role: .databases, of: run, in: repository)
                ]
        }
        let storedSize = try size(of: manifest)
        guard storedSize <= Self.largestManifest else {
            throw BackupError(
                .storageFailed, "The manifest of backup \(run) would have \(formatBytes(Int64(storedSize))).",
                reason: "a manifest has at most \(formatBytes(Int64(Self.largestManifest)))",
                remedy: "Report this: such a manifest is not expected.")
        }
        return manifest
    }

    private func size(of manifest: BackupManifest) throws(BackupError) -> Int {
        try RepositoryJSON.encode(manifest).count
    }

    /// As many warnings as leave room for the rest of a manifest.
    private static func fitting(_ warnings: [String]) -> [String] {
        var bytes = 0
        let kept = warnings.prefix { warning in
            bytes += warning.utf8.count
            return bytes <= 16 << 10
        }
        let left = warnings.count - kept.count
        return left == 0 ? warnings : kept + ["and \(left) more warnings"]
    }
}

/// Stores values as lines of JSON.
func storeLines(
    _ values: [some Encodable], as name: String, role: Artefact.Role, of run: RunID, in repository: Repository
) throws(BackupError) -> Artefact {
    let writer = ArtefactWriter(name: name, role: role, compression: .zstd(level: 3), of: run, in: repository)
    return try writer.write { sink throws(BackupError) in
        for value in values {
            let line = try RepositoryJSON.encodePlain(value, pretty: false) + [UInt8(ascii: "\n")]
            guard line.count <= StoredArtefact.longestLine else {
                throw BackupError(
                    .storageFailed, "A record of '\(name)' would have \(formatBytes(Int64(line.count))).",
                    reason: "no more than \(formatBytes(Int64(StoredArtefact.longestLine))) could be read again",
                    remedy: "Take grants and settings of single roles from the database: see "
                        + "pg_db_role_setting and pg_database.datacl.")
            }
            try sink.write(line.span)
        }
    }
}

/// Stores a small file as it is.
func storeBytes(
    _ bytes: [UInt8], as name: String, role: Artefact.Role, of run: RunID, in repository: Repository
) throws(BackupError) -> Artefact {
    let writer = ArtefactWriter(name: name, role: role, compression: .none, of: run, in: repository)
    return try writer.write { sink throws(BackupError) in try sink.write(bytes.span) }
}

/// Stores one artefact: content digest, compression, stored digest and volumes in one pass.
struct ArtefactWriter {
    let name: String
    let role: Artefact.Role
    let compression: Compression
    let run: RunID
    let repository: Repository

    init(name: String, role: Artefact.Role, compression: Compression, of run: RunID, in repository: Repository) {
        self.name = name
        self.role = role
        self.compression = compression
        self.run = run
        self.repository = repository
    }

    /// Hands `body` the sink for the content, on the caller's thread; what fails leaves no object behind.
    func write(_ body: (any ByteSink) throws(BackupError) -> Void) throws(BackupError) -> Artefact {
        let stream = try open(overlapped: false)
        do {
            try body(stream.sink)
            return try stream.finish()
        } catch {
            // The first error says more than one of the clean-up; prune removes what is left.
            do { try stream.discard() } catch { repository.environment.warn(error.message) }
            throw error
        }
    }

    /// An artefact being written.
    ///
    /// With `overlapped`, compressing and writing run on threads of their own.
    func open(overlapped: Bool) throws(BackupError) -> ArtefactStream {
        guard let key = repository.layout.volume(name, of: run) else {
            preconditionFailure("'\(name)' is no name of an artefact")
        }
        let volumes = VolumeWriter(repository.storage, key: key)
        guard overlapped else {
            let digest = DigestSink(into: try makeCompressor(compression, into: volumes))
            return ArtefactStream(writer: self, digest: digest, volumes: volumes, handoffs: [])
        }
        let stored = HandoffSink(into: volumes)
        let content = HandoffSink(into: try makeCompressor(compression, into: stored))
        return ArtefactStream(
            writer: self, digest: DigestSink(into: content), volumes: volumes, handoffs: [content, stored])
    }
}

/// An artefact while it is written.
struct ArtefactStream {
    let writer: ArtefactWriter
    let digest: DigestSink
    let volumes: VolumeWriter
    /// The stages with threads of their own, in the order of the bytes.
    let handoffs: [HandoffSink]

    /// Where the content goes.
    var sink: any ByteSink { digest }

    /// Ends the content; every volume is durable when it returns.
    func finish() throws(BackupError) -> Artefact {
        try digest.finish()
        return Artefact(
            name: writer.name, role: writer.role, compression: writer.compression, contentBytes: digest.byteCount,
            contentSHA256: digest.digest, volumes: volumes.volumes)
    }

    /// Brings every thread to rest, and then removes what was written.
    func discard() throws(BackupError) {
        for handoff in handoffs { handoff.abandon() }
        try volumes.discard()
    }
}
