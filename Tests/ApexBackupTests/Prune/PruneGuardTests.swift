import BackupModel
import BackupStorage
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup

extension Duration {
    fileprivate static func days(_ days: Double) -> Duration { .seconds(Int64(days * 86_400)) }
}

@Suite struct `Prune by a clock` {
    @Test(arguments: [(-1.0, true), (2, false), (8, true), (400, true)])
    func `refuses one that is behind the newest backup or implausibly ahead`(days: Double, isRefused: Bool) throws {
        let site = try PruneSite()
        _ = try site.addBackups([3, 2, 1, 0])
        site.clock.step(by: .days(days))
        let policy = RetentionPolicy(minimum: 1, days: 1)
        let before = try site.directory.contents()
        if isRefused {
            let error = #expect(throws: BackupError.self) { try site.prune(policy).plan() }
            #expect(error?.code == .clockImplausible)
            #expect(error?.unchanged == "No backup was removed.")
            #expect(try site.prune(policy, trustsClock: true).plan().retention.kept.isEmpty == false)
        } else {
            #expect(try site.prune(policy).plan().retention.expired.count == 3)
        }
        #expect(try site.directory.contents() == before)
    }

    @Test func `believes a pause once it was told that the clock is right, and judges the next one anew`() async throws
    {
        let site = try PruneSite()
        let ids = try site.addBackups([20, 19, 18, 17, 16])
        let policy = RetentionPolicy(minimum: 1, days: 30)
        // A dry run tells nobody anything.
        _ = try site.prune(policy, trustsClock: true).plan()
        let doubted = #expect(throws: BackupError.self) { try site.prune(policy).plan() }
        #expect(doubted?.code == .clockImplausible)
        let plan = try await site.prune(policy, trustsClock: true).recorded().plan
        #expect(plan.retention.kept.count == ids.count)
        site.clock.step(by: .seconds(60))
        _ = try site.addBackups([0])
        #expect(try await site.prune(policy).recorded().plan.retention.kept.count == ids.count + 1)
        site.clock.step(by: .days(9))
        let error = #expect(throws: BackupError.self) { try site.prune(policy).plan() }
        #expect(error?.code == .clockImplausible)
    }

    @Test func `is not deceived when the clock jumped before the newest backups`() async throws {
        let site = try PruneSite()
        _ = try site.addBackups([5, 4, 3, 2, 1])
        let policy = RetentionPolicy(minimum: 1, days: 30)
        _ = try await site.prune(policy).recorded()
        site.clock.step(by: .days(365))
        for _ in 0..<4 {
            _ = try site.addBackups([0])
            let error = try await requireFailure { try await site.prune(policy).recorded() }
            #expect(error.code == .clockImplausible)
            site.clock.step(by: .days(1))
        }
        #expect(try site.listed().count == 9)
    }

    @Test func `records the refusal of an applied prune`() async throws {
        let site = try PruneSite()
        _ = try site.addBackups([1, 0])
        site.clock.step(by: .days(-1))
        await #expect(throws: BackupError.self) { try await site.prune(RetentionPolicy(days: 1)).recorded() }
        let entry = try #require(try RunLog(repository: site.repository()).entries().last)
        #expect(entry.state == .refused)
        #expect(entry.end?.error?.code == .clockImplausible)
    }
}

@Suite struct `Prune beside others` {
    private let site: PruneSite

    init() throws { site = try PruneSite() }

