import BackupModel
import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import BackupStorage

/// A prefix that no other test has.
private func newPrefix() -> String { "test-\(String(UInt64.random(in: .min ... .max), radix: 36))" }

/// What `action` ends with.
private func failure(_ action: () throws(BackupError) -> Void) -> BackupError? {
    do { try action() } catch { return error }
    return nil
}

@Suite(.needsObjectStores, .timeLimit(.minutes(20))) struct `Keeping the contract in an object store` {
    @Test func `SeaweedFS keeps every promise by its own conditional writes`() async throws {
        let storage = try await ObjectStore.seaweedFS().storage(newPrefix())
        try await onThread { () throws in
            let abilities = try #require(try storage.findAbilities())
            #expect(abilities.conditionalWrites && abilities.checksums)
            #expect(try storage.children(of: nil) == [], "what was tried is removed, or hidden")
            let used = storage.using(abilities)
            #expect(storageContractViolations(used, under: ObjectKey("contract/suite")) == [])
            #expect(try used.children(of: nil) == [])
            #expect(try used.temporaryFiles(under: nil) == [])
        }
    }

    @Test(arguments: [false, true])
    func `a bucket that keeps versions keeps every promise, also where they are locked`(isLocked: Bool) async throws {
        let store = try await ObjectStore.seaweedFS()
        let bucket = newPrefix()
        if isLocked { try await store.makeLockedBucket(bucket) } else { try await store.makeVersionedBucket(bucket) }
        let storage = try store.storage(newPrefix(), bucket: bucket)
        try await onThread { () throws in
            let abilities = try #require(try storage.findAbilities())
            #expect(abilities.conditionalWrites && abilities.checksums)
            let used = storage.using(abilities)
            #expect(storageContractViolations(used, under: ObjectKey("contract")) == [])
            #expect(try used.children(of: nil) == [], "what was removed is not seen any more")
        }
    }

    @Test(.needsCeph)
    func `Ceph, which ignores the condition of an upload, keeps every promise by claims`() async throws {
        let storage = try await ObjectStore.ceph().storage(newPrefix())
        try await onThread { () throws in
            let abilities = try #require(try storage.findAbilities())
            #expect(!abilities.conditionalWrites)
            #expect(storageContractViolations(storage.using(abilities), under: ObjectKey("contract")) == [])
            #expect(try storage.using(abilities).children(of: nil) == [])
        }
    }

    @Test(.needsCeph) func `Ceph refuses a body that is not the one that was signed`() async throws {
        let storage = try await ObjectStore.ceph().storage(newPrefix())
        try await onThread { () throws in
            var request = S3Request("PUT", storage.place.name(of: ObjectKey("object")))
            request.body = S3Body(S3Body([1]).buffer, digest: S3Body([2]).digest)
            let code: String?
            do throws(S3Failure) {
                _ = try storage.client.answer(of: storage.client.begin(request), to: request)
                code = nil
            } catch {
                guard case .refused(let refusal) = error else { throw error }
                code = refusal.document.code
            }
            #expect(code == "XAmzContentSHA256Mismatch")
            #expect(try storage.info(ObjectKey("object")) == nil)
        }
    }

    @Test func `rclone, which would overwrite, keeps every promise by claims`() async throws {
        let storage = try await ObjectStore.rclone().storage(newPrefix())
        try await onThread { () throws in
            let abilities = try #require(try storage.findAbilities())
            #expect(!abilities.conditionalWrites && !abilities.checksums)
            #expect(!abilities.orderedListing, "the folder of an upload is shown that has no object yet")
            #expect(try storage.temporaryFiles(under: nil) == [])
            #expect(storageContractViolations(storage.using(abilities), under: ObjectKey("contract")) == [])
        }
    }

    @Test func `a store that is taken for one with conditional writes is found out`() async throws {
        let storage = try await ObjectStore.rclone().storage(newPrefix())
        try await onThread { () throws in
            let wrong = StoreAbilities(conditionalWrites: true, checksums: false, orderedListing: false)
            let violations = storageContractViolations(storage.using(wrong), under: ObjectKey("contract"))
            #expect(violations.contains { $0.hasPrefix("put if absent: ") }, "\(violations)")
        }
    }

    @Test func `claims keep writers apart where the store would too`() async throws {
        let storage = try await ObjectStore.seaweedFS().storage(newPrefix())
        try await onThread { () throws in
            let key = ObjectKey("claimed")
            #expect(try storage.putIfAbsent(key, [1]) == .stored)
            #expect(try storage.putIfAbsent(key, [2]) == .present)
            #expect(try storage.readAll(key, limit: 1) == [1])
            var names: [String] = []
            try storage.forEachPage(under: storage.place.folder, delimited: false) { page in
                names += page.objects.map(\.name)
            }
            #expect(names == [storage.place.name(of: key)], "no claim stays")
        }
    }
}

