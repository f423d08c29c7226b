import BackupModel
import BackupStorage

/// What the trailer of a stored segment says of it.
struct WALSegmentRecord: Sendable, Hashable, Codable {
    /// The name that PostgreSQL gives it.
    var segment: String
    var contentBytes: Int64
    /// SHA-256 of the content: what makes two stored segments the same.
    var contentSHA256: SHA256Digest
    /// What the records in it say: the index of the archive is made of these.
    var summary: WALSegmentSummary
}

/// The WAL of one incarnation of a cluster in its repository.
struct WALArchive: Sendable {
    let repository: Repository
    let systemIdentifier: String
    private let layout: IncarnationLayout

    init(_ repository: Repository, systemIdentifier: String) throws(BackupError) {
        guard let layout = repository.layout.incarnationObjects(systemIdentifier) else {
            throw BackupError(
                .serverUnsupported, "The server's system identifier '\(systemIdentifier)' is not a number.",
                remedy: "Check that the connection leads to PostgreSQL itself.")
        }
        self.repository = repository
        self.systemIdentifier = systemIdentifier
        self.layout = layout
    }

    /// The level at which segments are compressed.
    static let level = 1

    /// Begins to store `segment`, of which the content is still to come.
    func makeWriter(_ segment: WALSegmentName) throws(BackupError) -> WALSegmentWriter {
        try WALSegmentWriter(segment, key: layout.segment(segment), in: self)
    }

    /// What is stored of `segment`, or `nil` if there is certainly nothing.
    func record(of segment: WALSegmentName) throws(BackupError) -> WALSegmentRecord? {
        let key = layout.segment(segment)
        guard let info = try repository.storage.info(key) else { return nil }
        let trailer = try ObjectTrailer.read(key, size: info.size, from: repository.storage)
        return try RepositoryJSON.decodePlain(WALSegmentRecord.self, from: trailer.payload, name: key.text)
    }

    /// Reads a stored segment into `sink`, if one is given, and compares its bytes and its content with what was stored.
    ///
    /// The bytes reach `sink` before they are proved.
    func read(_ segment: WALSegmentName, into sink: (any ByteSink)? = nil) throws(BackupError) {
        guard let record = try record(of: segment) else {
            throw BackupError(
                .walMissing, "WAL segment \(segment) is missing from the repository.",
                remedy: "Put it back from a copy of the repository, or use another backup.")
        }
        let content = DigestSink(into: sink)
        try readContent(of: layout.segment(segment), into: content)
        guard content.digest == record.contentSHA256, content.byteCount == record.contentBytes else {
            throw BackupError(
                .objectDamaged, "The content of WAL segment \(segment) is not what was stored.",
                reason: "its SHA-256 is \(content.digest), stored was \(record.contentSHA256)",
                remedy: "Put it back from a copy of the repository.")
        }
    }

    /// The segments that are stored from `first` on without a hole, and the first one beyond a hole, if there is any.
    func run(from first: WALSegmentName) throws(BackupError) -> (segments: [WALSegmentName], beyond: WALSegmentName?) {
        var segments: [WALSegmentName] = []
        var next: WALSegmentName? = first
        while let segment = next, try repository.storage.info(layout.segment(segment)) != nil {
            segments.append(segment)
            next = segment.next
        }
        var beyond: WALSegmentName?
        try repository.storage.list(under: layout.wal) { object in
            guard beyond == nil, object.key.text.hasSuffix(".zst"),
                let segment = WALSegmentName(
                    parsing: object.key.lastComponent.dropLast(4), segmentSize: first.size),
                segment.timeline == first.timeline, segment.number > first.number + UInt64(segments.count)
            else { return }
            beyond = segment
        }
        return (segments, beyond)
    }

