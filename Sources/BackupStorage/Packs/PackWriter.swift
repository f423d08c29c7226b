package import BackupModel

/// Stores pieces of content as frames in packs of its own, one pack after the other.
///
/// A pack is a standard zstd file: frames, and a trailer whose payload is the frame table, a line for each frame with its
/// offset, stored length, content length and SHA-256 of the content.
package final class PackWriter {
    /// About how many bytes a pack has: it ends with the frame that reaches this.
    package static let packSize: Int64 = 128 << 20

    /// The packs that are published.
    package private(set) var packs: [PackLine] = []
    private let storage: any Storage
    private let folder: ObjectKey
    private let backup: RunID
    private let worker: Int
    private let packSize: Int64
    private let compressor: FrameCompressor
    private var current: Pack?
    private var begun = 0

    private struct Pack {
        let name: PackName
        let object: ProvedObjectWriter
        var table = ""
        var frameBytes: Int64 = 0
    }

    /// Writes packs of `backup` into `folder`, named after `worker`.
    package init(
        _ storage: any Storage, folder: ObjectKey, backup: RunID, worker: Int, level: Int,
        packSize: Int64 = PackWriter.packSize
    ) throws(BackupError) {
        self.storage = storage
        self.folder = folder
        self.backup = backup
        self.worker = worker
        self.packSize = packSize
        compressor = try FrameCompressor(level: level, largestContent: FrameReference.largestContent)
    }

    /// Stores `content`, of which there are 1 byte to ``FrameReference/largestContent``, as one frame.
    package func store(_ content: Span<UInt8>) throws(BackupError) -> FrameReference {
        precondition(
            !content.isEmpty && content.count <= FrameReference.largestContent, "a frame has up to 4 MiB of content")
        let sha256 = SHA256.digest(of: content)
        var pack: Pack
        if let current { pack = current } else { pack = try begin() }
        let offset = pack.object.byteCount
        try compressor.compress(content) { frame throws(BackupError) in try pack.object.write(frame) }
        let frame = FrameReference(
            pack: pack.name, offset: offset, storedLength: pack.object.byteCount - offset,
            contentLength: Int64(content.count), sha256: sha256)
        pack.table += "\(frame.offset) \(frame.storedLength) \(frame.contentLength) \(sha256)\n"
        pack.frameBytes += frame.storedLength
        current = pack
        if pack.object.byteCount >= packSize { try publish() }
        return frame
    }

    /// Publishes the last pack; everything is durable when it returns.
    package func finish() throws(BackupError) { try publish() }

    private func name(_ number: Int) -> PackName { PackName(backup: backup, worker: worker, number: number) }

    private func begin() throws(BackupError) -> Pack {
        let name = name(begun)
        let object = try storage.makeWriter(folder.appending(name.file))
        begun += 1
        return Pack(name: name, object: ProvedObjectWriter(object))
    }

    private func publish() throws(BackupError) {
        guard let pack = current else { return }
        let proof = try pack.object.finish(payload: Array(pack.table.utf8))
        current = nil
        packs.append(PackLine(pack: pack.name, bytes: pack.object.byteCount, used: pack.frameBytes, proof: proof))
    }
}
