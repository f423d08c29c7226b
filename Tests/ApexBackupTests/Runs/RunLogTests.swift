import BackupModel
import BackupStorage
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup

@Suite struct `A run record` {
    private let directory: TemporaryDirectory
    private let crafted: CraftedRepository
    private let clock = HandClock()

    init() throws {
        directory = try TemporaryDirectory()
        crafted = try CraftedRepository(at: directory.path(of: "repository"))
    }

    private func log(
        _ storage: (any Storage)? = nil, events: @escaping @Sendable (BackupEvent) -> Void = { _ in }
    ) throws -> RunLog {
        RunLog(
            repository: try crafted.open(
                storage, environment: BackupEnvironment(clocks: clock.clocks, events: events)))
    }

    private func entry() throws -> RunLog.Entry { try #require(try log().entries().last) }

    @Test func `says what succeeded, when, for how long and where`() async throws {
        let value = try await log().recorded(.verify, settings: "deep") { _ in
            try await clock.clocks.sleep(.seconds(90))
            return 42
        }
        #expect(value == 42)
        let entry = try entry()
        #expect(entry.state == .succeeded)
        #expect(entry.start?.operation == .verify)
        #expect(entry.start?.at.description == "2026-11-21T02:00:00Z")
        #expect(entry.start?.host == HostFacts.name)
        #expect(entry.start?.settings == SHA256.digest(of: Array("deep".utf8).span))
        #expect(entry.end?.seconds == 90)
        #expect(entry.end?.exitStatus == 0)
        #expect(entry.end?.error == nil)
    }

    private static let ends: [(any Error & Sendable, RunLog.Entry.State, Int32)] = [
        (BackupError(.toolFailed, "pg_dump failed.", remedy: "R"), .failed, 1),
        (BackupError(.leaseHeld, "Held.", remedy: "R"), .refused, 1),
        (BackupError(.pruneRefused, "Refused.", remedy: "R"), .refused, 1),
        (BackupError(.clockImplausible, "Refused.", remedy: "R"), .refused, 1),
        (BackupError(.wrongCluster, "Refused.", remedy: "R"), .refused, 1),
        (BackupError(.pooledConnection, "Refused.", remedy: "R"), .refused, 1),
        (BackupError(.settings, "Refused.", remedy: "R"), .refused, 78),
        (CancellationError(), .interrupted, 1), (CraftingFailure(), .failed, 1),
    ]

    @Test(arguments: ends.indices)
    func `says how an attempt ended that did not succeed, and with which error`(index: Int) async throws {
        let (error, state, status) = Self.ends[index]
        let thrown = await #expect(throws: BackupError.self) {
            try await log().recorded(.backup, kind: .logical, settings: "") { _ in throw error }
        }
        let entry = try entry()
        #expect(entry.state == state)
        #expect(entry.end?.exitStatus == status)
        #expect(entry.end?.error == thrown)
    }

    @Test func `can tell of a failure that is no error, as of a verification that found damage`() async throws {
        let problem = BackupError(.objectDamaged, "Damaged.", remedy: "R")
        func judge(_: Int) -> (RunEnd.Result, BackupError?) { (.failed, problem) }
        _ = try await log().recorded(.verify, settings: "", judge: judge) { _ in 1 }
        #expect(try entry().state == .failed)
        #expect(try entry().end?.error == problem)
    }

