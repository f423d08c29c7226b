import BackupStorage
import FoundationEssentials
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// Roll-ups of log folders, and what reads them.
@Suite struct `The index of the WAL` {
    private final class Warnings: Sendable {
        private let texts = Mutex<[String]>([])

        func add(_ event: BackupEvent) {
            guard case .warning(let text) = event else { return }
            texts.withLock { $0.append(text) }
        }

        func take() -> [String] {
            texts.withLock { texts in
                defer { texts = [] }
                return texts
            }
        }
    }

    private func log(_ number: UInt32) -> WALLogName { WALLogName(timeline: 1, log: number) }

    /// Four whole folders, of which the first may be cut into the second, one with its beginning, and a backup.
    private func archive(cut: Set<UInt64> = []) throws -> CraftedArchive {
        let archive = try CraftedArchive()
        try archive.store(4...21, cut: cut)
        try archive.addBackup(inSegment: 4)
        return archive
    }

    private func plan(
        _ archive: CraftedArchive, _ moment: RestoreMoment = .latest, storage: (any Storage)? = nil
    ) throws(BackupError) -> PhysicalRestorePlan {
        let repository: Repository
        do { repository = try archive.site.repository(storage) } catch {
            throw BackupError(.usage, "\(error)", remedy: "Mend the test.")
        }
        return try PhysicalRestorePlanning(
            repository: repository,
            request: PhysicalRestore.Request(
                backup: "latest", moment: moment, directory: archive.site.directory.path(of: "restored"),
                archive: WALCommands(executable: "/bin/false", options: []))
        ).prepare().plan
    }

    @Test func `is made of whole log folders, of each once, and is the same whoever makes it`() throws {
        let first = try archive()
        let wanted = [
            "00000001/00000001.zst", "00000001/00000002.zst", "00000001/00000003.zst", "00000001/00000004.zst",
        ]
        #expect(
            try first.index()
                == WALIndexing.Result(
                    systemIdentifier: CraftedRepository.systemIdentifier, logs: 4, segments: 16, spans: 1))
        #expect(try first.rollUps() == wanted + ["00000001/spans/00000001-00000004.zst"])
        let again = try #require(try first.index())
        #expect(again.logs == 0 && again.spans == 0)

