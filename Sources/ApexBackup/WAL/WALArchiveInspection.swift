package import BackupModel
import BackupStorage

/// Looks at the WAL archive of a cluster: is it whole, and what can be restored.
///
/// Log folders that have a roll-up are believed to be whole, as long as they are there at all: a segment that somebody
/// removed from one is found by what plans a restore, and by `verify`, which list it.
package struct WALArchiveInspection: Sendable {
    /// What was found of one incarnation of the cluster.
    package struct Report: Sendable, Encodable {
        package var systemIdentifier: String
        package var status: WALArchiveStatus
        package var windows: [Window]
        /// The stored segments of each timeline: the first and the last of each run without a hole.
        package var segments: [Run]
        package var index: Index
        /// Up to where pieces of an unfinished segment are stored, on the timeline that is judged.
        package var piecesEnd: LogSequenceNumber?
        /// WAL that a receiver found to be lost, as far as nobody has stored it since.
        package var lost: [WALGapRecord]

        /// Moments that can be restored, without a hole between them.
        package struct Window: Sendable, Encodable {
            package var timeline: UInt32
            package var from: LogSequenceNumber
            /// When the oldest of its backups was consistent.
            package var fromTime: Timestamp?
            package var to: LogSequenceNumber
            package var backups: [RunID]
            /// The segment for want of which it does not go on.
            package var missing: String?
        }

        /// Segments that follow each other.
        package struct Run: Sendable, Encodable {
            package var first: String
            package var last: String
            package var count: UInt64
        }

        /// On what the report rests.
        package struct Index: Sendable, Encodable {
            /// Log folders of which a roll-up says that they are whole.
            package var rolledUp: Int
            /// Log folders that were listed.
            package var listed: Int
        }
    }

    let repository: Repository
    let rpo: Duration
    /// What the cluster's server says; `nil` if it was not asked.
    let server: ServerWAL?

    package init(repository: Repository, rpo: Duration, server: ServerWAL? = nil) {
        self.repository = repository
        self.rpo = rpo
        self.server = server
    }

    /// A report for each incarnation that has a physical backup, and for the present one if it has WAL.
    ///
    /// Costs a few reads and listings, however many segments are stored, if roll-ups were made of them.
    ///
    /// - Throws: ``ErrorCode/wrongCluster`` if the server is none of the cluster's.
    package func reports() throws(BackupError) -> [Report] {
        try repository.requireRegistration()
        if let server { try repository.requireIncarnation(server.systemIdentifier) }
        let entries = try Catalogue(repository).entries()
        let incarnations = try repository.incarnations()
        let present = server?.systemIdentifier ?? incarnations.last?.systemIdentifier
        var reports: [Report] = []
        for incarnation in incarnations {
            let system = incarnation.systemIdentifier
            let archive = try WALArchive(repository, systemIdentifier: system)
            guard let size = entries.walSegmentSize(of: system) else {
                if system == present, try archive.holdsWAL() { reports.append(Report(withoutBackupOf: system)) }
                continue
            }
            let backups = entries.filter { $0.manifest?.systemIdentifier == system }.compactMap(RecoveryCandidate.init)
            reports.append(try report(archive, backups, size, isSucceeded: system != present))
        }
        return reports
    }

    private func report(
        _ archive: WALArchive, _ backups: [RecoveryCandidate], _ size: WALSegmentSize, isSucceeded: Bool
    ) throws(BackupError) -> Report {
        let system = "\(archive.systemIdentifier)"
        let histories = try archive.histories()
        let survey = try ArchiveSurvey(archive, size: size)
        let coverage = survey.wholeSegments
        var facts = WALArchiveFacts(coverage: coverage, now: repository.environment.clocks.wall(), rpo: rpo)
        facts.histories = histories
        facts.backups = backups
        facts.unfinished = Set(survey.unfinished)
        facts.isSucceeded = isSucceeded
        if let server, server.systemIdentifier == system { facts.server = server.facts(size: size) }
        for timeline in coverage.runs.keys.sorted() {
            if let growth = try growth(of: timeline, coverage, archive) { facts.growth.append(growth) }
        }
        facts.recordedGaps = WALGapRecord.missing(
            of: try archive.gapRecords(), from: coverage, histories: histories, current: facts.currentTimeline)
        facts.latestTime = try latestTime(of: facts, archive)
        try addPieces(archive, to: &facts)
        try addAges(archive, to: &facts)
        return Report(
            systemIdentifier: system, status: .judge(facts),
            windows: restorableWindows(
                backups, coverage: coverage, histories: histories.values.sorted { $0.timeline < $1.timeline }
            ).map {
                .init(
                    timeline: $0.timeline, from: $0.start.lsn, fromTime: $0.start.time, to: $0.end,
                    backups: $0.backups, missing: $0.missing?.description)
            }, segments: coverage.ranges.map(Self.run),
            index: .init(rolledUp: survey.believed.count, listed: survey.listedLogs), piecesEnd: facts.piecesEnd,
            lost: facts.recordedGaps)
    }

    private static func run(_ range: WALSegmentRange) -> Report.Run {
        .init(
            first: range.first?.description ?? "", last: range.last?.description ?? "", count: range.count)
    }

    /// When a timeline was written, by what its first and its last segments say.
    private func growth(
        of timeline: UInt32, _ coverage: WALCoverage, _ archive: WALArchive
    ) throws(BackupError) -> WALTimelineGrowth? {
        guard let runs = coverage.runs[timeline], let first = runs.first?.lowerBound, let newest = runs.last?.upperBound
        else { return nil }
        let path = TimelinePath(TimelineHistory(first: timeline), size: coverage.segmentSize)
        let beginning = try path.segment(first).flatMap { name throws(BackupError) in try archive.summary(of: name) }?
            .timelineBeginnings.entries.first { $0.timeline == timeline }
        return WALTimelineGrowth(
            timeline: timeline, beganAt: beginning?.time,
            latestTime: try latestTime(upTo: newest, along: path, coverage, archive), newestSegment: newest)
    }

    /// The latest time of a transaction in what is stored without a hole on the way to the timeline that is judged.
    private func latestTime(of facts: WALArchiveFacts, _ archive: WALArchive) throws(BackupError) -> Timestamp? {
        let coverage = facts.coverage
        guard let history = facts.currentHistory, let end = facts.wholeEnd else { return nil }
        let behind = coverage.segmentSize.number(containing: end)
        guard behind > 0 else { return nil }
        if let known = facts.growth.first(where: { $0.timeline == history.timeline && $0.newestSegment == behind - 1 })
        {
            return known.latestTime
        }
        return try latestTime(
            upTo: behind - 1, along: TimelinePath(history, size: coverage.segmentSize), coverage, archive)
    }

    /// The latest time of a transaction in a segment, or in one of the few before it: a segment at rest has none.
    private func latestTime(
        upTo last: UInt64, along path: TimelinePath, _ coverage: WALCoverage, _ archive: WALArchive
    ) throws(BackupError) -> Timestamp? {
        for number in stride(from: last, through: last > 15 ? last - 15 : 0, by: -1) {
            guard let name = path.segment(number), coverage.contains(number, timeline: name.timeline) else { break }
            if let time = try archive.summary(of: name)?.latestTime { return time }
        }
        return nil
    }
}

