import BackupModel
import BackupStorage

/// Reads frames of packs, and proves the content of each by its digest.
///
/// The content of the last frame is kept: several small files share one.
final class FrameReader {
    private let repository: Repository
    private let objects: IncarnationLayout
    private let decompressor: FrameDecompressor
    private var last: FrameReference?

    init(_ repository: Repository, _ objects: IncarnationLayout) throws(BackupError) {
        self.repository = repository
        self.objects = objects
        decompressor = try FrameDecompressor(largestContent: FrameReference.largestContent)
    }

    /// Calls `body` with the content of `frame`.
    func read(_ frame: FrameReference, _ body: (Span<UInt8>) throws(BackupError) -> Void) throws(BackupError) {
        if last == frame { return try decompressor.withContent(body) }
        last = nil
        let key = objects.pack(frame.pack)
        guard frame.storedLength <= 2 * Int64(FrameReference.largestContent) else {
            throw damaged(frame, "it would have \(frame.storedLength) bytes")
        }
        let stored = try repository.storage.read(key, at: frame.offset, count: Int(frame.storedLength))
        do {
            try decompressor.decompress(stored.span) { bytes throws(BackupError) in
                guard Int64(bytes.count) == frame.contentLength, SHA256.digest(of: bytes) == frame.sha256 else {
                    throw damaged(frame, "its content has another SHA-256 than what was captured")
                }
            }
        } catch {
            guard error.code == .objectDamaged else { throw error }
            throw damaged(frame, error.reason ?? error.message)
        }
        last = frame
        try decompressor.withContent(body)
    }

    private func damaged(_ frame: FrameReference, _ reason: String) -> BackupError {
        BackupError(
            .objectDamaged, "The pack '\(objects.pack(frame.pack))' is damaged in the frame at \(frame.offset).",
            reason: reason, remedy: "Use another backup ('apex-backup list'); this one is damaged.")
    }
}