        // Another one, in other steps.
        let second = try CraftedArchive()
        try second.addBackup(inSegment: 4)
        try second.store((4...21).reversed())
        for logs in [1, 1, 1, 1, 0] { #expect(try second.index(limit: 1)?.logs == logs) }
        let spans = ["00000001/spans/00000001-00000002.zst", "00000001/spans/00000001-00000003.zst"]
        #expect(try second.rollUps() == wanted + spans + ["00000001/spans/00000001-00000004.zst"])
        for name in try first.rollUps() {
            let paths = try [first, second].map { $0.path(try $0.archive().layout.index.appending(name)) }
            #expect(
                try first.site.directory.read(paths[0]) == second.site.directory.read(paths[1]), "\(name)")
        }
    }

    @Test func `waits for a folder with a hole until that is filled`() throws {
        let archive = try archive()
        try archive.index()
        try archive.store([22, 23, 24, 25, 27])
        #expect(try archive.index()?.logs == 1)
        try archive.store([26])
        #expect(try archive.index()?.logs == 1)
        #expect(try archive.rollUps().contains("00000001/00000006.zst"))
    }

    @Test func `keeps a few roll-ups over roll-ups in memory, however many there are`() throws {
        let archive = try CraftedArchive()
        let layout = try archive.archive().layout
        let repository = try archive.site.repository()
        let spans = (0..<5).map { WALLogSpan(timeline: 1, logs: 1024 * $0...1024 * $0 + 1) }
        for span in spans {
            var lines: [UInt8] = []
            for number in span.logs {
                let segment = try archive.indexed(UInt64(number) * 4)
                let rollUp = try #require(WALLogRollUp(log(number), archive.size, [segment]))
                let entry = WALLogEntry(contentSHA256: segment.contentSHA256, summary: rollUp.summary)
                lines += try RepositoryJSON.encodePlain(entry, pretty: false) + [UInt8(ascii: "\n")]
                _ = try repository.storage.putIfAbsent(layout.rollUp(of: log(number)), [1])
            }
            _ = try repository.putRollUp(lines, at: layout.span(span))
        }
        let storage = CountingStorage(PosixStorage(root: archive.site.crafted.path))
        let rollUps = try WALRollUps(archive.archive(storage), size: archive.size)
        func reads(_ number: UInt32) throws -> Set<ObjectKey> {
            _ = storage.takeCalls()
            #expect(try rollUps.entry(of: log(number))?.summary.log == number)
            return Set(storage.takeCalls().reads)
        }
        for index in 0..<4 { #expect(try reads(1024 * UInt32(index)) == [layout.span(spans[index])]) }
        #expect(try reads(1).isEmpty && reads(1025).isEmpty)
        #expect(try reads(4096) == [layout.span(spans[4])])
        #expect(try reads(0) == [layout.span(spans[0])])
    }

    @Test func `says what the segments say, whatever goes over the ends of segments and folders`() throws {
        let archive = try archive(cut: [5, 7, 11, 12])
        func opened() throws -> ArchiveIndex {
            ArchiveIndex(try WALRollUps(archive.archive(), size: archive.size), histories: [])
        }
        let segments = try opened()
        try archive.index()
        let rollUps = try opened()
        #expect(try rollUps.rollUps.entry(of: log(1))?.summary.isOpen == true)
        #expect(try rollUps.rollUps.entry(of: log(2))?.summary.isOpen == true)
        #expect(try rollUps.rollUps.entry(of: log(3))?.summary.isOpen == false)
        for first in UInt64(4)...21 {
            let name = try archive.name(first)
            #expect(try rollUps.summary(of: name) == segments.summary(of: name), "\(first)")
            for last in first...21 where first / 4 == last / 4 {
                let range = WALSegmentRange(timeline: 1, numbers: first...last, size: archive.size)
                #expect(try rollUps.overview(of: range) == segments.overview(of: range), "\(first) to \(last)")
            }
            let rest = [WALSegmentRange(timeline: 1, numbers: first...21, size: archive.size)]
            let none = HotStandbyParameters(
                maxConnections: 0, maxWorkerProcesses: 0, maxWALSenders: 0, maxPreparedTransactions: 0,
                maxLocksPerTransaction: 0)
            #expect(
                try none.raised(by: rollUps.parameterChanges(in: rest))
                    == none.raised(by: segments.parameterChanges(in: rest)))
        }
        #expect(try segments.summary(of: archive.name(7)).commits == 2)
    }

    @Test func `leads to the same plans`() throws {
        let archive = try archive(cut: [5, 7, 12])
        let moments: [RestoreMoment] = [
            .latest, .immediate, .restorePoint("point 18"), .time(CraftedArchive.time(9)),
            .time(CraftedArchive.time(17).advanced(by: .seconds(20))),
            .position(try archive.name(13).start), .time(CraftedArchive.time(3)), .time(CraftedArchive.time(500)),
            .restorePoint("none"),
        ]
        func plans() -> [Result<PhysicalRestorePlan, BackupError>] {
            moments.map { moment in
                Result { () throws(BackupError) in
                    var plan = try plan(archive, moment)
                    plan.freeBytes = 0
                    return plan
                }
            }
        }
        let before = plans()
        try archive.index()
        let after = plans()
        for (moment, (before, after)) in zip(moments, zip(before, after)) {
            switch (before, after) {
            case (.success(let before), .success(let after)): #expect(before == after, "\(moment)")
            case (.failure(let before), .failure(let after)):
                #expect("\(before)" == "\(after)", "\(moment)")
            default: Issue.record("\(moment): \(before) and \(after)")
            }
        }
        #expect(before.filter { if case .success = $0 { true } else { false } }.count == 6)
    }

    @Test func `proves nothing alone: a plan sees what was removed or cut behind it, and verify names it`() throws {
        for damage in ["removed", "cut"] {
            let archive = try archive()
            try archive.index()
            let key = try archive.archive().layout.segment(archive.name(14))
            let path = archive.site.directory.path(of: archive.path(key))
            let bytes = try Data(contentsOf: URL(filePath: path))
            if damage == "cut" {
                try bytes.dropLast(1).write(to: URL(filePath: path))
            } else {
                try FileManager.default.removeItem(atPath: path)
            }
            // Status believes a folder that it does not list.
            #expect(try archive.status().segments.map(\.count) == [18])
            let error = #expect(throws: BackupError.self) { try plan(archive) }
            #expect(
                error?.reason?.contains("000000010000000300000002") == true, "\(damage): \(String(describing: error))")
            #expect(try plan(archive, .time(CraftedArchive.time(12))).lastSegment == "000000010000000300000001")
            let level: BackupVerification.Level = damage == "cut" ? .checksum : .list
            let report = try #require(
                try WALIndexVerification(repository: archive.site.repository(), level: level).run(
                    Catalogue(archive.site.repository()).entries()
                ).first)
            #expect(report.problems.map(\.code) == [damage == "cut" ? .objectDamaged : .walMissing])
            #expect(report.problems.first?.message.contains("000000010000000300000002") == true)
        }
    }

    @Test func `knows a segment by its content when it was put back from a copy that is compressed otherwise`() throws {
        for isSame in [true, false] {
            let archive = try archive()
            try archive.index()
            let warnings = Warnings()
            var environment = archive.site.crafted.environment
            environment.events = { warnings.add($0) }
            let storage = CountingStorage(PosixStorage(root: archive.site.crafted.path))
            let repository = try archive.site.crafted.open(storage, environment: environment)
            func surveyed() throws -> (runs: [ClosedRange<UInt64>]?, readSegments: Int) {
                var survey = try ArchiveSurvey(
                    WALArchive(repository, systemIdentifier: CraftedRepository.systemIdentifier), size: archive.size)
                _ = try survey.listAll()
                let reads = storage.takeCalls().reads.filter { $0.text.contains("/wal/") }
                return (survey.wholeSegments.runs[1], Set(reads).count)
            }
            var found = try surveyed()
            #expect(found.runs == [4...21] && found.readSegments == 0)
            try archive.storeOtherwise(14, addedBytes: isSame ? 0 : 1)
            found = try surveyed()
            #expect(found.runs == (isSame ? [4...21] : [4...13, 15...21]) && found.readSegments == 1)
            #expect(warnings.take().isEmpty == isSame)
            for level in [BackupVerification.Level.checksum, .deep] {
                let problems = try WALIndexVerification(repository: repository, level: level)
                    .run(Catalogue(repository).entries()).flatMap(\.problems)
                #expect(problems.map(\.code) == (isSame ? [] : [.objectDamaged]), "\(level): \(problems)")
            }
        }
    }

    @Test func `is not needed: a roll-up that is damaged is named, and the segments are read`() throws {
        let archive = try archive()
        let sound = try plan(archive)
        try archive.index()
        let names = try archive.rollUps()
        let warnings = Warnings()
        var environment = archive.site.crafted.environment
        environment.events = { warnings.add($0) }
        func reports(_ level: BackupVerification.Level) throws -> [BackupError] {
            let repository = try archive.site.repository()
            return try WALIndexVerification(repository: repository, level: level).run(Catalogue(repository).entries())
                .flatMap(\.problems)
        }
        #expect(try reports(.deep).isEmpty)
        for name in names {
            let key = try archive.archive().layout.index.appending(name)
            let bytes = try archive.site.directory.read(archive.path(key))
            for change in ["flipped", "cut", "empty"] {
                var damaged = bytes
                switch change {
                case "flipped": damaged[damaged.count / 2] ^= 1
                case "cut": damaged.removeLast()
                default: damaged = []
                }
                try archive.site.directory.write(damaged, to: archive.path(key))
                #expect(try reports(.checksum).map(\.code) == [.objectDamaged], "\(name) \(change)")
                #expect(try reports(.checksum).first?.message.contains(name) == true, "\(name) \(change)")
                _ = warnings.take()
                let repository = try archive.site.crafted.open(environment: environment)
                var survey = try ArchiveSurvey(
                    WALArchive(repository, systemIdentifier: CraftedRepository.systemIdentifier), size: archive.size)
                for number in UInt32(1)...4 { _ = try survey.rollUps.entry(of: log(number)) }
                let range = WALSegmentRange(timeline: 1, numbers: 4...21, size: archive.size)
                _ = try ArchiveIndex(survey.rollUps, histories: []).parameterChanges(in: [range])
                for number in UInt32(1)...4 { _ = try survey.rollUps.stored(log(number)) }
                let hasListed = try survey.listAll()
                #expect(hasListed && survey.wholeSegments.runs[1] == [4...21])
                #expect(warnings.take().contains { $0.contains(name) }, "\(name) \(change)")
                #expect(try plan(archive).segments == sound.segments)
            }
            // It is made anew once it is gone.
            try archive.archive().repository.storage.remove(key)
            try archive.index()
            #expect(try archive.site.directory.read(archive.path(key)) == bytes)
        }
    }

    @Test func `is compared with what the segments say by a deep verification`() throws {
        let archive = try archive()
        let repository = try archive.site.repository()
        var segments = try archive.archive().indexed(
            archive.archive().stored(in: log(2), size: archive.size), of: log(2), archive.size)
        segments[1].summary.commits += 1
        let wrong = try #require(WALLogRollUp(log(2), archive.size, segments))
        let key = try archive.archive().layout.rollUp(of: log(2))
        #expect(try repository.putRollUp(WALIndexing.content(of: wrong), at: key) == .stored)
        for (level, found) in [(BackupVerification.Level.checksum, 0), (.deep, 1)] {
            let reports = try WALIndexVerification(repository: repository, level: level).run(
                Catalogue(repository).entries())
            #expect(reports.flatMap(\.problems).count == found)
            #expect(reports.flatMap(\.problems).allSatisfy { $0.message.contains(key.text) })
        }
    }

    @Test func `is left as it was by a maker that dies, and completed by the next`() throws {
        for number in 1...5 {
            let archive = try archive()
            let storage = FaultyStorage(
                PosixStorage(root: archive.site.crafted.path), failing: .publish, number: number)
            #expect(throws: BackupError.self) { try archive.index(storage) }
            #expect(try archive.rollUps().count == number - 1)
            #expect(try plan(archive).segments == 18)
            try archive.index()
            #expect(try archive.rollUps().count == 5)
        }
    }
}