extension WALArchiveInspection.Report {
    /// That of WAL to which there is no backup.
    fileprivate init(withoutBackupOf system: String) {
        self.init(
            systemIdentifier: system, status: .withoutBackup, windows: [], segments: [],
            index: .init(rolledUp: 0, listed: 0), lost: [])
    }
}

extension WALArchiveInspection {
    /// Adds what is stored of the segment that the server has not finished.
    private func addPieces(_ archive: WALArchive, to facts: inout WALArchiveFacts) throws(BackupError) {
        guard let segment = facts.unfinishedSegment, let end = try archive.storedEnd(of: segment) else { return }
        facts.piecesEnd = end
        let times = [facts.latestTime, try archive.summary(of: segment)?.latestTime]
        facts.latestTime = times.compactMap(\.self).max()
    }

    /// Of how many gaps it is found out how old they are, and whether they are being filled.
    private static let mostGaps = 16

    /// Adds how long gaps may have been there, and what is being stored where they are.
    ///
    /// When a segment was stored is not known. It was after the last commit in it, and soon after it unless the server
    /// could not archive for a while: so a gap may be younger than it is taken for, and never is older. A time that is
    /// to come, of a clock that was wrong, tells nothing.
    private func addAges(_ archive: WALArchive, to facts: inout WALArchiveFacts) throws(BackupError) {
        for gap in facts.gaps.suffix(Self.mostGaps) {
            guard let next = gap.next, let time = try archive.summary(of: next)?.latestKnownTime,
                let age = facts.age(of: time)
            else { continue }
            facts.storedAt[next] = time
            // What a writer that died has left there counts no longer than the gap is young, and not if that is known.
            var writers = try archive.unfinishedWrites(beside: .segment(gap.first))
                .count { $0.mayComplete(at: facts.now) }
            var segment: WALSegmentName? = gap.first
            while writers > 0, let name = segment, name <= gap.last {
                facts.uploads[name] = age
                writers -= 1
                segment = name.next
            }
        }
    }
}

extension WALCoverage {
    /// The runs, by timeline and position.
    fileprivate var ranges: [WALSegmentRange] {
        runs.keys.sorted().flatMap { timeline in
            (runs[timeline] ?? []).map { WALSegmentRange(timeline: timeline, numbers: $0, size: segmentSize) }
        }
    }
}