    @Test func `is there before the run begins, and without it nothing begins`() async throws {
        let storage = FaultyStorage(PosixStorage(root: crafted.path), failing: .publish)
        let log = try log(storage)
        let error = await #expect(throws: BackupError.self) {
            try await log.recorded(.backup, settings: "") { _ in Issue.record("it began") }
        }
        #expect(error == FaultyStorage.fault)
        #expect(try log.entries().isEmpty)
    }

    @Test func `that cannot be written keeps nobody from restoring, and is told`() async throws {
        let warnings = Mutex<[BackupEvent]>([])
        let log = try log(FaultyStorage(PosixStorage(root: crafted.path), failing: .publish)) { event in
            warnings.withLock { $0.append(event) }
        }
        #expect(try await log.recorded(.restore, settings: "", duty: .bestEffort) { _ in 1 } == 1)
        #expect(warnings.withLock { $0.count } == 1)
    }

    @Test func `of two that draw one name in the same second is two records`() async throws {
        let draws = Atomic<UInt16>(0)
        // The second run draws 7 twice, and then 9.
        let chances: [UInt16] = [7, 7, 7, 9]
        let environment = BackupEnvironment(
            clocks: clock.clocks,
            chance: { chances[min(3, Int(draws.wrappingAdd(1, ordering: .relaxed).newValue))] })
        let log = RunLog(repository: try crafted.open(environment: environment))
        let first = try await log.recorded(.verify, settings: "") { $0 }
        let second = try await log.recorded(.backup, settings: "") { $0 }
        #expect(first.text.hasSuffix("-0007") && second.text.hasSuffix("-0009"))
        let entries = try log.entries()
        #expect(entries.map(\.id) == [first, second])
        #expect(entries.map { $0.start?.operation } == [.verify, .backup])
        #expect(entries.allSatisfy { $0.state == .succeeded })
    }

    private func start(
        _ operation: Operation = .backup, host: String, gone: Bool, chance: UInt16,
        _ change: (inout ProcessIdentity) -> Void = { _ in }
    ) throws -> RunID {
        let repository = try log().repository
        let id = RunID(at: clock.now, chance: chance)
        var process = HostFacts.currentProcess
        if gone { process.startTicks += 1 }
        change(&process)
        _ = try repository.put(
            RunStart(
                id: id, operation: operation, kind: nil, at: clock.now, host: host, process: process,
                toolVersion: "0", settings: SHA256.digest(of: [UInt8]().span)),
            at: repository.layout.runStart(id))
        return id
    }

    @Test func `without an end is one of a running process, or of one that was killed`() throws {
        _ = try start(host: HostFacts.name, gone: false, chance: 1)
        #expect(try entry().state == .running)
        #expect(try entry().problem == nil)
        _ = try start(host: HostFacts.name, gone: true, chance: 2)
        #expect(try entry().state == .interrupted)
        #expect(try entry().problem?.contains("it was killed") == true)
        _ = try start(host: "another-host", gone: true, chance: 3)
        #expect(try entry().state == .running)
        #expect(try entry().problem?.contains("on its host it may be running") == true)
        // What this process cannot see is not known to be gone.
        _ = try start(host: HostFacts.name, gone: true, chance: 4) { $0.namespace? += 1 }
        #expect(try entry().state == .running)
        _ = try start(host: HostFacts.name, gone: true, chance: 5) { $0.namespace = nil }
        #expect(try entry().state == .running)
        _ = try start(host: HostFacts.name, gone: false, chance: 6) { $0.boot = "another" }
        #expect(try entry().state == .interrupted)
    }

    @Test(arguments: ["another-host", HostFacts.name])
    func `of a backup that cannot be seen from here ends as interrupted once its lease is another's`(
        host: String
    ) async throws {
        let repository = try log().repository
        let id = try start(host: host, gone: true, chance: 1) { $0.namespace = nil }
        let lease = try await Lease.acquire(.logical, for: id, in: repository)
        #expect(try entry().state == .running)
        clock.step(by: .seconds(3600))
        let next = RunID(at: clock.now, chance: 2)
        let other = try await Lease.acquire(.logical, for: next, in: repository)
        #expect(other.epoch == lease.epoch + 1)
        #expect(try entry().state == .interrupted)
    }

    @Test func `of a backup that waits for the lease of a later one is running`() async throws {
        let repository = try log().repository
        _ = try start(host: HostFacts.name, gone: false, chance: 1)
        _ = try await Lease.acquire(.logical, for: RunID(at: clock.now, chance: 2), in: repository)
        #expect(try entry().state == .running)
    }

    @Test func `that is damaged is shown as unreadable, and hides no other`() async throws {
        _ = try await log().recorded(.verify, settings: "") { _ in 1 }
        let id = try entry().id
        clock.step(by: .seconds(60))
        _ = try await log().recorded(.prune, settings: "") { _ in 1 }
        let name = "repository/clusters/apex/runs/\(id)/end.json"
        try directory.write(Array(try directory.read(name).dropLast(5)), to: name)
        #expect(try log().entries().map(\.state) == [.unreadable, .succeeded])
    }
}