/// Roll-ups beside what removes WAL.
@Suite struct `The index of WAL that is removed` {
    private func archive() throws -> CraftedArchive {
        let archive = try CraftedArchive()
        try archive.store(4...29)
        try archive.addBackup(inSegment: 4)
        try archive.addBackup(inSegment: 13)
        try archive.index()
        return archive
    }

    /// What removes everything before segment `floor` but that of the first backup.
    private func plan(_ archive: CraftedArchive, floor: UInt64) throws -> WALPrune.Plan {
        var retention = WALRetentionPlan()
        let start = try archive.name(floor).start
        retention.anchor = WALRetention.Backup(
            id: RunID(at: CraftedArchive.time(floor), chance: 3), start: start, stop: start, timeline: 1,
            finishedAt: CraftedArchive.time(floor))
        retention.floor = floor
        retention.needed = [
            .init(timeline: 1, numbers: 5...5, reason: .consistency(of: RunID(at: CraftedArchive.time(4), chance: 3)))
        ]
        retention.removed = [
            .init(timeline: 1, numbers: 4...4, reason: .beforeAnchor(RunID(at: CraftedArchive.time(floor), chance: 3))),
            .init(
                timeline: 1, numbers: 6...floor - 1,
                reason: .beforeAnchor(RunID(at: CraftedArchive.time(floor), chance: 3))),
        ]
        return WALPrune.Plan(
            systemIdentifier: CraftedRepository.systemIdentifier, retention: retention, segmentSize: archive.size)
    }

