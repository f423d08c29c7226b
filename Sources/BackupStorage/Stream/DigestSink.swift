package import BackupModel

/// Computes the SHA-256 digest and the number of the bytes that pass through.
package final class DigestSink: ByteSink {
    /// How many bytes have passed.
    package private(set) var byteCount: Int64 = 0
    private let next: (any ByteSink)?
    private var hash = SHA256()
    private var result: SHA256Digest?

    /// Passes everything on to `next`, if there is one.
    package init(into next: (any ByteSink)? = nil) { self.next = next }

    /// The digest of everything that was written; there is none before ``finish()``.
    package var digest: SHA256Digest {
        guard let result else { preconditionFailure("the digest is asked for before the stream is finished") }
        return result
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        hash.update(bytes)
        byteCount += Int64(bytes.count)
        try next?.write(bytes)
    }

    package func finish() throws(BackupError) {
        result = hash.finish()
        try next?.finish()
    }
}
