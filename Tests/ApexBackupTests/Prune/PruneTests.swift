import BackupModel
import BackupStorage
import FoundationEssentials
import TestSupport
import Testing

@testable import ApexBackup

extension Duration {
    fileprivate static func days(_ days: Double) -> Duration { .seconds(Int64(days * 86_400)) }
}

/// A repository with a history, and clocks that stand at 2026-11-21 02:00 UTC.
struct PruneSite: Sendable {
    let directory: TemporaryDirectory
    let clock: HandClock
    let crafted: CraftedRepository

    init(clock: HandClock = HandClock()) throws {
        self.clock = clock
        directory = try TemporaryDirectory()
        crafted = try CraftedRepository(
            at: directory.path(of: "repository"), environment: BackupEnvironment(clocks: clock.clocks))
    }

    func repository(_ storage: (any Storage)? = nil) throws -> Repository { try crafted.open(storage) }

    func prune(
        _ policy: RetentionPolicy, storage: (any Storage)? = nil, trustsClock: Bool = false
    ) throws -> RepositoryPrune {
        RepositoryPrune(repository: try repository(storage), policy: policy, trustsClock: trustsClock)
    }

    /// Adds backups of these ages in days, and returns their names by age.
    func addBackups(_ ages: [Double]) throws -> [Double: RunID] {
        var ids: [Double: RunID] = [:]
        for age in ages { ids[age] = try crafted.addBackup(age: .days(age)) }
        return ids
    }

    func record(_ kind: BackupFact.Kind, of id: RunID?, reason: String? = nil, succeeded: Bool = true) throws {
        guard let id else { throw CraftingFailure() }
        clock.step(by: .seconds(1))
        try repository().record(
            BackupFact(kind: kind, at: clock.now, succeeded: succeeded, level: "checksum", reason: reason), of: id)
    }

    func listed() throws -> [RunID] { try Catalogue(repository()).backups().map(\.id) }
}

extension RepositoryPrune.Plan {
    /// One line for each backup: its day, and why it stays or goes.
    fileprivate var lines: [String] {
        retention.kept.map { kept in
            "keep \(kept.candidate.id.text.prefix(8)): \(kept.reasons.map(\.description).joined(separator: ", "))"
        } + retention.expired.map { "remove \($0.candidate.id.text.prefix(8)): \($0.reason)" }
    }
}

@Suite struct `Prune` {
    private let site: PruneSite

    init() throws { site = try PruneSite() }

    private static let ages: [Double] = [400, 144, 89, 55, 34, 21, 13, 8, 5, 3, 2, 1, 0.5]

    @Test func `plans with a reason for everything, does nothing, and then does just that`() async throws {
        let ids = try site.addBackups(Self.ages)
        try site.record(.verified, of: ids[21])
        try site.record(.hold, of: ids[144], reason: "audit 2026")
        try site.record(.hold, of: ids[89], reason: "a mistake")
        try site.record(.release, of: ids[89], reason: "it was one")
        let prune = try site.prune(RetentionPolicy(minimum: 2, keepLast: 3, days: 4, weekly: 2, monthly: 3, yearly: 2))
        let before = try site.directory.contents()
        let plan = try prune.plan()
        #expect(
            plan.lines == [
                "keep 20251017: yearly 2025",
                "keep 20260630: held: audit 2026",
                "keep 20260927: monthly 2026-09",
                "keep 20261031: monthly 2026-10, newest verified",
                "keep 20261113: weekly 2026-W46",
                "keep 20261118: within 4 days",
                "keep 20261119: within 4 days, among the 3 newest",
                "keep 20261120: within 4 days, among the 3 newest, minimum of 2",
                "keep 20261120: within 4 days, among the 3 newest, weekly 2026-W47, monthly 2026-11, yearly 2026, "
                    + "minimum of 2, newest undamaged",
                "remove 20260824: older than 4 days, not among the 3 newest, in no weekly, monthly or yearly slot",
                "remove 20261018: older than 4 days, not among the 3 newest, in no weekly, monthly or yearly slot",
                "remove 20261108: older than 4 days, not among the 3 newest, in no weekly, monthly or yearly slot",
                "remove 20261116: older than 4 days, not among the 3 newest, in no weekly, monthly or yearly slot",
            ])
        #expect(try site.directory.contents() == before)