    private func apply(_ plan: WALPrune.Plan, _ archive: CraftedArchive, _ storage: (any Storage)? = nil) throws {
        _ = try WALPrune(repository: archive.site.repository(storage), window: .zero).apply(plan)
    }

    /// What the index and the folders' names say is never more than what is stored.
    private func expectNoMoreThanStored(_ archive: CraftedArchive, _ comment: Comment? = nil) throws {
        let believed = try ArchiveSurvey(archive.archive(), size: archive.size).wholeSegments
        #expect(try believed == archive.archive().coverage(size: archive.size), comment)
    }

    @Test func `goes with it, of each folder that loses anything`() throws {
        let archive = try archive()
        try apply(plan(archive, floor: 13), archive)
        try expectNoMoreThanStored(archive)
        #expect(
            try archive.rollUps() == [
                "00000001/00000004.zst", "00000001/00000005.zst", "00000001/00000006.zst",
                "00000001/spans/00000001-00000006.zst",
            ])
        let report = try archive.status()
        let end = try archive.name(29).end
        #expect(report.segments.map(\.count) == [1, 17] && report.windows.map(\.to) == [end])
        #expect(report.status.gaps.isEmpty && report.index.rolledUp == 3)
        // Of the roll-up over roll-ups, what it says of folders that are left still counts; nothing is made anew.
        let rollUps = try WALRollUps(archive.archive(), size: archive.size)
        #expect(try rollUps.entry(of: WALLogName(timeline: 1, log: 2)) == nil)
        #expect(try rollUps.entry(of: WALLogName(timeline: 1, log: 5)) != nil)
        let again = try #require(try archive.index())
        #expect(again.logs == 0 && again.spans == 0)