@Suite(.needsObjectStores, .timeLimit(.minutes(20))) struct `Storing objects in a bucket` {
    private let key = ObjectKey("clusters/apex/object")

    /// SeaweedFS as it was found, below a prefix of its own.
    private func seaweedFS(
        _ prefix: String = newPrefix(), at endpoint: String? = nil, variables: [String: String] = [:],
        wall: @escaping @Sendable () -> Timestamp = ObjectStore.now
    ) async throws -> S3Storage {
        try await ObjectStore.seaweedFS().storage(prefix, at: endpoint, variables: variables, wall: wall).with(
            StoreAbilities(conditionalWrites: true, checksums: true, orderedListing: false))
    }

    @Test func `pages through more objects than one answer lists, and removes them in batches`() async throws {
        let storage = try await seaweedFS()
        try await onThread { () throws in
            let folder = ObjectKey("many")
            let keys = (0..<1100).map { folder.appending("n\(10_000 + $0)") }
            let workers = 8
            let failures = Failures()
            DispatchQueue.concurrentPerform(iterations: workers) { worker in
                for index in stride(from: worker, to: keys.count, by: workers) {
                    do { _ = try storage.putIfAbsent(keys[index], [1]) } catch { failures.add("\(error)") }
                }
            }
            #expect(failures.texts == [])
            var listed: [ObjectKey] = []
            try storage.list(under: folder) { listed.append($0.key) }
            #expect(listed == keys)
            #expect(try storage.children(of: folder).count == keys.count)
            try storage.remove(keys)
            #expect(try storage.children(of: folder) == [])
        }
    }

    @Test func `tells each operation what is wrong, and asks only once`() async throws {
        let store = try await ObjectStore.seaweedFS()
        let proxy = try FaultProxy(to: store.port) { _ in .pass }
        let wrongSecret = try await seaweedFS(at: proxy.endpoint, variables: ["AWS_SECRET_ACCESS_KEY": "wr0ng"])
        let stranger = try await seaweedFS(at: proxy.endpoint, variables: ["AWS_ACCESS_KEY_ID": "nobody"])
        let noBucket = try store.storage("p", bucket: "no-such-bucket", at: proxy.endpoint)
        try await onThread { [key] () throws in
            for (storage, code) in [
                (wrongSecret, ErrorCode.authenticationFailed), (stranger, .authenticationFailed),
                (noBucket, .repositoryMissing),
            ] {
                let errors: [BackupError?] = [
                    failure { () throws(BackupError) in _ = try storage.info(key) },
                    failure { () throws(BackupError) in try storage.read(key, into: DiscardSink()) },
                    failure { () throws(BackupError) in _ = try storage.readAll(key, limit: 10) },
                    failure { () throws(BackupError) in _ = try storage.children(of: nil) },
                    failure { () throws(BackupError) in try storage.list(under: key) { _ in } },
                    failure { () throws(BackupError) in _ = try storage.putIfAbsent(key, [1]) },
                ]
                #expect(errors.map { $0?.code } == Array(repeating: code, count: errors.count), "\(errors)")
                #expect(errors.allSatisfy { $0.map { "\($0)".contains("wr0ng") } == false })
            }
            let before = proxy.requests.count
            let error = failure { () throws(BackupError) in _ = try wrongSecret.readAll(key, limit: 10) }
            #expect(proxy.requests.count == before + 1)
            #expect(error?.message.contains("clusters/apex/object") == true)
            #expect(error?.message.contains("s3://apex/") == true)
            #expect(error?.reason?.hasPrefix("the store answered 403 SignatureDoesNotMatch") == true)
        }
    }

    @Test func `says that a user who may only read may not write`() async throws {
        let prefix = newPrefix()
        let writer = try await seaweedFS(prefix)
        let reader = try await seaweedFS(
            prefix, variables: ["AWS_ACCESS_KEY_ID": "readkey", "AWS_SECRET_ACCESS_KEY": "readsecret"])
        try await onThread { [key] () throws in
            _ = try writer.putIfAbsent(key, [1])
            #expect(try reader.readAll(key, limit: 1) == [1])
            let put = failure { () throws(BackupError) in _ = try reader.putIfAbsent(ObjectKey("other"), [1]) }
            #expect(put?.code == .permissionDenied)
            let removal = failure { () throws(BackupError) in try reader.remove([key]) }
            #expect(removal?.code == .permissionDenied)
        }
    }

    @Test func `says what is in the way where the store takes a folder's name for taken`() async throws {
        let storage = try await seaweedFS()
        try await onThread { () throws in
            let folder = ObjectKey("folder")
            // One that is empty stays for minutes, too.
            #expect(try storage.putIfAbsent(folder.appending("object"), [1]) == .stored)
            #expect(try storage.info(folder) == nil)
            let error = failure { () throws(BackupError) in _ = try storage.putIfAbsent(folder, [1]) }
            #expect(error?.code == .storageFailed)
            #expect(error?.reason?.contains("the name of a folder") == true)
            #expect(error?.message.contains("'folder'") == true)
        }
    }

    @Test func `trusts the certificate that it is told to trust, and no other`() async throws {
        let store = try await ObjectStore.seaweedFS()
        let prefix = newPrefix()
        let trusting = try store.storage(prefix, at: store.secureEndpoint, caFile: store.caFile)
        let doubting = try store.storage(prefix, at: store.secureEndpoint)
        try await onThread { [key] () throws in
            #expect(try trusting.putIfAbsent(key, [1]) == .stored)
            let error = failure { () throws(BackupError) in _ = try doubting.readAll(key, limit: 1) }
            #expect(error?.code == .repositoryUnavailable)
            #expect(error?.reason == "the certificate of the store is not one of those that are trusted")
        }
        let missing = #expect(throws: BackupError.self) {
            try store.storage(prefix, at: store.secureEndpoint, caFile: "/no/such/file")
        }
        #expect(missing?.code == .settings)
    }

    @Test func `trusts it for who hands out credentials, too`() async throws {
        let store = try await ObjectStore.seaweedFS()
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        try directory.write(Array("token".utf8), to: "token")
        // It is no STS, and says so: to whom it is trusted.
        let variables = [
            "AWS_WEB_IDENTITY_TOKEN_FILE": directory.path(of: "token"), "AWS_ROLE_ARN": "arn",
            "AWS_ENDPOINT_URL_STS": try #require(store.secureEndpoint), "AWS_ACCESS_KEY_ID": "",
        ]
        let trusting = try store.storage(newPrefix(), variables: variables, caFile: store.caFile)
        let doubting = try store.storage(newPrefix(), variables: variables)
        try await onThread { [key] () throws in
            let answered = failure { () throws(BackupError) in _ = try trusting.readAll(key, limit: 1) }
            #expect(answered?.code == .authenticationFailed)
            #expect(answered?.reason?.hasPrefix("it answered 4") == true, "\(answered?.reason ?? "")")
            let refused = failure { () throws(BackupError) in _ = try doubting.readAll(key, limit: 1) }
            #expect(refused?.code == .authenticationFailed)
            #expect(refused?.reason?.contains("certificate") == true, "\(refused?.reason ?? "")")
        }
    }

    @Test func `signs with the store's time when this host's clock is wrong`() async throws {
        let store = try await ObjectStore.seaweedFS()
        let proxy = try FaultProxy(to: store.port) { _ in .pass }
        let storage = try await seaweedFS(
            at: proxy.endpoint, wall: { ObjectStore.now().advanced(by: .seconds(-7200)) })
        try await onThread { [key] () throws in
            #expect(try storage.putIfAbsent(key, [1]) == .stored)
            #expect(try storage.readAll(key, limit: 1) == [1])
            #expect(proxy.requests.count == 3, "one request is sent twice, and no later one")
        }
    }

    @Test func `tells how old an unfinished upload is, by this host's clock`() async throws {
        let wall: @Sendable () -> Timestamp = { ObjectStore.now().advanced(by: .seconds(-7200)) }
        let storage = try await seaweedFS(wall: wall)
        try await onThread { () throws in
            let folder = ObjectKey("folder")
            let writer = try storage.makeWriter(folder.appending("object"))
            // With the third part the first one has arrived.
            try writer.write([UInt8](repeating: 7, count: 25 << 20).span)
            let found = try storage.unfinishedWrites(in: folder)
            #expect(found.count == 1 && found.allSatisfy { $0.size >= 8 << 20 }, "\(found)")
            let changed = try #require(found.first?.changedAt)
            #expect(abs(wall().since(changed).seconds) < 1800)
            #expect(found.allSatisfy { !$0.isAbandoned(at: wall()) })
            #expect(found.allSatisfy { $0.isAbandoned(at: wall().advanced(by: .seconds(90_000))) })
            #expect(try storage.unfinishedWrites(in: ObjectKey("fold")) == [])
            writer.discard()
            #expect(try storage.unfinishedWrites(in: folder) == [])
        }
    }

    @Test func `shows nothing of a stream that is no longer than a segment`() async throws {
        let storage = try await seaweedFS()
        try await onThread { () throws in
            let folder = ObjectKey("folder")
            for (size, begun) in [(17 << 20, 0), (25 << 20, 24 << 20)] {
                let key = folder.appending("\(size)")
                let bytes = [UInt8](repeating: 7, count: size)
                let writer = try storage.makeStreamWriter(key)
                try writer.write(bytes.span)
                let found = try storage.unfinishedWrites(in: folder)
                #expect(found.map(\.size) == (begun == 0 ? [] : [Int64(begun)]))
                try writer.finish()
                let read = DigestSink()
                try storage.read(key, into: read)
                try read.finish()
                #expect(read.digest == SHA256.digest(of: bytes.span))
            }
        }
    }

    @Test func `tells how much may still be stored where a capacity is set`() async throws {
        let store = try await ObjectStore.seaweedFS()
        var settings = S3StoreSettings()
        settings.endpoint = store.endpoint
        settings.allowsPlainHTTP = true
        settings.capacity = 1000
        let place = try #require(S3Location(parsing: "s3://apex/\(newPrefix())"))
        let storage = try S3Storage(
            place, settings: settings, environment: .of(store.variables), patience: ObjectStore.patience)
        try await onThread { [key] () throws in
            #expect(try storage.freeBytes() == 1000)
            _ = try storage.putIfAbsent(key, [UInt8](repeating: 1, count: 100))
            #expect(try storage.freeBytes() == 900)
        }
        #expect(try await seaweedFS().freeBytes() == nil)
    }
}
