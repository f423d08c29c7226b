/// Where credentials come from: the first place that says anything, in the order of AWS's own tools.
package enum AWSCredentialSource: Sendable, Hashable {
    /// Keys that stand in the environment or in a shared file.
    case keys(AWSCredentials)
    /// A token in a file, which STS takes for credentials of a role (Kubernetes service accounts).
    case webIdentity(WebIdentity)
    /// A URL of the container's host, with a token for it (EKS Pod Identity, ECS).
    case container(url: String, token: ContainerToken)
    /// The metadata service of the machine, at this URL.
    case instance(url: String)

    /// How a role is taken on by a token.
    package struct WebIdentity: Sendable, Hashable {
        package var tokenFile: String
        package var role: String
        package var session: String
        /// The URL of STS.
        package var endpoint: String
    }

    /// What a container shows to be given credentials.
    package enum ContainerToken: Sendable, Hashable {
        case none
        /// The token itself.
        case text(String)
        /// The file that has it; it changes.
        case file(String)
    }

    /// Chooses the place by the environment variables and the shared files.
    package static func choose(
        variables: [String: String], files: SharedAWSFiles, region: String
    ) throws(BackupError) -> AWSCredentialSource {
        func variable(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
        if let key = variable("AWS_ACCESS_KEY_ID") {
            guard let secret = variable("AWS_SECRET_ACCESS_KEY") else {
                throw incomplete("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not")
            }
            return .keys(
                AWSCredentials(accessKey: key, secretKey: secret, sessionToken: variable("AWS_SESSION_TOKEN")))
        }
        let domain = S3Endpoint.domain(of: region)
        let sts = variable("AWS_ENDPOINT_URL_STS") ?? "https://sts.\(region).\(domain)"
        if let file = variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
            guard let role = variable("AWS_ROLE_ARN") else {
                throw incomplete("AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not")
            }
            return .webIdentity(
                WebIdentity(
                    tokenFile: file, role: role, session: variable("AWS_ROLE_SESSION_NAME") ?? standardSession,
                    endpoint: try requireProtected(sts)))
        }
        let name = variable("AWS_PROFILE")
        if let profile = files.profiles[name ?? "default"] {
            if let source = try choose(profile: profile, named: name ?? "default", sts: sts) { return source }
        } else if let name {
            throw incomplete("AWS_PROFILE is '\(name)', and the shared files have no such profile")
        }
        if let path = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return .container(url: try requireProtected("http://169.254.170.2\(path)"), token: containerToken(variable))
        }
        if let url = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            return .container(url: try requireProtected(url), token: containerToken(variable))
        }
        guard variable("AWS_EC2_METADATA_DISABLED")?.lowercased() != "true" else {
            throw incomplete("no place that AWS's tools look at has any, and AWS_EC2_METADATA_DISABLED is set")
        }
        return .instance(url: variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") ?? "http://169.254.169.254")
    }

    private static let standardSession = "apex-backup"

    private static func choose(
        profile: [String: String], named name: String, sts: String
    ) throws(BackupError) -> AWSCredentialSource? {
        if let role = profile["role_arn"], let file = profile["web_identity_token_file"] {
            return .webIdentity(
                WebIdentity(
                    tokenFile: file, role: role, session: profile["role_session_name"] ?? standardSession,
                    endpoint: try requireProtected(sts)))
        }
        if let key = profile["aws_access_key_id"] {
            guard let secret = profile["aws_secret_access_key"] else {
                throw incomplete("the profile '\(name)' has aws_access_key_id and no aws_secret_access_key")
            }
            return .keys(
                AWSCredentials(accessKey: key, secretKey: secret, sessionToken: profile["aws_session_token"]))
        }
        let others = ["role_arn", "credential_process", "sso_session", "sso_start_url"]
        if let other = others.first(where: { profile[$0] != nil }) {
            throw BackupError(
                .settings, "The profile '\(name)' has '\(other)', by which this program gets no credentials.",
                remedy: "Export them into the environment ('aws configure export-credentials --format env'), or name "
                    + "another profile with AWS_PROFILE.", unchanged: "Nothing was done.")
        }
        return nil
    }

    private static func containerToken(_ variable: (String) -> String?) -> ContainerToken {
        if let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") { return .file(file) }
        return variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map { .text($0) } ?? .none
    }

    /// What hands out or takes secrets is reached by TLS, or does not leave the host.
    private static func requireProtected(_ url: String) throws(BackupError) -> String {
        if url.hasPrefix("https://") { return url }
        let authority = url.dropFirst("http://".count).prefix { $0 != "/" }
        let host = authority.hasPrefix("[") ? authority.prefix { $0 != "]" } + "]" : authority.prefix { $0 != ":" }
        let nearby = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "localhost", "[::1]"]
        guard url.hasPrefix("http://"), !authority.contains("@"), nearby.contains(String(host)) || isLoopback(host)
        else {
            let place = authority.split(separator: "@").last ?? host
            throw BackupError(
                .settings, "Credentials would be sent to '\(place)' without TLS.",
                remedy: "Correct AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_ENDPOINT_URL_STS: https://, or a place on "
                    + "this host.", unchanged: "Nothing was sent.")
        }
        return url
    }

    private static func isLoopback(_ host: some StringProtocol) -> Bool {
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
        return numbers.count == 4 && numbers[0] == 127 && host.utf8.allSatisfy { ASCII.isDigit($0) || $0 == 0x2E }
    }

    private static func incomplete(_ reason: String) -> BackupError {
        BackupError(
            .settings, "There are no credentials for the object store.", reason: reason,
            remedy: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with AWS_PROFILE.",
            unchanged: "Nothing was done.")
    }
}
