internal import BackupModel
internal import NIOCore
internal import NIOHTTP1

/// Gets credentials from what hands them out: STS, the container's host, the machine's metadata service.
struct CredentialServices: Sendable {
    private let environment: S3Environment
    private let caFile: String?
    /// All of them are near; one that does not answer soon is not there.
    private let patience = HTTPTransport.Patience(connect: .seconds(3), idle: .seconds(10))
    private let attempts = 3
    private static let largestAnswer = 1 << 20

    init(environment: S3Environment, caFile: String?) {
        self.environment = environment
        self.caFile = caFile
    }

    func credentials(from source: AWSCredentialSource) throws(BackupError) -> AWSCredentials {
        switch source {
        case .keys(let credentials): credentials
        case .webIdentity(let identity): try assumeRole(identity)
        case .container(let url, let token): try container(url, token)
        case .instance(let url): try instance(url)
        }
    }

    private func assumeRole(_ identity: AWSCredentialSource.WebIdentity) throws(BackupError) -> AWSCredentials {
        let form = SignatureV4.canonicalQuery([
            ("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", identity.role),
            ("RoleSessionName", identity.session), ("WebIdentityToken", try secret(inFile: identity.tokenFile)),
        ])
        let answer = try ask(
            "POST", identity.endpoint.hasSuffix("/") ? identity.endpoint : "\(identity.endpoint)/",
            headers: [("content-type", "application/x-www-form-urlencoded")], body: form, of: "STS")
        guard let root = XMLElement.parse(answer),
            let found = root.all("AssumeRoleWithWebIdentityResult").first?.all("Credentials").first,
            let key = found["AccessKeyId"], let secret = found["SecretAccessKey"], let token = found["SessionToken"]
        else { throw noCredentials(from: "STS", "its answer has none") }
        return AWSCredentials(
            accessKey: key, secretKey: secret, sessionToken: token,
            expiry: found["Expiration"].flatMap { Timestamp(codedText: $0) })
    }

    private func container(
        _ url: String, _ token: AWSCredentialSource.ContainerToken
    ) throws(BackupError) -> AWSCredentials {
        let authorization: String? =
            switch token {
            case .none: nil
            case .text(let text): text
            case .file(let path): try secret(inFile: path)
            }
        let headers = authorization.map { [(name: "authorization", value: $0)] } ?? []
        return try credentials(
            inJSON: ask("GET", url, headers: headers, of: "the container's host"), of: "the container's host")
    }

    private func instance(_ url: String) throws(BackupError) -> AWSCredentials {
        let service = "the machine's metadata service"
        let token = try ask(
            "PUT", "\(url)/latest/api/token", headers: [("x-aws-ec2-metadata-token-ttl-seconds", "21600")],
            of: service)
        let headers = [(name: "x-aws-ec2-metadata-token", value: String(decoding: token, as: UTF8.self))]
        let folder = "\(url)/latest/meta-data/iam/security-credentials/"
        let roles = String(decoding: try ask("GET", folder, headers: headers, of: service), as: UTF8.self)
        guard let role = roles.split(whereSeparator: \.isNewline).first else {
            throw noCredentials(from: service, "the machine has no role")
        }
        return try credentials(inJSON: ask("GET", folder + role, headers: headers, of: service), of: service)
    }

    private func credentials(inJSON bytes: [UInt8], of service: String) throws(BackupError) -> AWSCredentials {
        guard let texts = FlatJSON.texts(bytes), let key = texts["AccessKeyId"],
            let secret = texts["SecretAccessKey"]
        else { throw noCredentials(from: service, "its answer has none") }
        return AWSCredentials(
            accessKey: key, secretKey: secret, sessionToken: texts["Token"],
            expiry: texts["Expiration"].flatMap { Timestamp(codedText: $0) })
    }

    private func secret(inFile path: String) throws(BackupError) -> String {
        guard let bytes = try environment.readFile(path) else {
            throw BackupError(
                .settings, "The file '\(path)', which has the token for credentials, is not there.",
                remedy: "Check how the token is mounted.", unchanged: "Nothing was done.")
        }
        return String(decoding: bytes, as: UTF8.self).filter { !$0.isNewline }
    }

    /// The body of the answer; the few attempts follow each other at once, as a request waits for it.
    private func ask(
        _ method: String, _ url: String, headers: [(name: String, value: String)] = [], body: String? = nil,
        of service: String
    ) throws(BackupError) -> [UInt8] {
        let transport = HTTPTransport(trust: .system(and: caFile), patience: patience, isEnding: environment.isEnding)
        var reason = ""
        for _ in 0..<attempts {
            do throws(ConnectionFailure) {
                let exchange = try transport.begin(
                    method, url, headers: headers + [("user-agent", "apex-backup")],
                    body: body.map { ByteBuffer(string: $0) })
                let head = try exchange.head()
                let bytes = try exchange.body(limit: Self.largestAnswer)
                if (200..<300).contains(head.status.code) { return bytes }
                // STS says what is wrong in an element of its own; the request's secrets are not in it.
                let error = XMLElement.parse(bytes).map { $0.all("Error").first ?? $0 }
                reason = "it answered \(head.status.code)"
                if let code = error?["Code"] { reason += " \(code)" }
                if let message = error?["Message"] { reason += ": \(message)" }
                guard head.status.code >= 500 || head.status.code == 429 else { break }
            } catch {
                reason = error.error("").reason ?? "it did not answer"
                guard error.isTransient else { break }
            }
        }
        throw noCredentials(from: service, reason)
    }

    private func noCredentials(from service: String, _ reason: String) -> BackupError {
        BackupError(
            .authenticationFailed, "There are no credentials for the object store from \(service).", reason: reason,
            remedy: "Check the role and who may take it on, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    }
}