        try apply(plan(archive, floor: 28), archive)
        #expect(try archive.rollUps().isEmpty)
        try expectNoMoreThanStored(archive)
    }

    @Test func `never tells of more than is stored, wherever its removal is interrupted`() throws {
        var isWhole = false
        var number = 0
        while !isWhole {
            number += 1
            let archive = try archive()
            let storage = FaultyStorage(PosixStorage(root: archive.site.crafted.path), failing: .remove, number: number)
            do { try apply(plan(archive, floor: 13), archive, storage) } catch is BackupError {}
            isWhole = !storage.hasFailed
            try expectNoMoreThanStored(archive, "after \(number) removals")
            // It is repeated.
            try archive.index()
            try apply(plan(archive, floor: 13), archive)
            try expectNoMoreThanStored(archive, "after \(number) removals and another run")
            #expect(try archive.rollUps().count == 4)
        }
        #expect(number > 8)
    }

    /// Removes a segment as soon as a roll-up is about to be published.
    private final class Removing: ForwardingStorage {
        let storage: any Storage
        let segment: ObjectKey

        init(_ storage: any Storage, _ segment: ObjectKey) {
            self.storage = storage
            self.segment = segment
        }

        func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
            if key.text.contains("/index/"), !key.text.contains("/spans/") { try storage.remove(segment) }
            return try storage.makeWriter(key)
        }
    }

    @Test func `goes with the next run if it was made while one removed, which then died`() throws {
        let archive = try archive()
        let storage = PosixStorage(root: archive.site.crafted.path)
        let layout = try archive.archive().layout
        let made = try (UInt32(1)...3).map { number in
            let key = layout.rollUp(of: WALLogName(timeline: 1, log: number))
            return (key, try archive.site.directory.read(archive.path(key)))
        }
        try apply(plan(archive, floor: 13), archive)
        for (key, bytes) in made { #expect(try storage.putIfAbsent(key, bytes) == .stored) }
        try apply(plan(archive, floor: 13), archive)
        try expectNoMoreThanStored(archive)
        #expect(try archive.rollUps().count == 4)
    }

    @Test func `is taken back if it was made of what is removed meanwhile`() throws {
        let archive = try CraftedArchive()
        try archive.store(4...7)
        try archive.addBackup(inSegment: 7)
        let segment = try archive.archive().layout.segment(archive.name(4))
        let made = try archive.index(Removing(PosixStorage(root: archive.site.crafted.path), segment))
        #expect(try made?.logs == 0 && archive.rollUps().isEmpty)
        try expectNoMoreThanStored(archive)
    }
}