        let result = try await prune.recorded().result
        #expect(result.removed == plan.retention.expired.map(\.candidate.id))
        #expect(result.bytes > 0)
        #expect(try site.listed() == plan.retention.kept.map(\.candidate.id))
        for id in result.removed {
            #expect(try site.directory.contents().contains { $0.contains(id.text) } == false)
        }
        let again = try await prune.recorded().result
        #expect(again.removed.isEmpty)
        #expect(try RunLog(repository: site.repository()).entries().map(\.state) == [.succeeded, .succeeded])
    }

    @Test func `without a rule removes nothing`() throws {
        _ = try site.addBackups([400, 1])
        let plan = try site.prune(RetentionPolicy()).plan()
        #expect(plan.retention.expired.isEmpty)
        #expect(plan.retention.kept.allSatisfy { $0.reasons.contains(.noRule) })
    }

    @Test func `keeps the last verified backup, and lets it go when a newer one is`() async throws {
        let ids = try site.addBackups([30, 20, 10, 1])
        try site.record(.verified, of: ids[30])
        let policy = RetentionPolicy(minimum: 1, keepLast: 1)
        #expect(try site.prune(policy).plan().retention.expired.map(\.candidate.id) == [ids[20], ids[10]])
        try site.record(.verified, of: ids[1])
        #expect(try site.prune(policy).plan().retention.expired.map(\.candidate.id) == [ids[30], ids[20], ids[10]])
        // What was found damaged since is no proof, and no newest one.
        try site.record(.verified, of: ids[1], succeeded: false)
        #expect(try site.prune(policy).plan().retention.kept.map(\.candidate.id) == [ids[30], ids[10]])
    }

    @Test func `counts no backup as verified of which a fact cannot be read: it may be the failed verification`() throws
    {
        let ids = try site.addBackups([30, 20, 1])
        try site.record(.verified, of: ids[30])
        try site.record(.verified, of: ids[20])
        let id = try #require(ids[20])
        try site.directory.write(
            Array("{}".utf8), to: "repository/clusters/apex/backups/\(id)/facts/20261121T030000Z-verified-0001.json")
        let plan = try site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).plan()
        #expect(plan.retention.expired.isEmpty)
        #expect(plan.lines.first == "keep 20261022: newest verified")
    }

    @Test func `applies its rules to each system identifier by itself`() throws {
        _ = try site.addBackups([3, 2, 1])
        let other = try site.crafted.addBackup(age: .days(300), systemIdentifier: "7000000000000000002")
        let plan = try site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).plan()
        #expect(plan.retention.kept.contains { $0.candidate.id == other })
        #expect(plan.retention.expired.count == 2)
    }

    @Test func `keeps what it cannot read, and says so`() async throws {
        let ids = try site.addBackups([30, 20, 1])
        let id = try #require(ids[30])
        let manifest = "repository/clusters/apex/backups/\(id)/manifest.json"
        try site.directory.write(Array("{}".utf8), to: manifest)
        let left = try site.crafted.addLeftover(age: .days(2), epoch: 0)
        try site.directory.write(Array("{}".utf8), to: "repository/clusters/apex/backups/\(left)/running.json")
        let result = try await site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).recorded().result
        #expect(result.removed == [ids[20]])
        #expect(result.givenUp.isEmpty)
        #expect(try site.crafted.objects(of: left) == ["db-1.dump.gz", "running.json"])
        #expect(try site.directory.contents().contains(manifest))
        #expect(try site.directory.contents().contains("repository/clusters/apex/backups/\(id)/RESTORE.md"))
    }

    @Test func `never touches what is not the repository's`() async throws {
        let ids = try site.addBackups([30, 20, 1])
        let id = try #require(ids[30])
        let foreign = [
            "notes.txt", ".snapshot/hourly/repository.json", "pg_dumps/apex_full.sql.gz", "clusters/apex/README",
            "clusters/apex/backups/notes.txt", "clusters/apex/backups/not-a-backup/db-1.dump.gz",
            "clusters/apex/backups/.nfs000001", "clusters/other/backups/\(id)/manifest.json",
            "clusters/apex/backups-old/\(id)/manifest.json",
        ].map { "repository/\($0)" }
        for name in foreign { try site.directory.write(Array(name.utf8), to: name) }
        let result = try await site.prune(RetentionPolicy(minimum: 1, keepLast: 1)).recorded().result
        #expect(result.removed == [id, ids[20]])
        for name in foreign { #expect(try site.directory.read(name) == Array(name.utf8)) }
    }

    @Test func `refuses a folder that has no marker of a repository, and a cluster that is not registered`() throws {
        _ = try site.addBackups([30, 20, 1])
        let repository = try site.repository()
        let layout = try #require(RepositoryLayout(cluster: "other"))
        let stranger = Repository(
            storage: repository.storage, layout: layout, marker: repository.marker, environment: repository.environment)
        let error = #expect(throws: BackupError.self) {
            try RepositoryPrune(repository: stranger, policy: RetentionPolicy(keepLast: 1), trustsClock: false).plan()
        }
        #expect(error?.code == .clusterNotRegistered)
        try FileManager.default.removeItem(atPath: site.directory.path(of: "repository/repository.json"))
        let missing = #expect(throws: BackupError.self) { try site.repository() }
        #expect(missing?.code == .repositoryMissing)
    }
}

