package import BackupModel
internal import COpenSSL

/// SHA-256 by OpenSSL, which has the processor's own instructions for it.
@safe package struct SHA256: ~Copyable {
    private let context: OpaquePointer

    /// Begins a digest of nothing.
    package init() {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("no memory for a digest") }
        unsafe self.context = unsafe context
        restart()
    }

    deinit { unsafe EVP_MD_CTX_free(context) }

    /// Adds `bytes` to what is digested.
    package mutating func update(_ bytes: Span<UInt8>) {
        let done = unsafe bytes.withUnsafeBufferPointer { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
        precondition(done == 1, "OpenSSL cannot compute a SHA-256 digest")
    }

    /// The digest of everything since the last one; what follows begins anew.
    package mutating func finish() -> SHA256Digest {
        var bytes = [UInt8](repeating: 0, count: 32)
        let done = unsafe EVP_DigestFinal_ex(context, &bytes, nil)
        precondition(done == 1, "OpenSSL cannot compute a SHA-256 digest")
        restart()
        return SHA256Digest(bytes: bytes)
    }

    /// The digest of `bytes`.
    package static func digest(of bytes: Span<UInt8>) -> SHA256Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    private func restart() {
        let done = unsafe EVP_DigestInit_ex(context, EVP_sha256(), nil)
        precondition(done == 1, "OpenSSL has no SHA-256")
    }
}
