import BackupModel
import BackupStorage

/// An artefact in its repository: reads its content and proves every byte of it.
struct StoredArtefact {
    let artefact: Artefact
    let backup: RunID
    let repository: Repository

    init(_ artefact: Artefact, of backup: RunID, in repository: Repository) {
        self.artefact = artefact
        self.backup = backup
        self.repository = repository
    }

    /// Streams the stored bytes into `sink`, comparing each volume's size and digest, without decompressing.
    func readStored(into sink: any ByteSink) throws(BackupError) {
        var volumes: [(ObjectKey, StoredVolume)] = []
        for volume in artefact.volumes {
            guard let key = repository.layout.volume(volume.name, of: backup) else { throw foreign(volume.name) }
            volumes.append((key, volume))
        }
        try readVolumes(volumes, from: repository.storage, into: CancellableSink(sink))
    }

    /// Streams the content into `sink`, which is finished when all of it was right; its digest is compared before.
    func readContent(
        for purpose: DecompressionPurpose = .proof, into sink: any ByteSink
    ) throws(BackupError) {
        let digest = DigestSink(into: UnfinishedSink(sink))
        let decompressor = try makeDecompressor(
            artefact.compression, for: purpose, into: HandoffSink(into: digest, chunkSize: 1 << 20))
        try readStored(into: decompressor)
        try decompressor.finish()
        guard digest.digest == artefact.contentSHA256, digest.byteCount == artefact.contentBytes else {
            throw BackupError(
                .objectDamaged, "The content of '\(artefact.name)' of backup \(backup) is not what was captured.",
                reason:
                    "SHA-256 \(digest.digest) of \(digest.byteCount) bytes, captured were \(artefact.contentSHA256) "
                    + "of \(artefact.contentBytes)",
                remedy: "Use another backup ('apex-backup list'); this one is damaged.")
        }
        try sink.finish()
    }

    /// Calls `body` with each line of the content, one at a time.
    ///
    /// That the content is what was captured is known when this returns, and not before.
    func forEachLine(_ body: @escaping ([UInt8]) throws(BackupError) -> Void) throws(BackupError) {
        try readContent(into: LineSink(name: artefact.name, body))
    }

    /// The content as a script of roles and tablespaces.
    func globals() throws(BackupError) -> GlobalsScript {
        let text = CollectingSink(limit: 256 << 20)
        try readContent(into: text)
        return try GlobalsScript(parsing: text.bytes.span)
    }

    private func foreign(_ name: String) -> BackupError {
        BackupError(
            .objectDamaged, "Backup \(backup) names the object '\(name)', which is no file of it.",
            remedy: "Use another backup ('apex-backup list').", unchanged: "Nothing was read or written.")
    }
}

extension StoredArtefact {
    /// The most bytes of a line of JSON that is written or read: a database with the grants and settings of tens of
    /// thousands of roles has less.
    static let longestLine = 8 << 20
}

/// Cuts what passes into lines, of which it holds one.
private final class LineSink: ByteSink {
    private let name: String
    private let body: ([UInt8]) throws(BackupError) -> Void
    private var line: [UInt8] = []

    init(name: String, _ body: @escaping ([UInt8]) throws(BackupError) -> Void) {
        self.name = name
        self.body = body
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        for index in bytes.indices {
            let byte = bytes[index]
            guard byte != UInt8(ascii: "\n") else {
                try passOn()
                continue
            }
            guard line.count < StoredArtefact.longestLine else {
                throw BackupError(
                    .objectDamaged,
                    "A line of '\(name)' has more than \(formatBytes(Int64(StoredArtefact.longestLine))).",
                    remedy: "Run 'apex-backup verify' to find out what is damaged.")
            }
            line.append(byte)
        }
    }

    func finish() throws(BackupError) { try passOn() }

    private func passOn() throws(BackupError) {
        guard !line.isEmpty else { return }
        try body(line)
        line.removeAll(keepingCapacity: true)
    }
}

/// Passes bytes on until the task is asked to stop.
private final class CancellableSink: ByteSink {
    private let next: any ByteSink

    init(_ next: any ByteSink) { self.next = next }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try Task.checkNotCancelled()
        try next.write(bytes)
    }

    func finish() throws(BackupError) { try next.finish() }
}
