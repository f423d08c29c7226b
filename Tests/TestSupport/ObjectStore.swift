package import BackupModel
package import BackupStorage
internal import FoundationEssentials

/// A real object store on this host, which the tests of this process share; it ends with the process.
///
/// Each test works below a prefix of its own.
package struct ObjectStore: Sendable {
    /// The port of plain HTTP.
    package let port: UInt16
    /// The URL over TLS, where the store has that too.
    package let secureEndpoint: String?
    /// The certificate that signs for it.
    package let caFile: String
    package let bucket = "apex"
    package let accessKey = "apexkey"
    package let secretKey = "apexsecret"
    let process: RunningCommand

    package var endpoint: String { "http://127.0.0.1:\(port)" }

    /// SeaweedFS: conditional writes, digests, and folders in an order of its own.
    package static func seaweedFS() async throws -> ObjectStore { try await seaweedFSTask.value }

    /// rclone over a directory: none of that.
    package static func rclone() async throws -> ObjectStore { try await rcloneTask.value }

    /// Ceph's radosgw: alone in comparing a body with the digest that was signed.
    package static func ceph() async throws -> ObjectStore { try await cephTask.value }

    /// Whether the stores are there to be started; `scripts/test` fetches them.
    package static var areInstalled: Bool {
        ["weed", "rclone"].allSatisfy { FileManager.default.isExecutableFile(atPath: "\(programs)/\($0)") }
    }

    private static let programs: String = {
        let variables = ProcessInfo.processInfo.environment
        let cache = variables["XDG_CACHE_HOME"] ?? variables["HOME"].map { "\($0)/.cache" } ?? ""
        let folders = ["/var/cache", cache].map { "\($0)/apex-backup-tests/object-stores" }
        return folders.first { FileManager.default.fileExists(atPath: $0) } ?? folders[0]
    }()

    private static let seaweedFSTask = Task { try await startedAnew(seaweedFSStarted) }
    private static let rcloneTask = Task { try await startedAnew(rcloneStarted) }
    private static let cephTask = Task { try await startedAnew(cephStarted) }

    /// Starts a store; once more where it ended at once: somebody may have taken one of its ports meanwhile.
    private static func startedAnew(_ start: () async throws -> ObjectStore) async throws -> ObjectStore {
        for _ in 0..<2 {
            do { return try await start() } catch let failure as StoreNotStarted where failure.hasEnded { continue }
        }
        return try await start()
    }

    private static func seaweedFSStarted() async throws -> ObjectStore {
        let directory = try await makeDirectory("seaweedfs")
        let ports = try LocalSocket.freePorts(9)
        let identities = """
            {"identities": [
              {"name": "apex", "credentials": [{"accessKey": "apexkey", "secretKey": "apexsecret"}],
               "actions": ["Admin", "Read", "List", "Tagging", "Write"]},
              {"name": "reader", "credentials": [{"accessKey": "readkey", "secretKey": "readsecret"}],
               "actions": ["Read", "List"]}]}
            """
        try Data(identities.utf8).write(to: URL(filePath: "\(directory)/s3.json"))
        try FileManager.default.createDirectory(atPath: "\(directory)/data", withIntermediateDirectories: false)
        // A bucket takes one volume, and not seven.
        let process = try await start(
            "weed", in: directory, environment: ["WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"],
            "server", "-dir=\(directory)/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
            "-master.port=\(ports[0])", "-master.port.grpc=\(ports[1])", "-volume.port=\(ports[2])",
            "-volume.port.grpc=\(ports[3])", "-filer", "-filer.port=\(ports[4])", "-filer.port.grpc=\(ports[5])", "-s3",
            "-s3.port=\(ports[6])", "-s3.port.grpc=\(ports[7])", "-s3.port.https=\(ports[8])",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.config=\(directory)/s3.json", "-s3.autoCreateBucket=false",
            "-s3.cert.file=\(directory)/tls.crt", "-s3.key.file=\(directory)/tls.key",
            "-master.volumeSizeLimitMB=256", "-volume.max=100")
        let store = ObjectStore(
            port: ports[6], secureEndpoint: "https://localhost:\(ports[8])", caFile: "\(directory)/tls.crt",
            process: process)
        try await store.makeBucket()
        return store
    }

    private static func rcloneStarted() async throws -> ObjectStore {
        let directory = try await makeDirectory("rclone")
        try FileManager.default.createDirectory(
            atPath: "\(directory)/data/apex", withIntermediateDirectories: true)
        let port = try LocalSocket.freePorts(1)[0]
        let process = try await start(
            "rclone", in: directory, environment: ["RCLONE_CONFIG": "/dev/null"], "serve", "s3", "\(directory)/data",
            "--addr", "127.0.0.1:\(port)", "--auth-key", "apexkey,apexsecret")
        let store = ObjectStore(port: port, secureEndpoint: nil, caFile: "\(directory)/tls.crt", process: process)
        try await store.makeBucket()
        return store
    }

    /// Starts a store, which writes what it says into a file: nobody may be there to read a pipe.
    private static func start(
        _ program: String, in directory: String, environment: [String: String], _ arguments: String...
    ) async throws -> RunningCommand {
        try await start(["\(programs)/\(program)"] + arguments, in: directory, environment: environment)
    }

    static func start(
        _ words: [String], in directory: String, environment: [String: String] = [:]
    ) async throws -> RunningCommand {
        var shell = CommandLineTool(executable: "/bin/sh", environment: environment)
        shell.environment["HOME"] = directory
        return try await shell.start(["-c", "exec \"$0\" \"$@\" >\"$HOME/log\" 2>&1"] + words)
    }

    /// A directory that goes with this process, and every process that names it; with a certificate in it.
    static func makeDirectory(_ name: String) async throws -> String {
        let directory = Leftovers.newPath(name)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        Leftovers.removeAtExit(directory)
        let made = try await CommandLineTool(executable: "/usr/bin/openssl").run(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost", "-keyout", "\(directory)/tls.key", "-out", "\(directory)/tls.crt")
        guard made.status == 0 else { throw StoreNotStarted(reason: made.standardError) }
        return directory
    }

    /// Makes the bucket as soon as the store answers; it may be there.
    func makeBucket() async throws {
        var last = ""
        let isThere = try await eventually {
            guard !process.hasEnded else {
                throw StoreNotStarted(reason: "it ended; its directory has the log", hasEnded: true)
            }
            last = try await ask("PUT", bucket)
            return last.hasSuffix("200") || last.hasSuffix("409")
        }
        guard isThere else { throw StoreNotStarted(reason: last) }
    }

    /// Makes another bucket, which keeps all versions of its objects.
    package func makeVersionedBucket(_ name: String) async throws {
        for (path, body) in [
            (name, nil), ("\(name)?versioning=", Self.versioning),
        ] { try await putOrFail(path, body: body) }
    }

    /// Makes another bucket, of whose objects no version can be removed for a day.
    package func makeLockedBucket(_ name: String) async throws {
        try await putOrFail(name, headers: ["x-amz-bucket-object-lock-enabled: true"])
        try await putOrFail("\(name)?object-lock=", body: Self.lock)
    }

    private static let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    private static let lock = """
        <ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
        <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>
        """

    /// Begins to upload the object `key` below `prefix`, and does nothing more of it.
    package func beginUpload(_ key: String, below prefix: String) async throws {
        let answer = try await ask("POST", "\(bucket)/\(prefix)/\(key)?uploads=")
        guard answer.hasSuffix("200") else { throw StoreNotStarted(reason: "\(key): \(answer)") }
    }

    private func putOrFail(_ path: String, headers: [String] = [], body: String? = nil) async throws {
        let answer = try await ask("PUT", path, headers: headers, body: body)
        guard answer.hasSuffix("200") else { throw StoreNotStarted(reason: "\(path): \(answer)") }
    }

    /// Returns the answer to a request, and the status behind it.
    private func ask(
        _ method: String, _ path: String, headers: [String] = [], body: String? = nil
    ) async throws -> String {
        let all = headers + (body == nil ? [] : ["x-amz-content-sha256: UNSIGNED-PAYLOAD"])
        let output = try await CommandLineTool(executable: "/usr/bin/curl").run(
            [
                "--silent", "--show-error", "--max-time", "10", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
                "\(accessKey):\(secretKey)", "--request", method, "--write-out", "%{http_code}",
            ] + all.flatMap { ["--header", $0] } + (body.map { ["--data", $0] } ?? []) + ["\(endpoint)/\(path)"])
        return output.standardOutput + output.standardError
    }

    /// The variables by which a program reaches the store, but for its endpoint.
    package var variables: [String: String] {
        [
            "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_EC2_METADATA_DISABLED": "true",
        ]
    }

    /// The store below `prefix`, or what `endpoint` puts before it.
    package func storage(
        _ prefix: String, bucket: String? = nil, at endpoint: String? = nil, variables: [String: String] = [:],
        patience: S3Storage.Patience = ObjectStore.patience, caFile: String? = nil,
        wall: @escaping @Sendable () -> Timestamp = ObjectStore.now
    ) throws -> S3Storage {
        var settings = S3StoreSettings()
        settings.endpoint = endpoint ?? self.endpoint
        settings.allowsPlainHTTP = true
        settings.caFile = caFile
        guard let place = S3Location(parsing: "s3://\(bucket ?? self.bucket)/\(prefix)") else {
            throw StoreNotStarted(reason: "'\(prefix)' is no prefix")
        }
        return try S3Storage(
            place, settings: settings,
            environment: .of(self.variables.merging(variables) { $1 }, wall: wall), patience: patience)
    }

    /// Patience that no test waits long for, and that a busy machine does not exhaust.
    package static let patience: S3Storage.Patience = {
        var patience = S3Storage.Patience()
        patience.retries = RetryPolicy(
            budget: .seconds(120), firstWait: .milliseconds(10), longestWait: .milliseconds(500))
        return patience
    }()

    /// This host's clock.
    package static let now: @Sendable () -> Timestamp = {
        Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
    }
}

extension S3Environment {
    /// The environment of a test: these variables, real files, this host's clocks unless another is given.
    package static func of(
        _ variables: [String: String], wall: @escaping @Sendable () -> Timestamp = ObjectStore.now
    ) -> S3Environment {
        let origin = ContinuousClock.now
        return S3Environment(
            variables: variables, wall: wall, monotonic: { origin.duration(to: ContinuousClock.now) },
            readFile: { path throws(BackupError) in
                (try? Data(contentsOf: URL(filePath: path))).map { Array($0) }
            })
    }
}

/// A store that cannot be had.
struct StoreNotStarted: Error {
    let reason: String
    var hasEnded = false
}
