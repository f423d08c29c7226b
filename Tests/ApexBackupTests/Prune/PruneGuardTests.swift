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
        func start(gone: Bool) throws {
            var process = HostFacts.currentProcess
            if gone { process.startTicks += 1 }
            _ = try repository.put(
                RunStart(
                    id: run, operation: .prune, kind: nil, at: site.clock.now, host: HostFacts.name, process: process,
                    toolVersion: "0", settings: SHA256.digest(of: [UInt8]().span)),
                at: repository.layout.runStart(run))
        }
        try start(gone: false)
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
        try start(gone: true)
        #expect(try await site.prune(policy).recorded().result.removed.isEmpty)
        #expect(try site.listed() == [held, ids[1]])
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
