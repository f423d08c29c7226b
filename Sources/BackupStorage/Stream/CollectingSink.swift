package import BackupModel

/// Keeps everything in memory, up to a limit: for small things only.
package final class CollectingSink: ByteSink {
    /// What was written so far.
    package private(set) var bytes: [UInt8] = []
    /// Whether more came than it takes.
    package private(set) var isExceeded = false
    private let limit: Int

    /// Takes at most `limit` bytes; one more is an error.
    package init(limit: Int) { self.limit = limit }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        guard bytes.count <= limit - self.bytes.count else {
            isExceeded = true
            throw BackupError(
                .objectDamaged, "A part of the repository that is small in every backup is larger than \(limit) bytes.",
                remedy: "Run 'apex-backup verify' to find out what is damaged.")
        }
        self.bytes.append(copying: bytes)
    }

    package func finish() throws(BackupError) {}
}
