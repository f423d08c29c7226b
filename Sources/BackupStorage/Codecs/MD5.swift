internal import COpenSSL

/// MD5, which stores ask for beside a batch of names to delete; nothing is proved by it.
enum MD5 {
    /// The 16 bytes, or `nil` where this OpenSSL is not allowed to compute them.
    static func digest(of bytes: [UInt8]) -> [UInt8]? {
        var digest = [UInt8](repeating: 0, count: 16)
        let done = unsafe EVP_Digest(bytes, bytes.count, &digest, nil, EVP_md5(), nil)
        return done == 1 ? digest : nil
    }
}
