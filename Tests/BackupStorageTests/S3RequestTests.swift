import BackupModel
import Synchronization
import TestSupport
import Testing

@testable import BackupStorage

@Suite(.timeLimit(.minutes(10))) struct `Asking whatever is at the address of a store` {
    private let key = ObjectKey("object")

    private func storage(
        at endpoint: String, variables: [String: String] = [:], budget: Duration = .seconds(120),
        monotonic: (@Sendable () -> Duration)? = nil
    ) throws -> S3Storage {
        var settings = S3StoreSettings()
        settings.endpoint = endpoint
        settings.allowsPlainHTTP = true
        var patience = ObjectStore.patience
        patience.retries.budget = budget
        let keys = ["AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "S"]
        var environment = S3Environment.of(keys.merging(variables) { $1 })
        if let monotonic { environment.monotonic = monotonic }
        return try S3Storage(
            try #require(S3Location(parsing: "s3://apex/p")), settings: settings, environment: environment,
            patience: patience)
    }

    @Test func `repeats no token that cannot be sent`() async throws {
        let proxy = try FaultProxy { _ in .answer("200 OK") }
        let broken = try storage(at: proxy.endpoint, variables: ["AWS_SESSION_TOKEN": "hunter2\n"])
        let container = try storage(
            at: proxy.endpoint,
            variables: [
                "AWS_ACCESS_KEY_ID": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": proxy.endpoint,
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hunter2\n",
            ])
        try await onThread { [key] () throws in
            for (storage, code) in [(broken, ErrorCode.settings), (container, .authenticationFailed)] {
                let error = #expect(throws: BackupError.self) { try storage.readAll(key, limit: 1) }
                #expect(error?.code == code)
                #expect(error?.reason?.contains("line break") == true)
                #expect(error.map { "\($0) \($0.message) \($0.reason ?? "")".contains("hunter2") } == false)
            }
        }
        #expect(proxy.requests.isEmpty)
    }

    @Test func `does not go on for ever with a store that always begins anew and never ends`() async throws {
        let proxy = try FaultProxy { request in
            request.number < 300
                ? .answerBeginning(String(repeating: "x", count: 100), of: 1000)
                : .answer("403 Forbidden")
        }
        defer { proxy.stop() }
        let storage = try storage(at: proxy.endpoint, budget: .seconds(2))
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try storage.readAll(key, limit: 1000) }
            #expect(error?.code == .repositoryUnavailable)
            #expect(!proxy.requests.isEmpty)
        }
    }

    @Test func `takes no name for taken that no object has, unless it stays so`() async throws {
        let taken = "<Error><Code>PreconditionFailed</Code></Error>"
        let proxy = try FaultProxy { request in
            switch (request.method, request.target.hasSuffix("/freed")) {
            // The object that had the name was removed before one could look.
            case ("PUT", true): request.number < 2 ? .answer("412 Precondition Failed", body: taken) : .answer("200 OK")
            case ("PUT", false): .answer("412 Precondition Failed", body: taken)
            default: .answer("404 Not Found", body: "<Error><Code>NoSuchKey</Code></Error>")
            }
        }
        defer { proxy.stop() }
        let storage = try storage(at: proxy.endpoint).using(
            StoreAbilities(conditionalWrites: true, checksums: false, orderedListing: true))
        try await onThread { () throws in
            #expect(try storage.putIfAbsent(ObjectKey("freed"), [1]) == .stored)
            let error = #expect(throws: BackupError.self) { try storage.putIfAbsent(ObjectKey("folder"), [1]) }
            #expect(error?.code == .storageFailed)
        }
    }

    @Test func `reads no second half of another object, also from a store that looks at no condition`() async throws {
        let proxy = try FaultProxy { request in
            request.number == 0
                ? .answerBeginning(String(repeating: "a", count: 100), of: 1000, headers: ["ETag: \"one\""])
                : .answer("200 OK", body: String(repeating: "b", count: 1000), headers: ["ETag: \"two\""])
        }
        defer { proxy.stop() }
        let storage = try storage(at: proxy.endpoint)
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try storage.readAll(key, limit: 1000) }
            #expect(error?.code == .objectDamaged)
            #expect(error?.reason == "the store calls it \"two\", and called it \"one\"")
        }
    }

    @Test func `writes nothing with a claim that others may take for left`() async throws {
        let clock = Mutex(Duration.zero)
        let claim = Mutex("")
        let skewed = "<Error><Code>RequestTimeTooSkewed</Code></Error>"
        let proxy = try FaultProxy { request in
            if request.method == "PUT", request.target.contains("/.claims/") {
                claim.withLock { $0 = request.target.replacing("/apex/", with: "") }
                return .answer("200 OK")
            }
            if request.method == "PUT" {
                // It was signed, and then its writer stood still for long.
                clock.withLock { $0 += .seconds(600) }
                return .answer("403 Forbidden", body: skewed)
            }
            if request.target.contains("list-type=2") {
                let name = claim.withLock { $0 }
                return .answer(
                    "200 OK",
                    body: "<ListBucketResult><Contents><Key>\(name)</Key><Size>0</Size></Contents></ListBucketResult>")
            }
            if request.method == "DELETE" { return .answer("200 OK") }
            return .answer("404 Not Found", body: "<Error><Code>NoSuchKey</Code></Error>")
        }
        defer { proxy.stop() }
        let storage = try storage(at: proxy.endpoint, monotonic: { clock.withLock { $0 } })
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try storage.putIfAbsent(key, [1]) }
            #expect(error?.reason == "the store answered 403 RequestTimeTooSkewed")
        }
        let puts = proxy.requests.filter { $0.method == "PUT" && !$0.target.contains("/.claims/") }
        #expect(puts.count == 1)
        #expect(proxy.requests.last?.method == "DELETE", "the claim is given back")
    }

    @Test func `takes a bucket without uploads for one, whatever the store calls that`() async throws {
        let proxy = try FaultProxy { _ in
            .answer("404 Not Found", body: "<Error><Code>NoSuchUpload</Code><Message>NoSuchUpload</Message></Error>")
        }
        defer { proxy.stop() }
        let storage = try storage(at: proxy.endpoint)
        try await onThread { () throws in
            #expect(try storage.temporaryFiles(under: nil) == [])
            #expect(try storage.unfinishedWrites(in: ObjectKey("folder")) == [])
        }
    }

    @Test func `takes no object for removed of which the store says that it stayed`() async throws {
        let proxy = try FaultProxy { _ in
            .answer(
                "200 OK",
                body: "<DeleteResult><Error><Key>other</Key><Code>InternalError</Code></Error></DeleteResult>")
        }
        defer { proxy.stop() }
        let storage = try storage(at: proxy.endpoint)
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try storage.remove([key, ObjectKey("second")]) }
            #expect(error?.code == .repositoryUnavailable)
            #expect(error?.reason == "the store answered 200 InternalError")
        }
    }

    @Test func `tries again after a connection that ends while TLS is agreed on`() async throws {
        let proxy = try FaultProxy { _ in .answer("200 OK") }
        let storage = try storage(at: proxy.endpoint.replacing("http:", with: "https:"))
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try storage.readAll(key, limit: 1) }
            #expect(error?.code == .repositoryUnavailable)
            #expect(proxy.connections > 1)
        }
    }
}
