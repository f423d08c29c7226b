import BackupModel
import BackupStorage
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup

@Suite struct `A lease` {
    private let directory: TemporaryDirectory
    private let crafted: CraftedRepository
    private let run = RunID(at: Timestamp(microseconds: 0), chance: 7)

    init() throws {
        directory = try TemporaryDirectory()
        crafted = try CraftedRepository(at: directory.path(of: "repository"))
    }

    private func repository(
        _ clock: HandClock = HandClock(), storage: (any Storage)? = nil
    ) throws -> Repository {
        try crafted.open(storage, environment: BackupEnvironment(clocks: clock.clocks))
    }

    private func repository(expiry: Duration) throws -> Repository {
        try crafted.open(environment: BackupEnvironment(leaseExpiry: expiry))
    }

    @Test func `that nobody holds, or that was released, is taken without waiting`() async throws {
        let clock = HandClock()
        let first = try await Lease.acquire(.logical, for: run, in: repository(clock))
        #expect(first.epoch == 1)
        try first.release()
        #expect(try await Lease.acquire(.logical, for: run, in: repository(clock)).epoch == 2)
        #expect(clock.slept == .zero)
        #expect(try await Lease.acquire(.physical, for: run, in: repository(clock)).epoch == 1)
    }

    @Test(arguments: [Duration.zero, .seconds(86_400), .seconds(-86_400)])
    func `is taken over when its holder was silent for the expiry, however wall clocks stand`(step: Duration)
        async throws
    {
        _ = try await Lease.acquire(.logical, for: run, in: repository())
        let clock = HandClock()
        clock.step(by: step)
        #expect(try await Lease.acquire(.logical, for: run, in: repository(clock)).epoch == 2)
        #expect(clock.slept == .seconds(60))
    }

