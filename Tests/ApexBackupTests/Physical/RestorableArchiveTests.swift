import BackupStorage
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `One look at an archive` {
    @Test func `is enough for several plans, and for who looks beside the end of one`() throws {
        let crafted = try CraftedArchive()
        try crafted.store(4...21)
        try crafted.addBackup(inSegment: 4)
        try crafted.index()
        let storage = CountingStorage(PosixStorage(root: crafted.site.crafted.path))
        let repository = try crafted.site.repository(storage)
        func restore(to moment: RestoreMoment) -> PhysicalRestore {
            PhysicalRestore(
                repository: repository,
                request: .init(
                    backup: "latest", moment: moment, directory: crafted.site.directory.path(of: "restored"),
                    archive: WALCommands(executable: "/bin/false", options: [])))
        }
        let layout = try crafted.archive().layout
        func looks() -> [ObjectKey] {
            storage.takeCalls().listings.compactMap(\.self).filter {
                $0 == layout.wal || $0.text.hasPrefix("\(layout.wal)/0") || $0.text.hasPrefix(layout.index.text)
            }
        }
        let latest = restore(to: .latest)
        var view = try latest.look()
        let window = try PhysicalRestorePlanning(repository: repository, request: latest.request).window(in: &view)
        #expect(window.end == CraftedArchive.time(21))
        _ = try latest.prepare(in: &view)
        #expect(!looks().isEmpty)

        let timed = restore(to: .time(CraftedArchive.time(10).advanced(by: .seconds(30))))
        let prepared = try timed.prepare(in: &view)
        let witnesses = RecoveryWitnesses(of: prepared)
        let commits = try witnesses.commits.get()
        #expect(commits.before?.time == CraftedArchive.time(10) && commits.behind?.time == CraftedArchive.time(11))
        #expect(try witnesses.lastHeartbeat.get() == nil)
        #expect(looks().isEmpty)
        #expect(try timed.prepare().recovery == prepared.recovery)
        #expect(!looks().isEmpty)
    }
}
