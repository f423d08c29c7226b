import BackupStorage
import FoundationEssentials
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// `wal status`, of archives that no server wrote.
@Suite struct `The status of the WAL` {
    /// What the two roll-ups of 1,000,000 segments cannot do without: folders that are there, and their names.
    private func millionSegments() throws -> CraftedArchive {
        let archive = try CraftedArchive(segmentBytes: 16 << 20)
        let directory = archive.site.directory
        let layout = try archive.archive().layout
        try archive.store([0])
        // 3,906 whole folders, and one of which a part is stored.
        try archive.store(999_936...999_999)
        try archive.addBackup(inSegment: 0)
        try archive.addBackup(inSegment: 999_990, minutes: 110)
        let placeholder = Data("x".utf8)
        func place(_ key: ObjectKey) throws {
            let url = URL(filePath: directory.path(of: archive.path(key)))
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            if !FileManager.default.fileExists(atPath: url.path) { try placeholder.write(to: url) }
        }
        var entries: [WALLogEntry] = []
        for number in UInt32(0)..<3906 {
            let log = WALLogName(timeline: 1, log: number)
            let first = UInt64(number) * 256
            try place(layout.segment(archive.name(first)))
            let segment = try archive.indexed(first)
            let rollUp = try #require(WALLogRollUp(log, archive.size, [segment]))
            entries.append(WALLogEntry(contentSHA256: segment.contentSHA256, summary: rollUp.summary))
            if number > 0 { try place(layout.rollUp(of: log)) }
        }
        let first = try #require(
            WALLogRollUp(WALLogName(timeline: 1, log: 0), archive.size, (0..<256).map { try archive.indexed($0) }))
        let repository = try archive.site.repository()
        _ = try repository.putRollUp(
            WALIndexing.content(of: first), at: layout.rollUp(of: WALLogName(timeline: 1, log: 0)))
        for span in WALLogSpan.missing(of: 1, rolledUp: UInt32(0)..<3906, stored: []) {
            var lines: [UInt8] = []
            for log in span.logs {
                lines += try RepositoryJSON.encodePlain(entries[Int(log)], pretty: false) + [UInt8(ascii: "\n")]
            }
            _ = try repository.putRollUp(lines, at: layout.span(span))
        }
        return archive
    }

    @Test func `costs a few reads with a million segments, and so does a plan`() throws {
        let archive = try millionSegments()
        let storage = CountingStorage(PosixStorage(root: archive.site.crafted.path))
        let report = try archive.status(storage)
        #expect(
            report.segments.map(\.count) == [1_000_000] && report.index.rolledUp == 3906 && report.index.listed == 1)
        let end = try archive.name(999_999).end
        #expect(report.windows.map(\.to) == [end] && report.windows.first?.backups.count == 2)
        var calls = storage.takeCalls()
        #expect(calls.reads.count <= 24, "\(calls.reads)")
        #expect(calls.listings.count <= 20, "\(calls.listings)")
        // 3,906 log folders, as many roll-ups, and one folder's segments.
        #expect(calls.listed < 8000)

        // A plan over all of them: one level is enough to skip the folders in between.
        let survey = try ArchiveSurvey(
            WALArchive(archive.site.repository(storage), systemIdentifier: CraftedRepository.systemIdentifier),
            size: archive.size)
        let backups = try Catalogue(archive.site.repository()).entries().compactMap { RecoveryCandidate($0) }
        let planner = RecoveryPlanner(
            backups: backups, coverage: survey.allSegments, histories: [], production: [1],
            index: ArchiveIndex(survey.rollUps, histories: []))
        _ = storage.takeCalls()
        let plan = try planner.plan(
            RecoveryRequest(
                .time(CraftedArchive.time(999_980).advanced(by: .seconds(30))), backup: backups.map(\.id).min()))
        let stop = try archive.name(999_981).start.advanced(by: 40)
        #expect(plan.segments.map(\.count) == [999_982] && plan.end.mark.lsn == stop)
        calls = storage.takeCalls()
        #expect(calls.listings.isEmpty && calls.reads.count < 600, "\(calls.reads.count)")
        let rollUps = Set(calls.reads.filter { $0.text.contains("/index/") })
        #expect(rollUps.count <= 6, "\(rollUps)")
    }

    @Test func `tells a gap that is young from one that is being filled, and from one that is lost`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 112)
        try archive.store([112, 113, 114, 115, 116, 118, 119, 120])
        try archive.index()
        func gap() throws -> (state: WALArchiveStatus.GapState?, level: WALArchiveStatus.Level) {
            let status = try archive.status().status
            #expect(status.gaps.map(\.first) == ["000000010000001D00000001"] && status.gaps.map(\.count) == [1])
            return (status.gaps.first?.state, status.level)
        }
        var found = try gap()
        #expect(found.state == .delayed && found.level == .ok)
        try archive.leave(3, at: "00000001/0000001D/.tmp-7f3a")
        found = try gap()
        #expect(found.state == .uploading && found.level == .ok)
        // What a writer that died has left does not hide for long that the segment is lost.
        archive.site.clock.step(by: .seconds(900))
        found = try gap()
        #expect(found.state == .lost && found.level == .critical)
        try archive.store([117])
        #expect(try archive.status().status.gaps.isEmpty)
    }

    @Test func `tells a gap also where a backup of a timeline that was given up is further on`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 12)
        try archive.store(12...40)
        try archive.addBackup(inSegment: 39)
        // Set back to the beginning of segment 14.
        try archive.archive().store(
            Array("1\t\(try archive.name(14).start)\tno recovery target specified\n".utf8), of: 2)
        try archive.store([14, 15, 17, 18], timeline: 2)
        try archive.addBackup(inSegment: 15, timeline: 2, minutes: 100)
        let status = try archive.status().status
        #expect(
            try status.gaps.map(\.first) == [archive.name(16, 2).description] && status.gaps.map(\.state) == [.lost])
        #expect(status.level == .critical)
    }

    @Test func `knows what a failure would lose behind a gap`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 112)
        try archive.store([112, 113, 115, 116, 117, 118])
        let exposure = try archive.status().status.exposure
        #expect(try exposure.storedEnd == archive.name(113).end && exposure.atMost == .seconds(420))
    }

    @Test func `does not take a gap for young by a clock that was ahead`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 112)
        // The clocks stand at minute 120.
        try archive.store(112...124)
        try archive.store(126...130)
        let status = try archive.status().status
        #expect(status.gaps.map(\.state) == [.lost] && status.level == .critical)
        #expect(status.exposure.atMost == nil)
    }

    @Test func `is that of each server of the cluster, of which only the last one can lose anything`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 12)
        try archive.store([12, 13, 15])
        func reports() throws -> [WALArchiveInspection.Report] {
            try WALArchiveInspection(repository: archive.site.repository(), rpo: .seconds(900)).reports()
        }
        // The hole, and that the last commit is older than the RPO.
        #expect(try reports().map(\.status.level) == [.critical])
        #expect(try reports().first?.status.findings.count == 2)
        let next = try archive.succeed()
        #expect(try reports().map(\.status.level) == [.warning])
        #expect(try reports().first?.status.findings.map(\.text).contains { $0.contains("new base backup") } == false)
        #expect(try reports().first?.status.findings.count == 1)
        // WAL of the new server, to which there is no backup.
        try next.store(Array("1\t0/3000000\tno reason\n".utf8), of: 2)
        #expect(try reports().count == 1)
        let writer = try next.makeWriter(.partial(archive.name(3)), level: 1)
        defer { writer.discard() }
        try writer.write([1, 2, 3].span)
        try writer.finish()
        let without = try #require(try reports().last)
        #expect(try reports().count == 2 && without.systemIdentifier == CraftedArchive.successor)
        #expect(without.status.level == .critical)
        #expect(without.status.findings.map(\.text).contains { $0.contains("no physical backup of this server") })
    }

    @Test func `tells what the newest backup needs itself`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 12)
        try archive.store(14...40)
        let status = try archive.status().status
        #expect(try status.gaps.map(\.first) == [archive.name(12).description] && status.gaps.map(\.count) == [2])
        #expect(status.level == .critical)
    }

    @Test func `tells a gap also where a partial file of it is stored`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 112)
        try archive.store([112, 113, 114, 116, 117])
        try archive.storePartial(115)
        // At the end of a timeline it is none.
        try archive.storePartial(118)
        #expect(try archive.status().status.gaps.map(\.first) == [archive.name(115).description])
    }

    @Test func `calls what a receiver found to be lost so until somebody stores it`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 112)
        try archive.store([112, 113, 114, 115, 119, 120])
        let (from, to) = (try archive.name(116).start.advanced(by: 500), try archive.name(119).start)
        try archive.archive().store(
            WALGapRecord(
                timeline: 1, from: from, to: to, foundAt: CraftedArchive.time(119), slot: "s", reason: "removed"))
        func lost() throws -> [String] {
            let report = try archive.status()
            #expect((report.status.level == .critical) == !report.lost.isEmpty)
            return report.lost.map { "\($0.from) \($0.to)" }
        }
        #expect(try lost() == ["\(from) \(to)"])
        try archive.store([116, 118])
        #expect(try lost() == ["\(try archive.name(117).start) \(try archive.name(118).start)"])
        try archive.store([117])
        #expect(try lost() == [])
    }

    @Test func `counts what is stored of the segment that is not finished`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 112)
        try archive.store(112...115)
        let before = try archive.status().status.exposure
        let end = try archive.name(115).end
        #expect(before.storedEnd == end && before.atMost == .seconds(300))
        let segment = try archive.name(116)
        let content = try archive.content(116)
        let piece = try #require(WALPiece(segment, from: 0, to: UInt64(content.count)))
        let writer = try archive.archive().makeWriter(piece)
        try writer.write(content.span)
        try writer.finish()
        let after = try archive.status().status.exposure
        #expect(after.storedEnd == segment.start.advanced(by: UInt64(content.count)) && after.atMost == .seconds(240))
        // A piece that a receiver replaces just then is read again: behind the marker, and its own trailer.
        let replaced = BackupError(.walMissing, "It went away.", remedy: "Nothing.")
        let storage = FaultyStorage(
            PosixStorage(root: archive.site.crafted.path), failing: .read, number: 3, with: replaced)
        let summary = try archive.archive(storage).summary(of: segment)
        #expect(storage.hasFailed && summary?.latestTime == CraftedArchive.time(116))
    }

    @Test func `is critical while two servers write`() throws {
        let archive = try CraftedArchive()
        try archive.addBackup(inSegment: 112)
        try archive.store(112...120)
        try archive.archive().store(
            Array("1\t\(try archive.name(115).start)\tno recovery target specified\n".utf8), of: 2)
        try archive.store(115...119, timeline: 2)
        try archive.index()
        let status = try archive.status().status
        #expect(status.level == .critical && status.twoServersWrite.map(\.timelines) == [[1, 2]])
        #expect(status.findings.first?.text.contains("Two servers write") == true)
    }
}

extension LogSequenceNumber {
    fileprivate func advanced(by bytes: UInt64) -> LogSequenceNumber { LogSequenceNumber(position: position + bytes) }
}
