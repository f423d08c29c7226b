/// How the objects of one bucket are reached.
package struct S3Endpoint: Sendable, Hashable {
    /// `https://host:port`, without a slash at its end.
    package let base: String
    /// The `Host` of every request.
    package let host: String
    /// The region that requests are signed for.
    package let region: String
    /// What the policy, the environment or the profile say of the store's URL; `nil` for that of AWS.
    package let named: String?
    /// A file of the certificates that are trusted, or `nil` for the system's.
    package let caFile: String?
    /// What stands before the name of an object in the path of its URL.
    private let pathPrefix: String

    /// Puts together what the policy, the environment variables and the profile of AWS's shared files say; what comes
    /// first of these holds.
    package init(
        bucket: String, settings: S3StoreSettings, variables: [String: String] = [:], profile: [String: String] = [:]
    ) throws(BackupError) {
        func first(_ candidates: String?...) -> String? { candidates.lazy.compactMap(\.self).first { !$0.isEmpty } }
        region =
            first(settings.region, variables["AWS_REGION"], variables["AWS_DEFAULT_REGION"], profile["region"])
            ?? "us-east-1"
        caFile = first(settings.caFile, variables["AWS_CA_BUNDLE"], profile["ca_bundle"])
        named = first(
            settings.endpoint, variables["AWS_ENDPOINT_URL_S3"], variables["AWS_ENDPOINT_URL"],
            profile["endpoint_url"])
        guard region.isPlain else {
            throw BackupError(
                .settings, "'\(region)' is not the name of a region.", remedy: "Write for example eu-central-1.",
                unchanged: "Nothing was done.")
        }
        let domain = Self.domain(of: region)
        let (scheme, authority) = try Self.parse(
            named ?? "https://s3.\(region).\(domain)", allowsPlainHTTP: settings.allowsPlainHTTP)
        // A certificate for *.s3.example.com is none for a bucket with a dot in its name.
        let isPathStyle = settings.pathStyle ?? (named != nil || bucket.contains("."))
        host = isPathStyle ? authority : "\(bucket).\(authority)"
        base = "\(scheme)://\(host)"
        pathPrefix = isPathStyle ? "/\(PercentEncoding.encode(bucket))" : ""
    }

    /// The domain of AWS's services in a region.
    static func domain(of region: String) -> String {
        region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
    }

    /// The path of the object `name`, or of the bucket itself, percent-encoded.
    package func path(of name: String?) -> String {
        guard let name else { return pathPrefix.isEmpty ? "/" : pathPrefix }
        return "\(pathPrefix)/\(PercentEncoding.encode(name, keepingSlashes: true))"
    }

    private static func parse(
        _ endpoint: String, allowsPlainHTTP: Bool
    ) throws(BackupError) -> (scheme: String, authority: String) {
        let scheme = endpoint.prefix { $0 != ":" }.lowercased()
        var rest = endpoint.dropFirst(scheme.count)
        guard scheme == "https" || scheme == "http", rest.hasPrefix("://") else {
            throw invalid("it begins with https://")
        }
        rest = rest.dropFirst(3)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        let allowed: (UInt8) -> Bool = { ASCII.isLetter($0) || ASCII.isDigit($0) || "._-:[]".utf8.contains($0) }
        guard !rest.isEmpty, rest.utf8.allSatisfy(allowed) else {
            throw invalid("it is https://, a host and perhaps a port, and nothing else")
        }
        guard scheme == "https" || allowsPlainHTTP else {
            throw BackupError(
                .settings, "The store at http://\(rest) would be talked to without TLS.",
                reason: "whoever is on the way could read and change what is stored, and nothing allows that",
                remedy: "Use https://, or write 'allow_plain_http: true' into 'repository' of the policy.",
                unchanged: "Nothing was sent.")
        }
        // Port 443 and 80 are left out of `Host` by HTTP clients, and what is signed is what is sent.
        let standard = scheme == "https" ? ":443" : ":80"
        return (scheme, (rest.hasSuffix(standard) ? rest.dropLast(standard.count) : rest).lowercased())
    }

    /// The text is not repeated: a password may stand in it.
    private static func invalid(_ reason: String) -> BackupError {
        BackupError(
            .settings, "The endpoint of the repository is no URL of an object store.", reason: reason,
            remedy: "Write for example https://s3.example.com:9000.", unchanged: "Nothing was done.")
    }
}