    /// Streams the content of an object into `sink`, which is finished when all bytes of the object were right.
    private func readContent(of key: ObjectKey, into sink: any ByteSink) throws(BackupError) {
        let decompressor = try makeDecompressor(.zstd(level: Self.level), into: sink)
        let proof = ObjectProof(of: key, into: decompressor)
        do {
            try repository.storage.read(key, into: proof)
            try proof.finish()
            try decompressor.finish()
        } catch {
            guard error.code == .objectDamaged, !error.message.contains(key.text) else { throw error }
            throw BackupError(
                .objectDamaged, "'\(key)' is damaged.", reason: error.reason ?? error.message,
                remedy: "Put it back from a copy of the repository, or use another backup.")
        }
    }

    static func conflict(_ what: String, _ other: String) -> BackupError {
        BackupError(
            .walConflict, "\(what) is in the repository already, with other content.",
            reason: "two servers write WAL of the same name: \(other) came first",
            remedy:
                "Find out which server is the right one ('two servers write'); give a clone a cluster name of its own, or "
                + "turn its archiving off.", unchanged: "What was stored was not touched.")
    }
}

/// Stores one segment as its content comes; of any size, in fixed memory.
final class WALSegmentWriter: ByteSink {
    private let segment: WALSegmentName
    private let archive: WALArchive
    private let object: ProvedObjectWriter
    private let compressor: any ByteSink
    private var hash = SHA256()
    private var reader: WALSegmentReader
    private(set) var byteCount: Int64 = 0

    fileprivate init(_ segment: WALSegmentName, key: ObjectKey, in archive: WALArchive) throws(BackupError) {
        self.segment = segment
        self.archive = archive
        reader = WALSegmentReader(from: segment.start)
        object = ProvedObjectWriter(try archive.repository.storage.makeWriter(key))
        compressor = try makeCompressor(.zstd(level: WALArchive.level), into: UnfinishedStage(object))
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        hash.update(bytes)
        reader.consume(bytes)
        byteCount += Int64(bytes.count)
        try compressor.write(bytes)
    }

    /// Publishes the segment, all of which was written; durable when it returns.
    ///
    /// The same content under the same name is success: an archiver may have been faster.
    func finish() throws(BackupError) {
        precondition(UInt64(byteCount) == segment.size.bytes, "a segment is stored whole")
        try compressor.finish()
        let record = WALSegmentRecord(
            segment: segment.description, contentBytes: byteCount, contentSHA256: hash.finish(),
            summary: try summary())
        do {
            _ = try object.finish(payload: RepositoryJSON.encodePlain(record, pretty: false))
        } catch {
            object.discard()
            guard error.code == .objectExists else { throw error }
            let stored = try archive.record(of: segment)
            guard stored?.contentSHA256 == record.contentSHA256 else {
                throw WALArchive.conflict(
                    "WAL segment \(segment)",
                    "SHA-256 \(stored?.contentSHA256.description ?? "unknown") instead of \(record.contentSHA256)")
            }
        }
    }

    func discard() { object.discard() }

    /// What the records say, of a segment that belongs where it is stored.
    ///
    /// The timeline of its first page may be an ancestor's: PostgreSQL begins the first segment of a new timeline with a
    /// copy of the old one's.
    private func summary() throws(BackupError) -> WALSegmentSummary {
        let summary = reader.finish()
        let problem: String? =
            if let summary {
                if summary.systemIdentifier != archive.systemIdentifier {
                    "it is of the cluster with the system identifier \(summary.systemIdentifier)"
                } else if summary.start != segment.start || summary.end != segment.end {
                    "its first page says that it begins at \(summary.start)"
                } else if summary.timeline > segment.timeline {
                    "its first page is of timeline \(summary.timeline)"
                } else {
                    nil
                }
            } else {
                "its first page is none of WAL"
            }
        if let summary, problem == nil { return summary }
        throw BackupError(
            .walSegmentInvalid, "What came as WAL segment \(segment) is not that segment.", reason: problem,
            remedy: "Find out which server writes it.", unchanged: "It was not stored.")
    }
}

/// Passes bytes on, but not the end: more follows before the object is over.
final class UnfinishedStage: ByteSink {
    private let next: any ByteSink

    init(_ next: any ByteSink) { self.next = next }

    func write(_ bytes: Span<UInt8>) throws(BackupError) { try next.write(bytes) }
    func finish() throws(BackupError) {}
}
