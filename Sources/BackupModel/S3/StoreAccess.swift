/// By what a program reaches an object store as this one does, when it is started without this one's environment: a
/// server that gets its WAL from there.
package struct StoreAccess: Sendable, Hashable {
    /// Where the credentials come from, for people.
    package let credentials: String
    /// The variables that such a program is given: they name places, and hold nothing secret.
    package let variables: [String: String]
    /// The variables that must be in its environment beside those: they hold secrets, or are valid here alone.
    package let needed: [String]

    /// The variables with the path of a file.
    package static let paths: Set = [
        "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ]

    /// Finds out by the same variables and shared files as whoever signs requests; what `settings` say stands in a policy,
    /// which such a program reads itself.
    ///
    /// - Throws: ``ErrorCode/settings`` if there are no credentials.
    package init(
        to bucket: String, settings: S3StoreSettings, variables: [String: String], files: SharedAWSFiles
    ) throws(BackupError) {
        let given = variables.filter { !$0.value.isEmpty }
        let profile = given["AWS_PROFILE"] ?? "default"
        let endpoint = try S3Endpoint(
            bucket: bucket, settings: settings, variables: given, profile: files.profiles[profile] ?? [:])
        let source = try AWSCredentialSource.choose(variables: given, files: files, region: endpoint.region)
        let own = Self.own(source, of: given, profile: profile, files: files)
        var passed = given.filter { own.passed.contains($0.key) }
        if own.isOfProfile { passed.merge(files.places) { $1 } }
        if settings.region == nil { passed["AWS_REGION"] = endpoint.region }
        if settings.endpoint == nil { passed["AWS_ENDPOINT_URL_S3"] = endpoint.named }
        if settings.caFile == nil { passed["AWS_CA_BUNDLE"] = endpoint.caFile }
        credentials = own.text
        self.variables = passed
        needed = own.needed.filter { given[$0] != nil }
    }

    /// What belongs to one way to get credentials.
    private struct Own {
        var text: String
        var passed: [String] = []
        var needed: [String] = []
        var isOfProfile = false
    }

    private static func own(
        _ source: AWSCredentialSource, of variables: [String: String], profile: String, files: SharedAWSFiles
    ) -> Own {
        let places = files.places.values.sorted().map { "'\($0)'" }.joined(separator: " and ")
        let byProfile = Own(
            text: "the profile '\(profile)' in \(places)", passed: ["AWS_PROFILE", "AWS_ENDPOINT_URL_STS"],
            isOfProfile: true)
        switch source {
        case .keys where variables["AWS_ACCESS_KEY_ID"] == nil: return byProfile
        case .keys:
            return Own(
                text: "the environment",
                needed: ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
        case .webIdentity where variables["AWS_WEB_IDENTITY_TOKEN_FILE"] == nil: return byProfile
        case .webIdentity(let identity):
            return Own(
                text: "STS, for the role \(identity.role) by the token in '\(identity.tokenFile)'",
                passed: [
                    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_ENDPOINT_URL_STS",
                ])
        case .container:
            // The relative address is a container's own, and ends with it.
            return Own(
                text: "the container's host",
                passed: ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
                needed: ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"])
        case .instance:
            return Own(text: "the machine's metadata service", passed: ["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
        }
    }
}
