package import BackupModel
internal import Synchronization

/// Who signs requests: read when it is first needed, and again before it expires.
final class S3Credentials: Sendable {
    private struct State {
        var source: AWSCredentialSource?
        var credentials: AWSCredentials?
        /// Before that a renewal that failed is not tried again.
        var nextRenewal: Timestamp?
    }

    private let environment: S3Environment
    private let region: String
    private let services: CredentialServices
    private let state = Mutex(State())

    private static let pauseAfterFailure: Duration = .seconds(30)

    /// Whoever hands them out is trusted by the system's certificates, or by those of `caFile`.
    init(environment: S3Environment, region: String, caFile: String? = nil) {
        self.environment = environment
        self.region = region
        services = CredentialServices(environment: environment, caFile: caFile)
    }

    /// The credentials for a request that is sent now.
    func current() throws(BackupError) -> AWSCredentials {
        try state.withLock { state throws(BackupError) in try current(&state) }
    }

    /// Makes ``current()`` get new ones, where there can be such.
    func renew() {
        state.withLock { state in
            state.credentials = nil
            state.nextRenewal = nil
        }
    }

    private func current(_ state: inout State) throws(BackupError) -> AWSCredentials {
        let now = environment.wall()
        if let known = state.credentials {
            if !known.areDue(at: now) { return known }
            if !known.areExpired(at: now), let next = state.nextRenewal, now < next { return known }
        }
        do {
            let new = try load(&state)
            state.credentials = new
            state.nextRenewal = nil
            return new
        } catch {
            // What is still valid is used for as long as it is: the place they come from may be back by then.
            guard let known = state.credentials, !known.areExpired(at: now) else { throw error }
            state.nextRenewal = now.advanced(by: Self.pauseAfterFailure)
            return known
        }
    }

    private func load(_ state: inout State) throws(BackupError) -> AWSCredentials {
        let source =
            if let chosen = state.source {
                chosen
            } else {
                try AWSCredentialSource.choose(
                    variables: environment.variables, files: SharedAWSFiles.read(in: environment), region: region)
            }
        // Files may have been written anew since; what a place of the environment says of itself does not change.
        if case .keys = source {} else { state.source = source }
        return try services.credentials(from: source)
    }
}

extension StoreAccess {
    /// By what a program without this environment reaches a bucket.
    package static func find(
        to bucket: String, settings: S3StoreSettings, in environment: S3Environment
    ) throws(BackupError) -> StoreAccess {
        try StoreAccess(
            to: bucket, settings: settings, variables: environment.variables, files: .read(in: environment))
    }
}

extension SharedAWSFiles {
    /// The shared files that the environment names, or those in the home directory.
    static func read(in environment: S3Environment) throws(BackupError) -> SharedAWSFiles {
        let variables = environment.variables
        var files = SharedAWSFiles()
        func text(_ variable: String, _ name: String) throws(BackupError) -> String {
            let named = variables[variable].flatMap { $0.isEmpty ? nil : $0 }
            guard let path = named ?? variables["HOME"].map({ "\($0)/.aws/\(name)" }),
                let bytes = try environment.readFile(path)
            else { return "" }
            files.places[variable] = path
            return String(decoding: bytes, as: UTF8.self)
        }
        files.add(configuration: try text("AWS_CONFIG_FILE", "config"))
        files.add(credentials: try text("AWS_SHARED_CREDENTIALS_FILE", "credentials"))
        return files
    }
}
