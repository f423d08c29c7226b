import BackupModel
import BackupStorage

/// A file of WAL that is durable in the repository.
struct PublishedWAL: Sendable {
    /// Whether it was there already, with the same content.
    var wasPresent: Bool
    var contentSHA256: SHA256Digest
    /// What the records of a segment say.
    var summary: WALSegmentSummary?
}

/// Stores one file of WAL as its content comes; of any size, in fixed memory.
final class WALObjectWriter: ByteSink {
    private let name: String
    private let piece: WALPiece?
    private let key: ObjectKey
    private let archive: WALArchive
    private let object: ProvedObjectWriter
    private let compressor: FrameCompressingSink
    private var hash = SHA256()
    private(set) var byteCount: Int64 = 0

    /// The level at which WAL is compressed, unless another is asked for.
    static let level = 1

    /// Stores at zstd's `level`; compresses on `workers` threads.
    ///
    /// What `isStreamed` is still being written by its server: who asks for it does not wait for it.
    init(
        _ name: String, piece: WALPiece? = nil, key: ObjectKey, in archive: WALArchive, level: Int = level,
        workers: Int = 1,
        isStreamed: Bool = false
    ) throws(BackupError) {
        self.name = name
        self.piece = piece
        self.key = key
        self.archive = archive
        let storage = archive.repository.storage
        object = ProvedObjectWriter(try isStreamed ? storage.makeStreamWriter(key) : storage.makeWriter(key))
        compressor = try FrameCompressingSink(level: level, workers: workers, into: UnfinishedSink(object))
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        hash.update(bytes)
        byteCount += Int64(bytes.count)
        try compressor.write(bytes)
    }

    func finish() throws(BackupError) { _ = try publish(summary: nil) }

    /// Publishes the object, all of which was written; durable when it returns.
    ///
    /// The same content under the same name is success: an archiver may have been faster.
    func publish(summary: WALSegmentSummary?) throws(BackupError) -> PublishedWAL {
        try compressor.finish()
        let record = WALObjectRecord(
            name: name, piece: piece?.name, contentBytes: byteCount, contentSHA256: hash.finish(),
            frames: compressor.frames,
            summary: summary)
        var published = PublishedWAL(wasPresent: false, contentSHA256: record.contentSHA256, summary: summary)
        do {
            _ = try object.finish(payload: RepositoryJSON.encodePlain(record, pretty: false))
            return published
        } catch {
            object.discard()
            guard error.code == .objectExists else { throw error }
            guard let stored = try archive.record(at: key, named: name) else { throw Self.gone(key) }
            guard stored.contentSHA256 == record.contentSHA256 else { throw conflict(stored, record) }
            published.wasPresent = true
            return published
        }
    }

    func discard() { object.discard() }

    /// Another receiver has put something longer in the place of a piece.
    private static func gone(_ key: ObjectKey) -> BackupError {
        BackupError(
            .repositoryUnavailable, "'\(key)' was there already, and is gone.",
            reason: "another receiver of the same WAL has put something longer in its place",
            remedy: "It is tried again.", unchanged: "Nothing was stored under that name.")
    }

    private func conflict(_ stored: WALObjectRecord, _ new: WALObjectRecord) -> BackupError {
        BackupError(
            .walConflict, "WAL file \(name) is in the repository already, with other content.",
            reason: "two servers write WAL of the same name: SHA-256 "
                + "\(stored.contentSHA256) instead of \(new.contentSHA256) came first",
            remedy:
                "Find out which server is the right one ('two servers write'); give a clone a cluster name of its own, or "
                + "turn its archiving off.", unchanged: "What was stored was not touched.")
    }
}
