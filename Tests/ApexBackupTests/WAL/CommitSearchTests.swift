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
        let search = CommitSearch(index: ArchiveIndex(rollUps, histories: []), plan: plan)
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
        return CommitSearch(index: index, plan: plan)
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

/// A commit whose record the end of a segment cuts, where one timeline goes over into the next.
@Suite struct `A commit over the end of a segment` {
    private let crafted: CraftedArchive
    /// Segments 5 and 6 of timeline 1: transaction 11 is committed over the end of 5.
    private let log: PagedLog
    private let commits: [LogSequenceNumber]

    init() throws {
        crafted = try CraftedArchive(segmentBytes: 1 << 20)
        let end = try crafted.name(5).end
        var log = PagedLog(from: try crafted.name(5))
        var commits = [log.commit(10, at: CraftedArchive.time(1))]
        log.fill(upTo: LogSequenceNumber(position: end.position - 24))
        commits.append(log.commit(11, at: CraftedArchive.time(2)))
        commits.append(log.commit(12, at: CraftedArchive.time(3)))
        self.log = log
        self.commits = commits
    }

    /// Stores a segment of `log` by that of its names.
    private func store(_ number: UInt64, of log: PagedLog, timeline: UInt32 = 1) throws {
        let name = try crafted.name(number, timeline)
        let writer = try crafted.archive().makeWriter(name)
        defer { writer.discard() }
        try writer.write(log.content(of: name).span)
        try writer.finish()
    }

    /// Looks beside the end of a recovery along segments 5 and perhaps 6; timeline 2 leaves timeline 1 at `left`.
    private func search(
        _ end: RecoveryEnd, along segments: [(timeline: UInt32, number: UInt64)], leftAt left: LogSequenceNumber
    ) throws -> CommitSearch {
        let archive = try crafted.archive()
        let history = "1\t\(left)\tno recovery target specified\n"
        try archive.store(Array(history.utf8), of: 2)
        let index = ArchiveIndex(
            try WALRollUps(archive, size: crafted.size), histories: Array(try archive.histories().values))
        let start = try crafted.name(5).start
        let backup = RecoveryCandidate(
            id: RunID(at: CraftedArchive.time(0), chance: 1), start: start, stop: start, timeline: 1,
            startedAt: CraftedArchive.time(0), stoppedAt: CraftedArchive.time(0), isDamaged: false)
        let mark = LogMark(left, nil)
        let plan = RecoveryPlan(
            backup: backup, timeline: segments.last?.timeline ?? 1, path: [],
            segments: segments.map {
                WALSegmentRange(timeline: $0.timeline, numbers: $0.number...$0.number, size: crafted.size)
            },
            histories: [2], target: .latest, isInclusive: true, end: end, lost: RecoveryLoss(from: mark, to: mark),
            reasons: [])
        return CommitSearch(index: index, plan: plan)
    }

    @Test func `is none where its timeline ends within it, whatever another server wrote there`() throws {
        try store(5, of: log)
        try store(6, of: log)
        var other = PagedLog(from: try crafted.name(6, 2))
        let behind = other.commit(20, at: CraftedArchive.time(4))
        try store(6, of: other, timeline: 2)
        let search = try search(.before(LogMark(behind, nil)), along: [(1, 5), (2, 6)], leftAt: crafted.name(6).start)
        #expect(try search.before()?.transactionID == 10)
        #expect(try search.behind()?.transactionID == 20)
    }

    @Test func `is one where the next timeline has the rest of it`() throws {
        try store(5, of: log)
        // The first segment of a timeline repeats what its ancestor had of it.
        try store(6, of: log, timeline: 2)
        let whole = try search(.before(LogMark(commits[2], nil)), along: [(1, 5), (2, 6)], leftAt: commits[2])
        #expect(try whole.before()?.transactionID == 11 && whole.before()?.lsn == commits[1])
        let part = try search(.after(LogMark(commits[0], nil)), along: [(1, 5)], leftAt: commits[2])
        #expect(try part.behind()?.transactionID == 11)
    }

    @Test func `is not looked for on a timeline that has its segment anew`() throws {
        try store(5, of: log)
        try store(6, of: log, timeline: 2)
        let left = LogSequenceNumber(position: commits[1].position - 8)
        let search = try search(.after(LogMark(commits[0], nil)), along: [(1, 5)], leftAt: left)
        #expect(try search.index.follower(of: crafted.name(5)) == nil)
        try store(6, of: log)
        #expect(try search.index.follower(of: crafted.name(5)) == crafted.name(6))
    }
}
