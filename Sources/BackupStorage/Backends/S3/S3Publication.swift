internal import BackupModel
internal import Dispatch
internal import NIOHTTP1

/// Gives an object its name if nothing has it: of several writers exactly one succeeds.
///
/// A store that writes conditionally decides that itself. For any other there are claims. A writer puts an object of
/// its own into `.claims/<key>/` and then looks who else has one there. Of two writers at least one sees the other's,
/// as each looks after it has put: so at most one is alone, and only who is alone looks whether the name is free,
/// writes, and removes its claim. Of several the one with the oldest claim stays, the others withdraw and look again.
/// A claim whose owner died is removed when it is older than any writer holds one.
struct S3Publication {
    private let key: ObjectKey
    private let storage: S3Storage
    /// Marks what this writer writes, so that it knows its own work when an answer was lost.
    private let mark = String(UInt64.random(in: .min ... .max), radix: 16)
    /// For how long attempts may go on to write.
    ///
    /// What is written later could replace what another writer has put, who took the claim for left. A request that was
    /// signed in time and arrives as late as that is refused by the store as too old.
    private(set) var budget: Duration?

    private static let markHeader = "x-amz-meta-apex-writer"
    private static let claims = ObjectKey(".claims")
    /// How old the claim of a dead writer becomes.
    private static let claimLifetime: Duration = .seconds(15 * 60)
    /// How long a writer that is alone may go on to believe so.
    private static let longestHold: Duration = .seconds(5 * 60)
    /// How often a name is tried that is taken, and by no object.
    private static let attemptsBesideNothing = 3
    /// How long another writer is waited for.
    private static let patience: Duration = .seconds(90)

    init(of key: ObjectKey, in storage: S3Storage) {
        self.key = key
        self.storage = storage
    }

    /// What every object is written with.
    var headers: [(name: String, value: String)] {
        var headers = [(name: "content-type", value: "application/octet-stream"), (Self.markHeader, mark)]
        if let storageClass = storage.settings.storageClass { headers.append(("x-amz-storage-class", storageClass)) }
        if let encryption = storage.settings.serverSideEncryption {
            let parts = encryption.split(separator: ":", maxSplits: 2)
            headers.append(("x-amz-server-side-encryption", parts.prefix(2).joined(separator: ":")))
            if parts.count == 3 {
                headers.append(("x-amz-server-side-encryption-aws-kms-key-id", String(parts[2])))
            }
        }
        return headers
    }

    /// Calls `write` to publish the object, with the headers that make it conditional.
    func publish(
        _ write: (S3Publication, _ condition: [(name: String, value: String)]) throws(S3Failure) -> Void
    ) throws(BackupError) -> PutOutcome {
        do throws(S3Failure) {
            guard storage.abilities.conditionalWrites else { return try publishByClaim(write) }
            return try attempt(write, [("if-none-match", "*")])
        } catch {
            throw error.error(storage.failed(to: "written", key))
        }
    }

    /// An answer that says "taken", or that the upload is gone, may be to a repetition of what succeeded.
    private func attempt(
        _ write: (S3Publication, [(name: String, value: String)]) throws(S3Failure) -> Void,
        _ condition: [(name: String, value: String)]
    ) throws(S3Failure) -> PutOutcome {
        for _ in 0..<Self.attemptsBesideNothing {
            do throws(S3Failure) {
                try write(self, condition)
                return .stored
            } catch {
                guard error.kind == .taken || error.kind == .uploadGone else { throw error }
                if let there = try storage.head(key) {
                    return there.headers.first(name: Self.markHeader) == mark ? .stored : .present
                }
                guard error.kind == .taken else { throw error }
            }
            // What was there may have been removed meanwhile.
            pause(upTo: 400)
        }
        throw .other(
            BackupError(
                .storageFailed, storage.failed(to: "written", key),
                reason: "the store says that its name is taken, and has no such object: a store of files takes the "
                    + "name of a folder for taken, be it empty or not",
                remedy: "Remove what has that name in the store, then run again.",
                unchanged: "Nothing was stored under that name."))
    }

    private func publishByClaim(
        _ write: (S3Publication, [(name: String, value: String)]) throws(S3Failure) -> Void
    ) throws(S3Failure) -> PutOutcome {
        let clock = storage.client.environment.monotonic
        let start = clock()
        while clock() - start < Self.patience {
            if try storage.head(key) != nil { return .present }
            let claimed = clock()
            guard let claim = try claim(until: start + Self.patience) else { continue }
            // A request that was not answered may still arrive: the claim keeps the name until none can.
            var isOver = true
            defer { if isOver { release(claim) } }
            if try storage.head(key) != nil { return .present }
            var held = self
            held.budget = Self.longestHold - (clock() - claimed)
            guard let budget = held.budget, budget > .zero else { continue }
            do throws(S3Failure) {
                return try held.attempt(write, [])
            } catch {
                if case .connection = error { isOver = false }
                throw error
            }
        }
        throw .other(
            BackupError(
                .repositoryUnavailable, storage.failed(to: "written", key),
                reason: "another writer has claimed its name for longer than \(Self.patience), or has died meanwhile",
                remedy: "Run again: a claim that is left is removed after \(Self.claimLifetime)."))
    }

    private var folder: ObjectKey { Self.claims.appending(key.text) }

    /// A claim of ours beside which there is no other, or `nil` after another one was met that is older.
    private func claim(until end: Duration) throws(S3Failure) -> ObjectKey? {
        let time = String(UInt64(bitPattern: storage.client.storeTime.microseconds), radix: 16)
        let name = "\(String(repeating: "0", count: 16 - time.count))\(time)-\(mark)"
        let mine = folder.appending(name)
        try storage.put(mine, .empty, headers)
        while storage.client.environment.monotonic() < end {
            let others = try claims().filter { $0 != name }
            guard let oldest = others.min() else { return mine }
            if oldest < name {
                release(mine)
                try removeIfLeft(oldest)
                pause(upTo: 400)
                return nil
            }
            pause(upTo: 100)
        }
        release(mine)
        return nil
    }

    private func claims() throws(S3Failure) -> [String] {
        do {
            var names: [String] = []
            let path = "\(storage.place.name(of: folder))/"
            try storage.forEachPage(under: path, delimited: false) { page in
                names += page.objects.map { String($0.name.dropFirst(path.count)) }
            }
            return names.filter { !$0.isEmpty && !$0.contains("/") }
        } catch {
            throw .other(error)
        }
    }

    private func removeIfLeft(_ name: String) throws(S3Failure) {
        guard let made = Int64(name.prefix { $0 != "-" }, radix: 16),
            storage.client.storeTime.since(Timestamp(microseconds: made)) > Self.claimLifetime
        else { return }
        release(folder.appending(name))
    }

    /// What stays of a claim that cannot be removed now is removed when it is met.
    private func release(_ claim: ObjectKey) {
        _ = try? storage.client.send(S3Request("DELETE", storage.place.name(of: claim)), within: .seconds(10))
    }

    private func pause(upTo milliseconds: Int) {
        _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(Int.random(in: 20...milliseconds)))
    }
}