    @Test func `is refused as soon as its holder shows a heartbeat, and the refusal names the holder`() async throws {
        let holderClock = HandClock { number in if number > 1 { throw CancellationError() } }
        let held = try await Lease.acquire(.logical, for: run, in: repository(holderClock))
        let clock = HandClock { number in
            if number == 3 {
                await #expect(throws: CancellationError.self) { try await held.keepAlive(for: run) }
            }
        }
        let error = await #expect(throws: BackupError.self) {
            try await Lease.acquire(.logical, for: run, in: repository(clock))
        }
        #expect(error?.code == .leaseHeld)
        #expect(
            error?.reason?.contains("run \(run) on \(HostFacts.name), process \(HostFacts.currentProcess.pid)") == true)
        #expect(clock.slept == .seconds(3))
        #expect(try Lease.newestEpoch(of: .logical, in: repository()) == 1)
    }

    @Test func `that is released while it is watched is taken at once`() async throws {
        let held = try await Lease.acquire(.logical, for: run, in: repository())
        let clock = HandClock { number in if number == 2 { try held.release() } }
        #expect(try await Lease.acquire(.logical, for: run, in: repository(clock)).epoch == 2)
        #expect(clock.slept == .seconds(2))
    }

    @Test func `leaves two heartbeats at most, one every quarter of its expiry`() async throws {
        let clock = HandClock { number in if number == 11 { throw CancellationError() } }
        let repository = try repository(clock)
        let lease = try await Lease.acquire(.logical, for: run, in: repository)
        await #expect(throws: CancellationError.self) { try await lease.keepAlive(for: run) }
        let folder = repository.layout.leases(.logical).appending("00000001")
        #expect(try repository.storage.children(of: folder) == ["beat-10.json", "beat-9.json", "holder.json"])
        #expect(clock.slept == .seconds(11 * 15))
    }

    @Test func `ends a run that prune has given up meanwhile`() async throws {
        let repository = try repository()
        let lease = try await Lease.acquire(.logical, for: run, in: repository)
        let prune = RunID(at: Timestamp(microseconds: 1), chance: 1)
        let mark = AbortedRun(at: Timestamp(microseconds: 0), by: prune, reason: "no heartbeat")
        _ = try repository.put(ManifestDocument.aborted(mark), at: repository.layout.manifest(run))
        let error = await #expect(throws: BackupError.self) { try await lease.keepAlive(for: run) }
        #expect(error?.code == .backupAborted)
    }

    @Test func `leaves a run that gives itself up to say why`() async throws {
        let clock = HandClock { number in if number == 3 { throw CancellationError() } }
        let repository = try repository(clock)
        let lease = try await Lease.acquire(.logical, for: run, in: repository)
        let mark = AbortedRun(at: Timestamp(microseconds: 0), by: run, reason: "its commit failed")
        _ = try repository.put(ManifestDocument.aborted(mark), at: repository.layout.manifest(run))
        await #expect(throws: CancellationError.self) { try await lease.keepAlive(for: run) }
    }

    @Test func `that was taken over ends its old holder's run`() async throws {
        let old = try await Lease.acquire(.logical, for: run, in: repository())
        _ = try await Lease.acquire(.logical, for: run, in: repository())
        let error = await #expect(throws: BackupError.self) { try await old.keepAlive(for: run) }
        #expect(error?.code == .leaseLost)
    }

    @Test func `is had by exactly one of many that want it at once`() async throws {
        let repository = try repository(expiry: .seconds(4))
        let refused = Counter()
        let held = Counter()
        let codes = try await withThrowingTaskGroup(of: ErrorCode?.self) { group in
            for number in 0..<8 {
                group.addTask {
                    do {
                        try await repository.withLease(
                            .logical, for: RunID(at: repository.environment.clocks.wall(), chance: UInt16(number))
                        ) { _ in
                            held.increment()
                            _ = await eventually { refused.count == 7 }
                        }
                        return nil
                    } catch let error as BackupError {
                        refused.increment()
                        return error.code
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes.count { $0 == nil } == 1)
        #expect(codes.count { $0 == .leaseHeld } == 7)
        #expect(held.count == 1)
    }

    @Test func `that is lost cancels what ran under it`() async throws {
        let repository = try repository(expiry: .milliseconds(200))
        let cancelled = Counter()
        let error = await #expect(throws: BackupError.self) {
            try await repository.withLease(.logical, for: run) { lease in
                let next = repository.layout.leases(.logical).appending("00000002").appending("holder.json")
                _ = try repository.storage.putIfAbsent(next, [])
                _ = await eventually { Task.isCancelled }
                if Task.isCancelled { cancelled.increment() }
                try Task.checkCancellation()
            }
        }
        #expect(error?.code == .leaseLost)
        #expect(cancelled.count == 1)
    }

    @Test func `ends with what its run says, also when that comes after the heartbeat was asked to stop`() async throws
    {
        let stopped = Counter()
        let clock = HandClock { _ in
            _ = await eventually { Task.isCancelled }
            stopped.increment()
            throw CancellationError()
        }
        let repository = try repository(clock)
        let started = Counter()
        let task = Task {
            try await repository.withLease(.logical, for: run) { _ in
                started.increment()
                _ = await eventually { stopped.count == 1 }
                for _ in 0..<1000 { await Task.yield() }
                throw BackupError(.commitUnknown, "Nobody knows.", remedy: "Look.")
            }
        }
        #expect(await eventually { started.count == 1 })
        task.cancel()
        let error = await #expect(throws: BackupError.self) { try await task.value }
        #expect(error?.code == .commitUnknown)
    }

    @Test func `is released when what ran under it failed`() async throws {
        let repository = try repository(expiry: .seconds(60))
        await #expect(throws: CancellationError.self) {
            try await repository.withLease(.logical, for: run) { _ in throw CancellationError() }
        }
        let clock = HandClock()
        #expect(try await Lease.acquire(.logical, for: run, in: self.repository(clock)).epoch == 2)
        #expect(clock.slept == .zero)
    }

    @Test func `keeps its number for ever: old epochs go, the newest stays`() async throws {
        for _ in 0..<3 {
            let lease = try await Lease.acquire(.logical, for: run, in: repository())
            try lease.release()
        }
        let repository = try repository()
        try Lease.removeOldEpochs(of: .logical, in: repository)
        #expect(try repository.storage.children(of: repository.layout.leases(.logical)) == ["00000003"])
        #expect(try await Lease.acquire(.logical, for: run, in: repository).epoch == 4)
    }
}

private final class Counter: Sendable {
    private let value = Mutex(0)
    var count: Int { value.withLock { $0 } }
    func increment() { value.withLock { $0 += 1 } }
}