    @Test func `gives way to a hold that comes while it decides`() async throws {
        let ids = try site.addBackups([30, 20, 1])
        let opened = try site.repository()
        var environment = opened.environment
        let held = try #require(ids[30])
        let isDone = Mutex(false)
        // The time of the tombstone is asked after the last look for a hold.
        environment.clocks.wall = { [clock = site.clock] in
            let isFirst = isDone.withLock { done in
                defer { done = true }
                return !done
            }
            if isFirst {
                let hold = BackupFact(kind: .hold, at: clock.now, reason: "audit")
                #expect(throws: Never.self) { try opened.record(hold, of: held) }
            }
            return clock.now
        }
        let plan = try site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).plan()
        let repository = Repository(
            storage: opened.storage, layout: opened.layout, marker: opened.marker, environment: environment)
        let prune = RepositoryPrune(
            repository: repository, policy: RetentionPolicy(minimum: 1, keepLast: 1), trustsClock: false)
        let result = try await prune.apply(plan, as: RunID(at: site.clock.now, chance: 7))
        #expect(result.removed == [ids[20]])
        #expect(try site.listed() == [held, ids[1]])
        #expect(try Catalogue(site.repository()).entry(held)?.hold?.reason == "audit")
        #expect(try site.directory.contents().contains { $0.contains("-tombstone-") } == false)
        // A removal that was broken off before it took anything gives way, too.
        try site.record(.tombstone, of: held, reason: "too old")
        #expect(try await site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).recorded().result.removed.isEmpty)
        #expect(try site.listed() == [held, ids[1]])
    }

    @Test func `leaves it to another prune to take its mark of removal back`() async throws {
        let ids = try site.addBackups([30, 1])
        let held = try #require(ids[30])
        let repository = try site.repository()
        let run = RunID(at: site.clock.now, chance: 9)
        try begin(run)
        let policy = RetentionPolicy(minimum: 1, keepLast: 1)
        // The other one looked for a hold before there was one, and goes on to remove.
        let mark = BackupFact(kind: .tombstone, at: site.clock.now, run: run, reason: "too old")
        try repository.record(mark, of: held)
        let hold = BackupFact(kind: .hold, at: site.clock.now.advanced(by: .seconds(1)), reason: "audit")
        _ = try repository.put(hold, at: repository.layout.fact(held, hold, chance: 1))
        #expect(try await site.prune(policy).recorded().result.removed.isEmpty)
        #expect(try Catalogue(repository).entry(held)?.isTombstoned == true)
        #expect(try site.listed() == [ids[1]])
        // It was killed: what it began and took nothing of is kept.
        try repository.storage.remove(repository.layout.runStart(run))
        try begin(run, gone: true)
        #expect(try await site.prune(policy).recorded().result.removed.isEmpty)
        #expect(try site.listed() == [held, ids[1]])
    }

    /// Records the start of another prune.
    private func begin(_ run: RunID, host: String = HostFacts.name, gone: Bool = false) throws {
        let repository = try site.repository()
        var process = HostFacts.currentProcess
        if gone { process.startTicks += 1 }
        _ = try repository.put(
            RunStart(
                id: run, operation: .prune, kind: nil, at: site.clock.now, host: host, process: process,
                toolVersion: "0", settings: SHA256.digest(of: [UInt8]().span)),
            at: repository.layout.runStart(run))
    }

    @Test(arguments: [false, true])
    func `takes the mark of one that cannot be seen back from a held backup after a day`(
        recordIsDamaged: Bool
    ) async throws {
        let ids = try site.addBackups([30, 1])
        let held = try #require(ids[30])
        let repository = try site.repository()
        let run = RunID(at: site.clock.now, chance: 9)
        try begin(run, host: "another-host")
        if recordIsDamaged {
            try site.directory.write([1], to: "repository/clusters/apex/runs/\(run)/start.json")
        }
        let mark = BackupFact(kind: .tombstone, at: site.clock.now, run: run, reason: "too old")
        try repository.record(mark, of: held)
        let hold = BackupFact(kind: .hold, at: site.clock.now.advanced(by: .seconds(1)), reason: "audit")
        _ = try repository.put(hold, at: repository.layout.fact(held, hold, chance: 1))
        let policy = RetentionPolicy(minimum: 1, keepLast: 1)
        site.clock.step(by: .days(0.99))
        #expect(try await site.prune(policy).recorded().result.removed.isEmpty)
        #expect(try site.listed() == [ids[1]])
        site.clock.step(by: .days(0.01))
        #expect(try await site.prune(policy).recorded().result.removed.isEmpty)
        #expect(try site.listed() == [held, ids[1]])
        #expect(try Catalogue(repository).entry(held)?.hold?.reason == "audit")
    }

    @Test func `removes nothing once its mark was taken back`() async throws {
        let ids = try site.addBackups([30, 1])
        let plan = try site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).plan()
        let storage = ForgetfulStorage(storage: try site.repository().storage)
        let prune = try site.prune(RetentionPolicy(minimum: 1, keepLast: 1), storage: storage)
        #expect(try await prune.apply(plan, as: RunID(at: site.clock.now, chance: 7)).removed.isEmpty)
        #expect(try site.listed() == [ids[30], ids[1]])
        let kept = try #require(ids[30])
        #expect(try site.crafted.objects(of: kept) == ["RESTORE.md", "manifest.json"])
    }

    @Test(arguments: ["tombstone", "hold"])
    func `leaves a backup alone of which a fact cannot be read, says what to do, and removes the others`(
        kind: String
    ) async throws {
        let ids = try site.addBackups([30, 20, 1])
        let id = try #require(ids[30])
        if kind == "tombstone" { try site.record(.hold, of: id, reason: "audit") }
        // A removal was broken off before it took anything.
        try site.record(.tombstone, of: id, reason: "too old")
        let name = "clusters/apex/backups/\(id)/facts/20261121T020000Z-\(kind)-0001.json"
        try site.directory.write([1], to: "repository/\(name)")
        let warnings = Mutex<[String]>([])
        let environment = BackupEnvironment(
            clocks: site.clock.clocks,
            events: { event in
                if case .warning(let text) = event { warnings.withLock { $0.append(text) } }
            })
        let prune = RepositoryPrune(
            repository: try site.crafted.open(environment: environment),
            policy: RetentionPolicy(minimum: 1, keepLast: 1), trustsClock: false)
        #expect(try await prune.recorded().result.removed == [ids[20]])
        #expect(try site.listed() == [id, ids[1]])
        #expect(
            warnings.withLock { $0 }.contains {
                $0.contains("'\(name)' is damaged") && $0.contains("Backup \(id) stays")
                    && $0.hasSuffix("put it back from a copy of the repository, or remove it.")
            })
        #expect(try await prune.recorded().result.removed.isEmpty)
        #expect(try site.listed() == [id, ids[1]])
    }

    @Test func `leaves nothing for whoever would record a fact of a backup that it has removed`() async throws {
        let ids = try site.addBackups([30, 1])
        let gone = try #require(ids[30])
        _ = try await site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).recorded()
        let error = #expect(throws: BackupError.self) { try site.record(.verified, of: gone) }
        #expect(error?.code == .backupMissing)
        #expect(try Catalogue(site.repository()).entry(gone) == nil)
    }

    @Test(arguments: [false, true])
    func `refuses to go on when the backup that was to stay is not what it was`(isGone: Bool) async throws {
        let ids = try site.addBackups([30, 20, 1])
        try site.record(.verified, of: ids[20])
        try site.record(.verified, of: ids[1])
        let prune = try site.prune(RetentionPolicy(minimum: 1, keepLast: 1))
        let plan = try prune.plan()
        #expect(plan.retention.expired.map(\.candidate.id) == [ids[30], ids[20]])
        if isGone {
            try site.record(.tombstone, of: ids[1])
        } else {
            try site.record(.verified, of: ids[1], succeeded: false)
        }
        let error = try await requireFailure { try await prune.apply(plan, as: RunID(at: site.clock.now, chance: 7)) }
        #expect(error.code == .pruneRefused)
        #expect(error.reason == (isGone ? "it is gone" : "a verification found it damaged"))
        #expect(try Catalogue(site.repository()).entries().count == 3)
        #expect(try site.listed().contains(ids[20] ?? plan.retention.expired[1].candidate.id))
        // Planned anew, the one that is still good stays.
        if !isGone { #expect(try await prune.recorded().result.removed == [ids[30], ids[1]]) }
    }
}

/// A storage from which somebody takes every mark of a removal back at once.
private struct ForgetfulStorage: ForwardingStorage {
    let storage: any Storage

    func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome {
        let outcome = try storage.putIfAbsent(key, bytes)
        if key.lastComponent.contains("-tombstone-") { try storage.remove(key) }
        return outcome
    }
}
