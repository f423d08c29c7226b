package import BackupModel
internal import NIOCore
internal import NIOHTTP1

/// A repository in a bucket of an object store that speaks S3.
///
/// What no conditional write of the store keeps apart, claims do (``S3Publication``).
package struct S3Storage: Storage {
    let client: S3Client
    let place: S3Location
    let settings: S3StoreSettings
    let abilities: StoreAbilities

    /// How long nothing may happen, and how long what fails is tried again.
    package struct Patience: Sendable {
        package var connect: Duration = .seconds(10)
        package var idle: Duration = .seconds(60)
        package var retries = RetryPolicy.requests

        package init() {}
    }

    /// The repository at `place`; nothing is asked of the store yet.
    package init(
        _ place: S3Location, settings: S3StoreSettings, environment: S3Environment, patience: Patience = Patience()
    ) throws(BackupError) {
        let files = try SharedAWSFiles.read(in: environment)
        let profile = environment.variables["AWS_PROFILE"].flatMap { $0.isEmpty ? nil : $0 } ?? "default"
        let endpoint = try S3Endpoint(
            bucket: place.bucket, settings: settings, variables: environment.variables,
            profile: files.profiles[profile] ?? [:])
        if let file = endpoint.caFile, try environment.readFile(file) == nil {
            throw BackupError(
                .settings, "The file '\(file)' of the certificates to trust is not there.",
                remedy: "Correct 'ca_file' in 'repository' of the policy, or AWS_CA_BUNDLE.",
                unchanged: "Nothing was done.")
        }
        self.init(
            client: S3Client(
                endpoint: endpoint,
                transport: HTTPTransport(
                    trust: endpoint.caFile.map { .file($0) } ?? .system(),
                    patience: .init(connect: patience.connect, idle: patience.idle),
                    isEnding: environment.isEnding),
                credentials: S3Credentials(
                    environment: environment, region: endpoint.region, caFile: endpoint.caFile),
                environment: environment, retries: patience.retries),
            place: place, settings: settings, abilities: .least)
    }

    private init(client: S3Client, place: S3Location, settings: S3StoreSettings, abilities: StoreAbilities) {
        self.client = client
        self.place = place
        self.settings = settings
        self.abilities = abilities
    }

    package var location: String { place.description }

    package func using(_ abilities: StoreAbilities?) -> any Storage { with(abilities ?? .least) }

    func with(_ abilities: StoreAbilities) -> S3Storage {
        S3Storage(client: client, place: place, settings: settings, abilities: abilities)
    }

    /// What could not be done with an object, or with the repository as a whole, in the words of an error.
    func failed(to action: String, _ key: ObjectKey?) -> String {
        guard let key else { return "The repository '\(location)' cannot be \(action)." }
        return "'\(key)' cannot be \(action) in the repository '\(location)'."
    }

    package func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? {
        do throws(S3Failure) {
            return try head(key).map { ObjectInfo(key: key, size: $0.size) }
        } catch {
            throw error.error(failed(to: "read", key))
        }
    }

    /// Size and headers of an object, or `nil` if there is certainly none.
    ///
    /// A byte of it is asked for: to a request for the headers alone a store has no words to say that it is the bucket
    /// that is not there.
    func head(_ key: ObjectKey) throws(S3Failure) -> (size: Int64, headers: HTTPHeaders)? {
        var request = S3Request("GET", place.name(of: key))
        request.headers = [("range", "bytes=0-0")]
        do throws(S3Failure) {
            let headers = try client.headers(of: request)
            let size =
                ContentRange(headers.first(name: "content-range"))?.total
                ?? headers.first(name: "content-length").flatMap { Int64($0) }
            guard let size else { throw .connection(.invalid("the store does not tell the object's size")) }
            return (size, headers)
        } catch {
            switch error.kind {
            case .absent: return nil
            // Only an object without a byte has not this one.
            case .rangeNotSatisfiable: return (0, try client.headers(of: S3Request("HEAD", request.name)))
            default: throw error
            }
        }
    }

    package func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome {
        let body = S3Body(bytes)
        return try S3Publication(of: key, in: self).publish { publication, condition throws(S3Failure) in
            try put(key, body, publication.headers + condition, within: publication.budget)
        }
    }

    /// Writes an object in one request, with attempts for `budget`, if that is less than is usual.
    func put(
        _ key: ObjectKey, _ body: S3Body, _ headers: [(name: String, value: String)], within budget: Duration? = nil
    ) throws(S3Failure) {
        var request = S3Request("PUT", place.name(of: key))
        request.headers = headers + checksum(of: body)
        request.body = body
        _ = try client.send(request, within: budget)
    }

    /// How the store compares a body with what was meant to be sent, where it can.
    func checksum(of body: S3Body) -> [(name: String, value: String)] {
        abilities.checksums ? [("x-amz-checksum-sha256", Base64.encode(body.digest.bytes))] : []
    }

    package func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
        S3ObjectWriter(key, in: self)
    }

    /// A listing of uploads does not tell which are of streams: so a stream begins none before it is longer than a
    /// segment of WAL usually is, and nobody who asks for that segment waits for it.
    package func makeStreamWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
        S3ObjectWriter(key, in: self, isStreamed: true)
    }

    package var bytesPerWriter: Int64 { Int64((S3ObjectWriter.partsInFlight + 1) * S3ObjectWriter.partSize) }

    package func removeEmptyFolders(under prefix: ObjectKey) throws(BackupError) {}

    package func freeBytes() throws(BackupError) -> Int64? {
        guard let capacity = settings.capacity else { return nil }
        var used: Int64 = 0
        try forEachPage(under: place.folder, delimited: false) { page in
            used += page.objects.reduce(0) { $0 + $1.size }
        }
        return max(0, capacity - used)
    }
}
