import BackupStorage
import FoundationEssentials
import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `Verifying that archived WAL has no holes` {
    private let script = PauseScript()
    private let archive: CraftedArchive
    private let backup: RunID

    init() throws {
        archive = try CraftedArchive(clock: script.clock("2026-01-01T02:00:00Z"))
        try archive.store(4...9)
        try archive.store(12...15)
        backup = try archive.addBackup(inSegment: 4)
    }

    private func report() async throws -> WALVerification.Report {
        let reports = try await WALVerification(repository: archive.site.repository(), level: .list).run()
        return try #require(reports.first)
    }

    private func hole(neededBy backup: RunID?, isBeingFilled: Bool = false) throws -> WALVerification.Hole {
        try .init(
            first: "\(archive.name(10))", last: "\(archive.name(11))", count: 2, neededBy: backup,
            isBeingFilled: isBeingFilled)
    }

    @Test func `tells each with its first and last segment, and fails for what a backup needs`() async throws {
        let report = try await report()
        #expect(try report.holes == [hole(neededBy: backup)])
        #expect(report.problems.map(\.code) == [.walMissing] && !report.succeeded)
        #expect(report.problems.first?.message.contains("000000010000000200000002 to 000000010000000200000003") == true)
        let runs = try RunLog(repository: archive.site.repository()).entries()
        #expect(runs.map(\.state) == [.failed])
    }

    @Test func `takes a partial file for none of what is missing: no server reads it`() async throws {
        for number in [10, 11] as [UInt64] { try archive.storePartial(number) }
        #expect(try await report().holes == [hole(neededBy: backup)])
    }

    @Test func `does not fail while what is missing is being stored, nor once it is`() async throws {
        let writer = try archive.archive().makeWriter(archive.name(10))
        var report = try await report()
        #expect(try report.succeeded && report.holes == [hole(neededBy: backup, isBeingFilled: true)])
        writer.discard()
        try archive.store(10...11)
        report = try await self.report()
        #expect(report.succeeded && report.holes.isEmpty)
    }

    @Test(arguments: [false, true])
    func `waits for what is stored beside what is missing, and fails unless that fills it`(fills: Bool) async throws {
        let archive = archive
        let writing = try archive.leave(1, at: "00000001/00000002/.tmp-7f3a")
        script.run { number in
            guard number == 2 else { return }
            if fills { try archive.store([10]) }
            try FileManager.default.removeItem(atPath: writing)
        }
        let report = try await report()
        #expect(try report.holes == [hole(neededBy: backup, isBeingFilled: fills)])
        #expect(report.succeeded == fills && archive.site.clock.slept < .seconds(60))
    }

    @Test func `does not fail for what a later backup has replaced`() async throws {
        try archive.site.repository().storage.remove(
            [4, 5, 6, 7, 8, 9, 12].map { try archive.archive().layout.segment(archive.name($0)) })
        try archive.store([4])
        try archive.addBackup(inSegment: 13)
        let report = try await report()
        #expect(report.succeeded && report.holes.map(\.count) == [8] && report.holes.map(\.neededBy) == [nil])
    }
}
