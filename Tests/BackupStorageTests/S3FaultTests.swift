import BackupModel
import Synchronization
import TestSupport
import Testing

@testable import BackupStorage

@Suite(.needsObjectStores, .timeLimit(.minutes(20))) struct `Talking to a store through a bad network` {
    private let prefix = "test-\(String(UInt64.random(in: .min ... .max), radix: 36))"
    private let key = ObjectKey("object")
    private let other = ObjectKey("other")

    /// SeaweedFS behind a proxy that decides over each request.
    private func store(
        idle: Duration = .seconds(60), _ decide: @escaping @Sendable (FaultProxy.Request) -> FaultProxy.Fate
    ) async throws -> (proxy: FaultProxy, storage: S3Storage) {
        let store = try await ObjectStore.seaweedFS()
        let proxy = try FaultProxy(to: store.port, decide)
        var patience = ObjectStore.patience
        patience.idle = idle
        return (proxy, try store.storage(prefix, at: proxy.endpoint, patience: patience).with(Self.abilities))
    }

    private static let abilities = StoreAbilities(conditionalWrites: true, checksums: true, orderedListing: false)

    /// The store without a proxy.
    private func direct() async throws -> S3Storage {
        try await ObjectStore.seaweedFS().storage(prefix).with(Self.abilities)
    }

    /// Bytes of which no two megabytes are alike.
    private static func content(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8 ^ $0 >> 16) }
    }

    private static let faults: [(name: String, fate: FaultProxy.Fate)] = [
        ("dropped", .cutAnswer(after: 100_000)), ("dropped at once", .cutAnswer(after: 0)),
        ("stalled", .stallAnswer(after: 70_000)), ("refused", .answer("503 Slow Down", body: slowDown)),
        ("overloaded", .answer("429 Too Many Requests", headers: ["Retry-After: 0"])),
        ("of other bytes", .wrongRange),
    ]
    private static let slowDown = "<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"

    @Test func `goes on where an answer ended, with the same object`() async throws {
        let bytes = Self.content(300_000)
        let plain = try await direct()
        try await onThread { [key] () throws in _ = try plain.putIfAbsent(key, bytes) }
        for (name, fate) in Self.faults {
            // Two attempts fail; a busy store may take longer than one that stalls is waited for.
            let (proxy, storage) = try await store(idle: name == "stalled" ? .seconds(3) : .seconds(60)) {
                $0.number < 2 ? fate : .pass
            }
            defer { proxy.stop() }
            try await onThread { [key] () throws in
                let whole = CollectingSink(limit: bytes.count)
                try storage.read(key, into: whole)
                #expect(whole.bytes == bytes, "\(name)")
                #expect(try storage.read(key, at: 1000, count: 200_000) == Array(bytes[1000..<201_000]), "\(name)")
            }
            let gets = proxy.requests.filter { $0.method == "GET" }
            // A whole object has no range that could be wrong.
            let expected = name == "of other bytes" ? 3 : 4
            #expect(gets.count == expected || name == "stalled", "\(name): \(gets.count) requests")
            if name == "dropped" {
                // What lies in the socket when a connection is reset is lost, and asked for again.
                let range = gets[1].headers["range"] ?? "bytes=0-"
                let start = try #require(Int(range.dropFirst("bytes=".count).dropLast()))
                #expect((0...100_000).contains(start) && range == "bytes=\(start)-", "\(range)")
                #expect(gets[1].headers["if-match"] != nil)
            }
        }
    }

    @Test func `is told the truth when the object is another one by then`() async throws {
        let plain = try await direct()
        let bytes = Self.content(300_000)
        try await onThread { [key] () throws in _ = try plain.putIfAbsent(key, bytes) }
        let (proxy, storage) = try await store { request in
            if request.number > 0 {
                // Nothing that this program does: somebody else writes there.
                try? plain.remove([key])
                _ = try? plain.putIfAbsent(key, Array(bytes.reversed()))
            }
            return request.number == 0 ? .cutAnswer(after: 100_000) : .pass
        }
        defer { proxy.stop() }
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try storage.read(key, into: DiscardSink()) }
            #expect(error?.code == .objectDamaged)
        }
    }

    @Test func `sends the parts of an upload again that did not arrive`() async throws {
        let troubles = Atomic(0)
        let (proxy, storage) = try await store { request in
            guard request.method == "PUT", request.target.contains("partNumber="),
                troubles.add(1, ordering: .relaxed).newValue <= 3
            else { return .pass }
            switch troubles.load(ordering: .relaxed) {
            case 1: return .cutRequest(after: 1 << 20)
            case 2: return .answer("503 Slow Down", body: Self.slowDown)
            default: return .cutAnswer(after: 0)
            }
        }
        let bytes = Self.content(20 << 20)
        try await onThread { [key] () throws in
            let writer = try storage.makeWriter(key)
            try writer.write(bytes.span)
            try writer.finish()
            let read = DigestSink()
            try storage.read(key, into: read)
            try read.finish()
            #expect(read.digest == SHA256.digest(of: bytes.span))
        }
        #expect(proxy.requests.filter { $0.target.contains("partNumber=") }.count >= 5)
        #expect(proxy.requests.allSatisfy { $0.headers["x-amz-content-sha256"]?.count == 64 })
    }

    @Test func `knows its own work when the answer to it was lost`() async throws {
        let published = Mutex<Set<String>>([])
        let (proxy, storage) = try await store { request in
            // Each put and each completion succeeds, and nobody hears of it the first time.
            guard request.headers["if-none-match"] != nil else { return .pass }
            return published.withLock { $0.insert(request.target).inserted } ? .loseAnswer : .pass
        }
        defer { proxy.stop() }
        let bytes = Self.content(9 << 20)
        try await onThread { [key, other] () throws in
            #expect(try storage.putIfAbsent(other, [1]) == .stored)
            let writer = try storage.makeWriter(key)
            try writer.write(bytes.span)
            try writer.finish()
            #expect(try storage.info(key)?.size == Int64(bytes.count))
            #expect(try storage.putIfAbsent(other, [1]) == .present, "another writer's work is not taken for one's own")
        }
    }

    @Test func `leaves an upload that it could not even end to be found and removed`() async throws {
        let isDead = Atomic(false)
        var patience = ObjectStore.patience
        patience.retries.budget = .seconds(2)
        let proxy = try FaultProxy(to: try await ObjectStore.seaweedFS().port) { request in
            if request.target.contains("partNumber=2") { isDead.store(true, ordering: .relaxed) }
            return isDead.load(ordering: .relaxed) ? .drop : .pass
        }
        defer { proxy.stop() }
        let storage = try await ObjectStore.seaweedFS().storage(prefix, at: proxy.endpoint, patience: patience)
            .with(Self.abilities)
        let plain = try await direct()
        let bytes = Self.content(17 << 20)
        let written = ObjectKey("folder/object")
        try await onThread { () throws in
            let writer = try storage.makeWriter(written)
            #expect(throws: BackupError.self) {
                try writer.write(bytes.span)
                try writer.finish()
            }
            writer.discard()
            #expect(try plain.info(written) == nil)
            #expect(try plain.children(of: nil) == [])
            let left = try plain.temporaryFiles(under: ObjectKey("folder"))
            #expect(left.count == 1 && left[0].text.hasPrefix("folder/.tmp-"), "\(left)")
            #expect(try plain.temporaryFiles(under: ObjectKey("fold")) == [])
            try plain.removeTemporaryFiles(left)
            #expect(try plain.temporaryFiles(under: nil) == [])
        }
    }

    @Test func `renews credentials in the middle of an upload, before they expire and after the store says so`()
        async throws
    {
        let asked = Atomic(0)
        let host = try FaultProxy { _ in
            asked.add(1, ordering: .relaxed)
            // Four minutes are too few: each request asks again.
            let expiry = ObjectStore.now().advanced(by: .seconds(240))
            return .answer(
                "200 OK",
                body: """
                    {"AccessKeyId": "apexkey", "SecretAccessKey": "apexsecret", "Expiration": "\(expiry)"}
                    """)
        }
        defer { host.stop() }
        let expired = Atomic(0)
        let proxy = try FaultProxy(to: try await ObjectStore.seaweedFS().port) { request in
            guard request.target.contains("partNumber="), expired.add(1, ordering: .relaxed).newValue == 1 else {
                return .pass
            }
            return .answer("400 Bad Request", body: "<Error><Code>ExpiredToken</Code></Error>")
        }
        defer { proxy.stop() }
        let storage = try await ObjectStore.seaweedFS().storage(
            prefix, at: proxy.endpoint,
            variables: [
                "AWS_ACCESS_KEY_ID": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(host.endpoint)/credentials",
            ]
        ).with(Self.abilities)
        let bytes = Self.content(17 << 20)
        try await onThread { [key] () throws in
            let writer = try storage.makeWriter(key)
            try writer.write(bytes.span)
            try writer.finish()
            #expect(try storage.info(key)?.size == Int64(bytes.count))
        }
        #expect(asked.load(ordering: .relaxed) >= 6)
    }

    @Test func `ends an upload that is given up`() async throws {
        let storage = try await direct()
        let bytes = Self.content(9 << 20)
        try await onThread { () throws in
            let key = ObjectKey("folder/object")
            let writer = try storage.makeWriter(key)
            try writer.write(bytes.span)
            #expect(try storage.temporaryFiles(under: nil).count == 1)
            let unfinished = try storage.unfinishedWrites(in: ObjectKey("folder"))
            #expect(unfinished.map(\.key) == (try storage.temporaryFiles(under: ObjectKey("folder"))))
            #expect(unfinished.count == 1 && unfinished.allSatisfy { $0.changedAt != nil && $0.writer == .unknown })
            writer.discard()
            #expect(try storage.temporaryFiles(under: nil) == [])
            #expect(try storage.info(key) == nil)
        }
    }

    @Test func `waits no longer for a store that is away when the program is to end`() async throws {
        let isEnding = Atomic(false)
        let proxy = try FaultProxy { request in
            if request.number == 2 { isEnding.store(true, ordering: .relaxed) }
            return .answer("503 Slow Down", body: Self.slowDown)
        }
        defer { proxy.stop() }
        var settings = S3StoreSettings()
        settings.endpoint = proxy.endpoint
        settings.allowsPlainHTTP = true
        var environment = S3Environment.of(try await ObjectStore.seaweedFS().variables)
        environment.isEnding = { isEnding.load(ordering: .relaxed) }
        // With the time that stands there it would go on for an hour.
        var patience = ObjectStore.patience
        patience.retries.budget = .seconds(3600)
        let place = try #require(S3Location(parsing: "s3://apex/\(prefix)"))
        let storage = try S3Storage(place, settings: settings, environment: environment, patience: patience)
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try storage.readAll(key, limit: 1) }
            #expect(error?.code == .repositoryUnavailable)
        }
    }

    @Test func `gives up after its time, and says what the store said`() async throws {
        var patience = ObjectStore.patience
        // Long enough for a second request, however busy the machine is.
        patience.retries.budget = .seconds(15)
        let proxy = try FaultProxy { _ in .answer("503 Slow Down", body: Self.slowDown) }
        let impatient = try await ObjectStore.seaweedFS().storage(prefix, at: proxy.endpoint, patience: patience)
        try await onThread { [key] () throws in
            let error = #expect(throws: BackupError.self) { try impatient.readAll(key, limit: 1) }
            #expect(error?.code == .repositoryUnavailable)
            #expect(error?.reason == "the store answered 503 SlowDown: Please reduce your rate.")
            #expect(proxy.requests.count > 1)
        }
    }
}
