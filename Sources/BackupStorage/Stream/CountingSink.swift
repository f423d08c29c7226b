package import BackupModel

/// Counts the bytes that pass through.
package final class CountingSink: ByteSink {
    /// How many bytes have passed.
    package private(set) var byteCount: Int64 = 0
    private let next: any ByteSink

    /// Passes everything on to `next`.
    package init(into next: any ByteSink) { self.next = next }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        byteCount += Int64(bytes.count)
        try next.write(bytes)
    }

    package func finish() throws(BackupError) { try next.finish() }
}
