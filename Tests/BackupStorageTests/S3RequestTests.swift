import BackupModel
import TestSupport
import Testing

@testable import BackupStorage

@Suite(.timeLimit(.minutes(10))) struct `Asking whatever is at the address of a store` {
    private let key = ObjectKey("object")

    private func storage(
        at endpoint: String, variables: [String: String] = [:], budget: Duration = .seconds(120)
    ) throws -> S3Storage {
        var settings = S3StoreSettings()
        settings.endpoint = endpoint
        settings.allowsPlainHTTP = true
        var patience = ObjectStore.patience
        patience.retries.budget = budget
        let keys = ["AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "S"]
        return try S3Storage(
            try #require(S3Location(parsing: "s3://apex/p")), settings: settings,
            environment: .of(keys.merging(variables) { $1 }), patience: patience)
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
