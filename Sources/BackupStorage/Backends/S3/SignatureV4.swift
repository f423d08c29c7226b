package import BackupModel

/// AWS Signature Version 4: proves who asks, and that nobody changed what is asked.
package struct SignatureV4: Sendable {
    /// What of a request is signed.
    package struct Request: Sendable {
        package var method: String
        /// The path as it is sent, percent-encoded; it is signed as it is.
        package var path: String
        /// The parameters, neither encoded nor sorted.
        package var query: [(name: String, value: String)] = []
        /// All headers that are signed; `host` must be one of them.
        package var headers: [(name: String, value: String)]
        /// The SHA-256 of the body, in hexadecimal digits.
        package var payload: String

        package init(
            method: String, path: String, query: [(name: String, value: String)] = [],
            headers: [(name: String, value: String)], payload: String
        ) {
            self.method = method
            self.path = path
            self.query = query
            self.headers = headers
            self.payload = payload
        }
    }

    private let region: String
    private let service: String

    /// Signs for a service of a region.
    package init(region: String, service: String) {
        self.region = region
        self.service = service
    }

    /// The `Authorization` header of `request`, made at `now`.
    package func authorization(
        of request: Request, with credentials: AWSCredentials, at now: Timestamp
    ) -> String {
        let signature = signature(of: stringToSign(of: request, at: now), with: credentials, at: now)
        return "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope(at: now)), "
            + "SignedHeaders=\(Self.signedHeaders(of: request)), Signature=\(signature)"
    }

    /// The request in the one spelling that both sides compute with.
    package static func canonicalRequest(_ request: Request) -> String {
        let headers = canonicalHeaders(of: request).map { "\($0.name):\($0.value)\n" }.joined()
        return [
            request.method, request.path, canonicalQuery(request.query), headers, signedHeaders(of: request),
            request.payload,
        ].joined(separator: "\n")
    }

    /// What is signed.
    package func stringToSign(of request: Request, at now: Timestamp) -> String {
        let canonical = Array(Self.canonicalRequest(request).utf8)
        let digest = SHA256.digest(of: canonical.span)
        return "AWS4-HMAC-SHA256\n\(now.compact)\n\(scope(at: now))\n\(digest)"
    }

    /// The parameters as they are signed and sent: encoded, sorted, and each with an equals sign.
    package static func canonicalQuery(_ query: [(name: String, value: String)]) -> String {
        let encoded = query.map { (PercentEncoding.encode($0.name), PercentEncoding.encode($0.value)) }
        return encoded.sorted { $0 < $1 }.map { "\($0)=\($1)" }.joined(separator: "&")
    }

    private func scope(at now: Timestamp) -> String { "\(now.compact.prefix(8))/\(region)/\(service)/aws4_request" }

    private func signature(of text: String, with credentials: AWSCredentials, at now: Timestamp) -> SHA256Digest {
        var key = Array("AWS4\(credentials.secretKey)".utf8)
        for part in [String(now.compact.prefix(8)), region, service, "aws4_request"] {
            key = HMACSHA256.code(of: part, key: key).bytes
        }
        return HMACSHA256.code(of: text, key: key)
    }

    private static func signedHeaders(of request: Request) -> String {
        canonicalHeaders(of: request).map(\.name).joined(separator: ";")
    }

    private static func canonicalHeaders(of request: Request) -> [(name: String, value: String)] {
        var values: [String: [String]] = [:]
        for (name, value) in request.headers {
            let words = value.split { $0 == " " || $0 == "\t" }
            values[name.lowercased(), default: []].append(words.joined(separator: " "))
        }
        return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value.joined(separator: ",")) }
    }
}

/// RFC 2104's message authentication code over SHA-256.
enum HMACSHA256 {
    private static let blockSize = 64

    static func code(of text: String, key: [UInt8]) -> SHA256Digest {
        var block = key.count > blockSize ? SHA256.digest(of: key.span).bytes : key
        block += [UInt8](repeating: 0, count: blockSize - block.count)
        let inner = block.map { $0 ^ 0x36 } + Array(text.utf8)
        let outer = block.map { $0 ^ 0x5C } + SHA256.digest(of: inner.span).bytes
        return SHA256.digest(of: outer.span)
    }
}