@Suite struct `Leftovers of runs` {
    private let run = RunID(at: Timestamp(microseconds: 0), chance: 9)

    @Test func `that died are given up once their lease is stale, with their unfinished files`() async throws {
        let site = try PruneSite()
        let kept = try site.crafted.addBackup(age: .days(1))
        let lease = try await Lease.acquire(.logical, for: run, in: site.repository())
        let id = try site.crafted.addLeftover(age: .days(0.1), epoch: lease.epoch)
        let repository = try site.repository()
        let key = try #require(repository.layout.volume("db-2.dump.gz", of: id))
        // What a killed process leaves: a temporary file that no name leads to.
        let writer = try repository.storage.makeWriter(key)
        try writer.write(Array("half".utf8).span)
        let files = try FileManager.default.subpathsOfDirectory(atPath: site.directory.path)
        #expect(files.contains { $0.contains("\(id)/.") })

        let before = site.clock.slept
        let result = try await site.prune(RetentionPolicy(days: 30)).recorded().result
        #expect(result.givenUp == [id])
        #expect(result.removed.isEmpty)
        #expect(site.clock.slept - before == .seconds(60))
        #expect(try site.listed() == [kept])
        #expect(try repository.storage.children(of: repository.layout.backup(id)) == ["manifest.json"])
        let left = try FileManager.default.subpathsOfDirectory(atPath: site.directory.path)
        #expect(left.filter { $0.contains(id.text) }.count == 2)
        guard case .aborted(let mark) = try Catalogue(repository).document(of: id) else {
            Issue.record("there is no mark")
            return
        }
        #expect(mark.reason == "its lease had no heartbeat")
        #expect(try RunLog(repository: repository).entries().map(\.id) == [mark.by])
        writer.discard()
        // The mark itself goes with the run records, after 400 days.
        site.clock.step(by: .days(401))
        _ = try await site.prune(RetentionPolicy(days: 30), trustsClock: true).recorded()
        #expect(try Catalogue(site.repository()).entry(id) == nil)
    }

