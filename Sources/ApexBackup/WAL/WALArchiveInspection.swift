package import BackupModel
import BackupStorage

/// Looks at the WAL archive of a cluster, without asking its server: is it whole, and what can be restored.
package struct WALArchiveInspection: Sendable {
    /// What was found of one incarnation of the cluster.
    package struct Report: Sendable, Encodable {
        package var systemIdentifier: String
        package var status: WALArchiveStatus
        package var windows: [Window]
        /// The stored segments of each timeline: the first and the last of each run without a hole.
        package var segments: [Run]

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
    }

    let repository: Repository
    let rpo: Duration

    package init(repository: Repository, rpo: Duration) {
        self.repository = repository
        self.rpo = rpo
    }

    /// A report for each incarnation that has a physical backup.
    ///
    /// Costs a listing of the stored WAL, and a few reads.
    package func reports() throws(BackupError) -> [Report] {
        try repository.requireRegistration()
        let entries = try Catalogue(repository).entries()
        var reports: [Report] = []
        for incarnation in try repository.incarnations() {
            let own = entries.filter { $0.manifest?.systemIdentifier == incarnation.systemIdentifier }
            guard let bytes = own.compactMap({ $0.manifest?.physical?.walSegmentBytes }).last,
                let size = WALSegmentSize(bytes: bytes)
            else { continue }
            reports.append(try report(incarnation.systemIdentifier, own.compactMap { RecoveryCandidate($0) }, size))
        }
        return reports
    }

    private func report(
        _ system: String, _ backups: [RecoveryCandidate], _ size: WALSegmentSize
    ) throws(BackupError) -> Report {
        let archive = try WALArchive(repository, systemIdentifier: system)
        let histories = try archive.histories()
        let coverage = try archive.coverage(size: size, withPieces: false)
        // A hole before the newest backup ends a window, and endangers nothing any more.
        let newest = backups.filter { !$0.isDamaged }.max { $0.stop < $1.stop }
        let current = newest.map { coverage.from(size.number(containing: $0.start)) } ?? coverage
        var facts = WALArchiveFacts(coverage: current, now: repository.environment.clocks.wall(), rpo: rpo)
        facts.histories = histories
        for timeline in coverage.runs.keys.sorted() {
            guard let growth = try growth(of: timeline, coverage, archive) else { continue }
            facts.growth.append(growth)
            if timeline == facts.currentTimeline {
                facts.newest = .init(storedAt: nil, latestTime: growth.latestTime)
            }
        }
        return Report(
            systemIdentifier: system, status: .judge(facts),
            windows: restorableWindows(
                backups, coverage: coverage, histories: histories.values.sorted { $0.timeline < $1.timeline }
            ).map {
                .init(
                    timeline: $0.timeline, from: $0.start.lsn, fromTime: $0.start.time, to: $0.end,
                    backups: $0.backups, missing: $0.missing?.description)
            }, segments: coverage.ranges.map(Self.run))
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
        func summary(_ number: UInt64) throws(BackupError) -> WALSegmentSummary? {
            guard let name = WALSegmentName(timeline: timeline, number: number, segmentSize: coverage.segmentSize)
            else {
                return nil
            }
            return try archive.summary(of: name)
        }
        var latest: Timestamp?
        // A segment at rest has no transaction: the one before it may.
        for number in stride(from: newest, through: max(first, newest > 15 ? newest - 15 : 0), by: -1) {
            guard coverage.contains(number, timeline: timeline) else { break }
            latest = try summary(number)?.latestTime
            if latest != nil { break }
        }
        let beginning = try summary(first)?.timelineBeginnings.entries.first { $0.timeline == timeline }
        return WALTimelineGrowth(
            timeline: timeline, beganAt: beginning?.time, latestTime: latest, newestSegment: newest)
    }
}

extension WALCoverage {
    /// The segments from a number on.
    fileprivate func from(_ number: UInt64) -> WALCoverage {
        var rest = WALCoverage(segmentSize: segmentSize)
        for range in ranges where range.numbers.upperBound >= number {
            rest.insert(max(number, range.numbers.lowerBound)...range.numbers.upperBound, timeline: range.timeline)
        }
        return rest
    }

    /// The runs, by timeline and position.
    fileprivate var ranges: [WALSegmentRange] {
        runs.keys.sorted().flatMap { timeline in
            (runs[timeline] ?? []).map { WALSegmentRange(timeline: timeline, numbers: $0, size: segmentSize) }
        }
    }
}
