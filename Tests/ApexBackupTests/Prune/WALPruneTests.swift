import Testing

@testable import ApexBackup
@testable import BackupModel

/// What prune does with WAL beside backups that are being taken.
@Suite struct `Prune of WAL` {
    @Test(arguments: [(BackupKind.physical, false), (.logical, true)])
    func `waits for a physical backup that runs, which may need any of it, and for no dump`(
        kind: BackupKind, removes: Bool
    ) async throws {
        let archive = try CraftedArchive(clock: HandClock("2026-02-01T00:00:00Z"))
        try archive.store(4...15)
        try archive.addBackup(inSegment: 4)
        try archive.addBackup(inSegment: 13)
        let repository = try archive.site.repository()
        let prune = RepositoryPrune(
            repository: repository, policy: RetentionPolicy(minimum: 1, keepLast: 1), window: .seconds(86_400),
            trustsClock: true)
        func removed() throws -> [ClosedRange<UInt64>] {
            try prune.plan().wal.flatMap { $0.retention.removed.map(\.numbers) }
        }
        #expect(try removed() == [4...12])
        let run = RunID(at: archive.site.clock.now, chance: 7)
        let lease = try await Lease.acquire(kind, for: run, in: repository)
        _ = try repository.put(
            RunningBackup(kind: kind, leaseEpoch: lease.epoch, baseline: nil), at: repository.layout.running(run))
        #expect(try removed() == (removes ? [4...12] : []))
    }
}