    @Test func `go for good, also when a fact was recorded after they were given up, and folders that are empty`()
        async throws
    {
        let site = try PruneSite()
        let kept = try site.crafted.addBackup(age: .days(1))
        let id = try site.crafted.addLeftover(age: .days(2), epoch: 0)
        #expect(try await site.prune(RetentionPolicy(days: 30)).recorded().result.givenUp == [id])
        let repository = try site.repository()
        // What a verification has still put that read the backup while it was there.
        let fact = BackupFact(kind: .verified, at: site.clock.now, level: "checksum")
        _ = try repository.put(fact, at: repository.layout.fact(id, fact, chance: 1))
        // What a prune has left that was killed between two steps.
        let empty = ["backups/20261101T000000Z-0001/facts", "runs/20261101T000000Z-0002", "lease/logical/00000001"]
        for name in empty {
            try FileManager.default.createDirectory(
                atPath: site.directory.path(of: "repository/clusters/apex/\(name)"), withIntermediateDirectories: true)
        }
        #expect(try await site.prune(RetentionPolicy(days: 30)).recorded().result.givenUp == [id])
        #expect(try await site.prune(RetentionPolicy(days: 30)).recorded().result.givenUp == [])
        #expect(try repository.storage.children(of: repository.layout.backup(id)) == ["manifest.json"])
        let left = try site.directory.contents()
        #expect(
            left.filter { name in empty.contains { name.contains($0.prefix(20)) } && !name.contains("\(kept)") }
                .allSatisfy { $0.contains("\(id)") })
    }

    @Test func `of the moment before the first object, and of the one after the commit, go too`() async throws {
        let site = try PruneSite()
        let kept = try site.crafted.addBackup(age: .days(1))
        let repository = try site.repository()
        let folder = "repository/clusters/apex/backups"
        _ = try repository.put(
            RunningBackup(kind: .logical, leaseEpoch: 1, baseline: nil), at: repository.layout.running(kept))
        let begun = RunID(at: site.clock.now, chance: 7)
        let live = RunID(at: site.clock.now, chance: 8)
        let lease = try await Lease.acquire(.logical, for: live, in: repository)
        for id in [kept, begun, live] { try site.directory.write([1], to: "\(folder)/\(id)/.tmp-1") }
        // What is recorded of the backup meanwhile.
        let fact = BackupFact(kind: .hold, at: site.clock.now, reason: "audit")
        let recording = try repository.storage.makeWriter(repository.layout.fact(kept, fact, chance: 1))
        let bytes = try RepositoryJSON.encode(fact)
        try recording.write(bytes.span)
        _ = try await site.prune(RetentionPolicy(days: 30)).recorded()
        try recording.finish()
        #expect(try Catalogue(repository).entry(kept)?.hold == fact)
        let left = try site.directory.contents().filter { $0.hasPrefix(folder) && $0.contains(".tmp-") }
        #expect(left == ["\(folder)/\(live)/.tmp-1"])
        #expect(try site.crafted.objects(of: kept).sorted() == ["RESTORE.md", "facts", "manifest.json"])
        try lease.release()
        _ = try await site.prune(RetentionPolicy(days: 30)).recorded()
        #expect(try !site.directory.contents().contains { $0.contains("\(live)") || $0.contains("\(begun)") })
        #expect(try site.listed() == [kept])
    }

    @Test func `that still run are left alone`() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path(of: "repository")
        let holder = try await Lease.acquire(.logical, for: run, in: CraftedRepository(at: path).open())
        let clock = HandClock { number in
            guard number == 2 else { return }
            let beat = HandClock { count in if count > 1 { throw CancellationError() } }
            let lease = Lease(
                repository: Repository(
                    storage: holder.repository.storage, layout: holder.repository.layout,
                    marker: holder.repository.marker, environment: BackupEnvironment(clocks: beat.clocks)),
                kind: .logical, epoch: holder.epoch)
            await #expect(throws: CancellationError.self) {
                try await lease.keepAlive(for: BackupEnvironment().makeRunID())
            }
        }
        let crafted = try CraftedRepository(at: path, environment: BackupEnvironment(clocks: clock.clocks))
        let id = try crafted.addLeftover(age: .seconds(5), epoch: holder.epoch)
        let repository = try crafted.open()
        let prune = RepositoryPrune(repository: repository, policy: RetentionPolicy(days: 1), trustsClock: false)
        let result = try await prune.recorded().result
        #expect(result.stillRunning == [id])
        #expect(result.givenUp.isEmpty)
        #expect(
            try repository.storage.children(of: repository.layout.backup(id)) == ["db-1.dump.gz", "running.json"])
    }

    @Test func `whose lease was released are given up without waiting`() async throws {
        let site = try PruneSite()
        let lease = try await Lease.acquire(.logical, for: run, in: site.repository())
        try lease.release()
        let id = try site.crafted.addLeftover(age: .days(1), epoch: lease.epoch)
        let result = try await site.prune(RetentionPolicy(days: 30)).recorded().result
        #expect(result.givenUp == [id])
        #expect(site.clock.slept == .zero)
    }

    @Test func `lose or win against a commit, never both`() async throws {
        let site = try PruneSite()
        let id = try site.crafted.addLeftover(age: .days(1), epoch: 7)
        let prune = try site.prune(RetentionPolicy(days: 30))
        let plan = try prune.plan()
        #expect(plan.leftovers == [id])
        // It commits after the plan was made.
        let committed = try site.crafted.addBackup(age: .days(1), chance: 2)
        #expect(committed == id)
        let result = try await prune.apply(plan, as: RunID(at: site.clock.now, chance: 7))
        #expect(result.givenUp.isEmpty)
        #expect(try site.listed() == [id])
        #expect(
            try await BackupVerification(repository: site.repository(), level: .checksum, bin: nil).run(id.text)
                .backups.map(\.succeeded) == [true])
    }

    @Test func `are forgotten with the records of runs after 400 days`() async throws {
        let site = try PruneSite()
        _ = try await site.prune(RetentionPolicy(days: 1)).recorded()
        site.clock.step(by: .days(399))
        _ = try await site.prune(RetentionPolicy(days: 1)).recorded()
        #expect(try RunLog(repository: site.repository()).entries().count == 2)
        site.clock.step(by: .days(2))
        _ = try await site.prune(RetentionPolicy(days: 1)).recorded()
        #expect(try RunLog(repository: site.repository()).entries().count == 2)
    }
}
