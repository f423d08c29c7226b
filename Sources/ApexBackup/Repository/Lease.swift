package import BackupModel
import BackupStorage

/// The right to be the one backup of a kind that runs: an epoch that only one run can create, kept alive by heartbeats.
///
/// A lease is stale when no new heartbeat appeared for its expiry on the *observer's* monotonic clock; wall clocks are
/// never compared. Taking over makes the next epoch; the old holder sees it at its next heartbeat and stops.
package struct Lease: Sendable {
    /// Who holds an epoch.
    package struct Holder: Codable, Sendable {
        var run: RunID
        var host: String
        var pid: Int32
        var since: Timestamp
        /// How long the holder may go without a heartbeat: an observer with less patience must not take over.
        var expirySeconds: Double
    }

    /// The empty object of a heartbeat or release says when it was put, for people.
    private struct Mark: Codable { var at: Timestamp }

    let repository: Repository
    let kind: BackupKind
    package let epoch: Int

    /// What an observer sees of an epoch.
    package enum Observation: Sendable, Equatable {
        /// It ended, or nobody ever held it.
        case free
        /// A heartbeat came while watching.
        case alive
        /// None came for the whole expiry.
        case stale
    }

    /// Takes the lease: at once when it is free, after watching it for its expiry when it is stale.
    package static func acquire(_ kind: BackupKind, for run: RunID, in repository: Repository) async throws -> Lease {
        let newest = try newestEpoch(of: kind, in: repository)
        if newest > 0 {
            let observed = try await Lease(repository: repository, kind: kind, epoch: newest).observe()
            if observed == .alive { throw try held(newest, kind: kind, in: repository) }
        }
        let lease = Lease(repository: repository, kind: kind, epoch: newest + 1)
        let environment = repository.environment
        let holder = Holder(
            run: run, host: environment.host, pid: environment.process.pid, since: environment.clocks.wall(),
            expirySeconds: environment.leaseExpiry.seconds)
        guard try repository.put(holder, at: lease.holderKey) == .stored else {
            throw try held(newest + 1, kind: kind, in: repository)
        }
        return lease
    }

    /// Watches this epoch until a heartbeat, its release, or its expiry.
    package func observe() async throws -> Observation {
        let clocks = repository.environment.clocks
        let first = try marks()
        guard let holder = try repository.get(Holder.self, at: holderKey), !first.contains(Self.released) else {
            return .free
        }
        guard try Self.newestEpoch(of: kind, in: repository) == epoch else { return .stale }
        let patience = max(repository.environment.leaseExpiry, .seconds(min(holder.expirySeconds, 86_400)))
        repository.environment.note(
            "run \(holder.run) on \(holder.host) has not released its lease; watching for its heartbeat for up to "
                + DurationText.format(patience))
        let pause = patience / 60
        var watched = Duration.zero
        while watched < patience {
            let start = clocks.monotonic()
            try await clocks.sleep(pause)
            // Time in which this host stood still, and perhaps the holder's with it, does not count.
            watched += min(clocks.monotonic() - start, pause * 2)
            let now = try marks()
            if now.contains(Self.released) { return .free }
            if now.contains(where: { !first.contains($0) }) { return .alive }
        }
        return .stale
    }

    /// Puts heartbeats until cancelled; throws when another run has taken over, or prune has given up `run`.
    package func keepAlive(for run: RunID) async throws {
        let environment = repository.environment
        var beat = 0
        while true {
            try await environment.clocks.sleep(environment.leaseExpiry / 4)
            try requireHeld()
            // A run that gives itself up after a failed commit says itself what failed.
            if case .aborted(let mark) = try Catalogue(repository).document(of: run), mark.by != run {
                throw BackupAttempt.givenUp(run, by: mark)
            }
            beat += 1
            _ = try repository.put(Mark(at: environment.clocks.wall()), at: beatKey(beat))
            if beat > 2 { try repository.storage.remove(beatKey(beat - 2)) }
        }
    }

    /// Throws when another run has taken over.
    package func requireHeld() throws(BackupError) {
        guard try Self.newestEpoch(of: kind, in: repository) == epoch else {
            throw BackupError(
                .leaseLost, "Another run took over the lease for \(kind.rawValue) backups of '\(cluster)'.",
                reason: "no heartbeat of this run was seen for "
                    + DurationText.format(repository.environment.leaseExpiry),
                remedy: "Find out why this run was suspended, and see 'apex-backup list --runs'.")
        }
    }

    /// Ends the epoch, so that the next run need not wait.
    package func release() throws(BackupError) {
        _ = try repository.put(
            Mark(at: repository.environment.clocks.wall()), at: folder.appending(Self.released))
    }

    /// Removes what earlier epochs left; the newest stays, so that numbers never repeat.
    package static func removeOldEpochs(of kind: BackupKind, in repository: Repository) throws(BackupError) {
        let newest = try newestEpoch(of: kind, in: repository)
        for name in try repository.storage.children(of: repository.layout.leases(kind)) {
            guard let epoch = Int(name), epoch < newest else { continue }
            let folder = Lease(repository: repository, kind: kind, epoch: epoch).folder
            try repository.storage.remove(repository.storage.children(of: folder).map(folder.appending))
        }
    }

    private static let released = "released.json"
    private var cluster: String { repository.layout.cluster }

    private var folder: ObjectKey {
        let digits = String(epoch)
        return repository.layout.leases(kind).appending(
            String(repeating: "0", count: max(0, 8 - digits.count)) + digits)
    }

    private var holderKey: ObjectKey { folder.appending("holder.json") }
    private func beatKey(_ beat: Int) -> ObjectKey { folder.appending("beat-\(beat).json") }
    private func marks() throws(BackupError) -> [String] { try repository.storage.children(of: folder) }

    package static func newestEpoch(of kind: BackupKind, in repository: Repository) throws(BackupError) -> Int {
        try repository.storage.children(of: repository.layout.leases(kind)).compactMap { Int($0) }.max() ?? 0
    }

    /// The run that took the newest epoch, and whether it has released it; `nil` if nobody ever held the lease.
    static func newestHolder(
        of kind: BackupKind, in repository: Repository
    ) throws(BackupError) -> (run: RunID, isReleased: Bool)? {
        let lease = Lease(repository: repository, kind: kind, epoch: try newestEpoch(of: kind, in: repository))
        guard let holder = try repository.get(Holder.self, at: lease.holderKey) else { return nil }
        return (holder.run, try lease.marks().contains(released))
    }

    private static func held(_ epoch: Int, kind: BackupKind, in repository: Repository) throws(BackupError)
        -> BackupError
    {
        let lease = Lease(repository: repository, kind: kind, epoch: epoch)
        let holder = try repository.get(Holder.self, at: lease.holderKey)
        let who = holder.map { "run \($0.run) on \($0.host), process \($0.pid), since \($0.since.readable)" }
        return BackupError(
            .leaseHeld, "Another \(kind.rawValue) backup of '\(repository.layout.cluster)' is running.",
            reason: who.map { "\($0); its heartbeat was seen" },
            remedy: "Wait for it to end ('apex-backup list --runs'), or stop it.",
            unchanged: "No backup was taken; the running one was not touched.")
    }
}

extension Repository {
    /// Runs `body` under the lease for `kind`; a lost lease cancels it.
    package func withLease<Value: Sendable>(
        _ kind: BackupKind, for run: RunID, _ body: @escaping @Sendable (Lease) async throws -> Value
    ) async throws -> Value {
        let lease = try await Lease.acquire(kind, for: run, in: self)
        let result = await withTaskGroup(of: Result<Value?, any Error>.self) { group in
            group.addTask { await Result { try await body(lease) } }
            group.addTask { await Result { try await lease.keepAlive(for: run) }.map { nil } }
            var first: (any Error)?
            for await result in group {
                group.cancelAll()
                switch result {
                // What the body has finished counts, also when the lease was lost meanwhile.
                case .success(let value?): return Result<Value, any Error>.success(value)
                case .success(nil): continue
                // A heartbeat that was only asked to stop says nothing of what the body found.
                case .failure(let error): if first == nil || first is CancellationError { first = error }
                }
            }
            return .failure(first ?? CancellationError())
        }
        do {
            try lease.release()
        } catch {
            environment.warn("The lease could not be released; the next backup waits for it: \(error.message)")
        }
        return try result.get()
    }
}

extension Result where Failure == any Error {
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
