package import BackupModel

/// Drops the first bytes and passes the others on, but not the end.
package final class SkippingSink: ByteSink {
    private let next: (any ByteSink)?
    private var left: Int

    /// Drops the first `count` bytes.
    package init(_ count: Int, into next: (any ByteSink)?) {
        left = count
        self.next = next
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        let skipped = min(left, bytes.count)
        left -= skipped
        guard skipped < bytes.count else { return }
        try next?.write(bytes.extracting(skipped..<bytes.count))
    }

    package func finish() throws(BackupError) {}
}
