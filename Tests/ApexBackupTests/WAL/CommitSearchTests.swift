import BackupStorage
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `Looking for the commits beside the end of a recovery` {
    @Test func `passes over log folders of a server at rest, and finds the commit before them`() throws {
        let archive = try CraftedArchive()
        try archive.store(4...21, quiet: Set(8...15))
        try archive.addBackup(inSegment: 4)
        try archive.index()
        let storage = CountingStorage(PosixStorage(root: archive.site.crafted.path))
        let survey = try ArchiveSurvey(archive.archive(), size: archive.size)
        let index = ArchiveIndex(survey.rollUps, histories: [])
        let backups = try Catalogue(archive.site.repository()).entries().compactMap { RecoveryCandidate($0) }
        let planner = RecoveryPlanner(
            backups: backups, coverage: survey.allSegments, histories: [], production: [1], index: index)
        var plan = try planner.plan(RecoveryRequest(.latest))
        plan.end = .before(LogMark(try archive.name(16).start, nil))
        // One that has read nothing yet.
        let rollUps = try WALRollUps(archive.archive(storage), size: archive.size)
        let search = CommitSearch(
            archive: rollUps.archive, index: ArchiveIndex(rollUps, histories: []), plan: plan)
        _ = storage.takeCalls()
        #expect(try search.before()?.time == CraftedArchive.time(7))
        #expect(try search.behind()?.time == CraftedArchive.time(16))
        let reads = Set(storage.takeCalls().reads.map(\.lastComponent))
        #expect(reads.contains("000000010000000100000003.zst"), "\(reads)")
        #expect(reads.isDisjoint(with: ["00000002.zst", "00000003.zst"]), "\(reads)")
    }

    @Test func `keeps no more than a number of what it read`() {
        var values = RecentValues<Int, String>(limit: 3)
        for key in 0..<3 { values[key] = "\(key)" }
        values[1] = "one"
        #expect(values.count == 3 && values[0] == "0" && values[1] == "one")
        values[3] = "3"
        #expect(values.count == 1 && values[3] == "3" && values[0] == nil)
    }
}

/// The transactions on both sides of the end of a recovery.
@Suite struct `The search for commits` {
    private let crafted: CraftedArchive

    init() throws { crafted = try CraftedArchive() }

    /// Looks around the restore point in segment 6 of timeline 1, which timeline 2 leaves at the beginning of a segment.
    private func search(leftAt number: UInt64, storing segments: ClosedRange<UInt64>) throws -> CommitSearch {
        try crafted.store(4...6)
        try crafted.addBackup(inSegment: 4)
        let archive = try crafted.archive()
        let history = "1\t\(try crafted.name(number).start)\tno recovery target specified\n"
        try archive.store(Array(history.utf8), of: 2)
        try crafted.store(segments, timeline: 2)
        let request = PhysicalRestore.Request(
            backup: "latest", moment: .restorePoint("point 6"),
            directory: crafted.site.directory.path(of: "restored"),
            archive: WALCommands(executable: "/bin/false", options: []))
        let plan = try PhysicalRestorePlanning(repository: try crafted.site.repository(), request: request).prepare()
            .recovery
        #expect(plan.timeline == 1)
        let index = ArchiveIndex(
            try WALRollUps(archive, size: crafted.size), histories: Array(try archive.histories().values))
        return CommitSearch(archive: archive, index: index, plan: plan)
    }

    @Test func `goes on along the timelines that go on from where recovery ends`() throws {
        let search = try search(leftAt: 7, storing: 7...8)
        #expect(try search.before()?.lsn == LogSequenceNumber(position: 6 << 30 + 40))
        #expect(try search.behind()?.lsn == LogSequenceNumber(position: 7 << 30 + 40))
    }

    @Test func `leaves out what was written after the timeline had been left earlier`() throws {
        let search = try search(leftAt: 5, storing: 5...8)
        #expect(try search.before()?.lsn == LogSequenceNumber(position: 6 << 30 + 40))
        #expect(try search.behind() == nil)
    }
}
