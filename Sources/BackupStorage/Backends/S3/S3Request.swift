internal import BackupModel
internal import NIOCore
internal import NIOHTTP1

/// A request to an object store, before it is signed.
struct S3Request {
    /// The method of HTTP.
    var method: String
    /// The object's name in the bucket, or `nil` for the bucket itself.
    var name: String?
    /// The parameters, neither encoded nor sorted.
    var query: [(name: String, value: String)] = []
    var headers: [(name: String, value: String)] = []
    var body = S3Body.empty
    /// Whether a condition in it is about an object that was there.
    var isOfKnownObject = false

    init(_ method: String, _ name: String?) {
        self.method = method
        self.name = name
    }
}

/// What is sent with a request; kept until it has arrived, as it may have to be sent again.
struct S3Body {
    let buffer: ByteBuffer?
    let digest: SHA256Digest

    static let empty = S3Body([])

    init(_ buffer: ByteBuffer?, digest: SHA256Digest) {
        self.buffer = buffer
        self.digest = digest
    }

    init(_ bytes: [UInt8]) {
        buffer = bytes.isEmpty ? nil : ByteBuffer(bytes: bytes)
        digest = SHA256.digest(of: bytes.span)
    }

    var byteCount: Int { buffer?.readableBytes ?? 0 }
}

/// The whole answer to a request that succeeded.
struct S3Answer {
    let headers: HTTPHeaders
    let body: [UInt8]
}

/// Why a request to a store did not succeed.
enum S3Failure: Error {
    case refused(S3Refusal)
    case connection(ConnectionFailure)
    case other(BackupError)

    /// What the store's answer means, if it is one.
    var kind: S3Refusal.Kind? {
        guard case .refused(let refusal) = self else { return nil }
        return refusal.kind
    }

    /// The failure as the one error type; `what` says what could not be done.
    func error(_ what: String) -> BackupError {
        switch self {
        case .refused(let refusal): refusal.error(what)
        case .connection(let failure): failure.error(what)
        case .other(let error): error
        }
    }
}

/// Which bytes of which an answer has: `bytes 7-9/200`.
struct ContentRange {
    let start: Int64?
    let total: Int64

    /// Returns `nil` unless `text` tells the size of the whole object.
    init?(_ text: String?) {
        guard let text, text.hasPrefix("bytes "), let slash = text.firstIndex(of: "/"),
            let total = Int64(text[text.index(after: slash)...]), total >= 0
        else { return nil }
        let range = text[..<slash].dropFirst(6)
        start = range == "*" ? nil : Int64(range.prefix { $0 != "-" })
        self.total = total
    }
}
