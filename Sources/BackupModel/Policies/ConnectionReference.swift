/// How a policy names a server: a URL without a password, or a reference to where the URL is kept.
package enum ConnectionReference: Sendable, Hashable {
    /// A URL that holds no secret.
    case url(String)
    /// Where the URL is kept.
    case secret(SecretReference)

    /// The URL itself.
    package func resolve(from source: SecretSource) throws(BackupError) -> String {
        switch self {
        case .url(let url): url
        case .secret(let reference): try reference.resolve(from: source)
        }
    }

    /// Whether `text` begins like a connection URL of PostgreSQL or of SQLAlchemy (`postgresql+asyncpg://`).
    package static func isConnectionURL(_ text: String) -> Bool {
        guard let scheme = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).first,
            text.dropFirst(scheme.count).hasPrefix("://")
        else { return false }
        return scheme == "postgres" || scheme == "postgresql" || scheme.hasPrefix("postgresql+")
            || scheme.hasPrefix("postgres+")
    }

    /// Whether the URL `text` holds a password, after the user's name or as a parameter; when in doubt it does.
    package static func holdsPassword(_ text: String) -> Bool {
        guard let scheme = text.firstRange(of: "://") else { return false }
        let rest = text[scheme.upperBound...]
        let question = rest.firstIndex(of: "?") ?? rest.endIndex
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        for part in [rest[..<question], rest[..<slash]] {
            guard let at = part.lastIndex(of: "@"), let colon = part[..<at].firstIndex(of: ":") else { continue }
            if part.index(after: colon) != at { return true }
        }
        return rest[question...].dropFirst().split(separator: "&").contains { parameter in
            let name = percentDecoded(parameter.prefix { $0 != "=" }).lowercased()
            return name == "password" || name == "sslpassword"
        }
    }

    private static func percentDecoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            let digits = Substring(rest.prefix(2))
            if byte == UInt8(ascii: "%"), digits.count == 2, let value = UInt8(digits, radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
