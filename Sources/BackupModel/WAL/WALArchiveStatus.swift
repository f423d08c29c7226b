/// What `wal status` says of the WAL archive.
package struct WALArchiveStatus: Sendable, Hashable, Codable {
    /// How bad it is: the worst of the findings.
    package var level: Level
    package var gaps: [Gap]
    /// WAL that the server has finished and that is not stored; `nil` if the server was not asked.
    package var lag: Lag?
    /// What would be lost if the server were lost now.
    package var exposure: Exposure
    /// Timelines on which servers wrote at once.
    package var twoServersWrite: [TwoServersWrite]
    /// What there is to say, worst first.
    package var findings: [Finding]

    /// How bad something is.
    package enum Level: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
        case ok
        case warning
        case critical

        /// Whether `lhs` is less bad.
        package static func < (lhs: Level, rhs: Level) -> Bool { lhs.rank < rhs.rank }

        private var rank: Int {
            switch self {
            case .ok: 0
            case .warning: 1
            case .critical: 2
            }
        }
    }

    /// A sentence, and how bad it is.
    package struct Finding: Sendable, Hashable, Codable {
        package var level: Level
        package var text: String
    }

    /// Segments that are missing, all for the same reason.
    package struct Gap: Sendable, Hashable, Codable {
        package var state: GapState
        /// The names of the first and the last.
        package var first: String
        package var last: String
        package var count: UInt64
        /// How long they have been missing, at least; `nil` if that is not known.
        package var age: Duration?
    }

    /// Why segments are missing.
    package enum GapState: String, Sendable, Hashable, Codable {
        /// The server still has them, or they may have been finished too recently to be stored.
        case delayed
        /// An upload is under way.
        case uploading
        /// The server has them no longer, or nobody can say, and they are old.
        case lost
    }

    /// What the archive is behind the server.
    package struct Lag: Sendable, Hashable, Codable {
        /// Bytes of finished segments that are not stored.
        package var bytes: UInt64
        /// How old the last commit before them is; zero if none are missing, `nil` if that is not known.
        package var time: Duration?
    }

    /// What would be lost: what recovery from the newest backup does not reach.
    package struct Exposure: Sendable, Hashable, Codable {
        /// Bytes of WAL; `nil` if the server was not asked.
        package var bytes: UInt64?
        /// What was committed in this last time, at most; zero if all is stored, `nil` if that is not known.
        package var atMost: Duration?
        /// Up to where WAL is stored without a hole.
        package var storedEnd: LogSequenceNumber?

        package init(bytes: UInt64? = nil, atMost: Duration? = nil, storedEnd: LogSequenceNumber? = nil) {
            self.bytes = bytes
            self.atMost = atMost
            self.storedEnd = storedEnd
        }
    }
}

extension WALArchiveStatus {
    /// That of a server of which no physical backup is there: its WAL leads nowhere.
    package static var withoutBackup: WALArchiveStatus {
        WALArchiveStatus(
            level: .critical, gaps: [], lag: nil, exposure: Exposure(), twoServersWrite: [],
            findings: [
                Finding(
                    level: .critical,
                    text: "There is no physical backup of this server, to which its WAL could be applied: take one, "
                        + "apex-backup backup --kind physical.")
            ])
    }

    /// Judges an archive.
    ///
    /// A gap is critical if it is lost and on the way to the timeline that is judged, a warning if it is lost elsewhere
    /// or overdue. An exposure above the RPO is critical if the server has finished segments that are not stored, or says
    /// itself that it committed later than what is stored. Else it is a warning: a server at rest writes a little WAL too,
    /// and loses nothing. Heartbeats settle that, for their commits are stored like any other. A server that was succeeded
    /// loses nothing any more, and nothing can be done for what is missing of it: that is a warning.
    package static func judge(_ facts: WALArchiveFacts) -> WALArchiveStatus {
        let gaps = facts.judgedGaps
        let lag = facts.lag
        let exposure = facts.exposure
        let writers = TwoServersWrite.find(
            facts.allGrowth, histories: facts.histories, segmentSize: facts.coverage.segmentSize, now: facts.now,
            lately: max(facts.rpo, facts.delay))
        var findings = writers.map(Self.finding)
        findings += gaps.compactMap { Self.finding($0, facts) }
        if !facts.isSucceeded { findings += Self.findings(of: exposure, lag, facts) }
        findings += Self.findings(of: facts)
        findings.sort { $0.level > $1.level }
        return WALArchiveStatus(
            level: findings.first?.level ?? .ok, gaps: gaps.map(\.gap), lag: lag, exposure: exposure,
            twoServersWrite: writers, findings: findings)
    }

    private static func finding(_ writers: TwoServersWrite) -> Finding {
        let names = "timelines \(writers.timelines.map(String.init).joined(separator: " and "))"
        return writers.isNow
            ? Finding(
                level: .critical,
                text: "Two servers write: \(names) have both grown since \(writers.from.readable). Stop the wrong one "
                    + "at once; what it commits is not in the other.")
            : Finding(
                level: .warning,
                text: "Two servers wrote from \(writers.from.readable) to \(writers.until.readable), on \(names). What "
                    + "was committed then on one of them is not in the other.")
    }

    private static func finding(_ judged: JudgedGap, _ facts: WALArchiveFacts) -> Finding? {
        let gap = judged.gap
        let which =
            gap.count == 1
            ? "WAL segment \(gap.first) is" : "\(gap.count) WAL segments, \(gap.first) to \(gap.last), are"
        let since = gap.age.map { ", for \(DurationText.format($0)) at least" } ?? ""
        switch gap.state {
        case .uploading: return nil
        case .delayed:
            guard let age = gap.age, age > facts.delay else { return nil }
            return Finding(
                level: .warning,
                text: "\(which) overdue\(since). The server still has what is missing: look at its log for errors of "
                    + "archive_command.")
        case .lost:
            let isUrgent = judged.isOnCurrentPath && !facts.isSucceeded
            return Finding(
                level: isUrgent ? .critical : .warning,
                text: "\(which) lost\(since). No moment behind that can be reached from a backup before it"
                    + (isUrgent ? ": take a new base backup." : "."))
        }
    }

    private static func findings(of exposure: Exposure, _ lag: Lag?, _ facts: WALArchiveFacts) -> [Finding] {
        if exposure.storedEnd == nil {
            return [Finding(level: .critical, text: "No WAL is stored: only the moments of backups can be restored.")]
        }
        guard let atMost = exposure.atMost else {
            if let time = facts.latestTime {
                return [
                    Finding(
                        level: .warning,
                        text:
                            "The last commit that is stored is of \(time.readable), which is to come: the clock of the "
                            + "server or of this host is wrong, and how much time would be lost is not known.")
                ]
            }
            return exposure.bytes == nil || exposure.bytes == 0
                ? []
                : [Finding(level: .warning, text: "No commit is stored: how much time would be lost is not known.")]
        }
        guard atMost > facts.rpo else { return [] }
        let time = DurationText.format(atMost)
        let objective = "RPO \(DurationText.format(facts.rpo))"
        if let bytes = exposure.bytes {
            let isProved = lag.map { $0.bytes > 0 } == true || facts.server?.lastCommitAt != nil
            return [
                isProved
                    ? Finding(
                        level: .critical,
                        text: "A failure now would lose \(bytes) bytes of WAL, with the commits of up to \(time) "
                            + "(\(objective): missed).")
                    : Finding(
                        level: .warning,
                        text: "The last commit that is stored is \(time) old (\(objective)), and \(bytes) bytes of WAL "
                            + "are not stored. Whether there is a commit among them is not known: heartbeats would tell."
                    )
            ]
        }
        return [
            Finding(
                level: .warning,
                text:
                    "The last commit that is stored is \(time) old (\(objective)). Whether the server has newer ones is "
                    + "not known.")
        ]
    }

    private static func findings(of facts: WALArchiveFacts) -> [Finding] {
        let timelines = Set(facts.coverage.runs.keys).union(facts.server.map { [$0.timeline] } ?? [])
        var findings = timelines.sorted().filter { $0 > 1 && facts.histories[$0] == nil }.map { timeline in
            Finding(
                level: .warning,
                text: "The history of timeline \(timeline) is not stored: \(timeline.eightHexDigits).history. Recovery "
                    + "cannot follow the timeline without it; archive it from pg_wal of the server.")
        }
        findings += facts.recordedGaps.filter(facts.endangers).map {
            Finding(
                level: facts.isSucceeded ? .warning : .critical,
                text: $0.description
                    + (facts.isSucceeded ? "" : " Take a new base backup: apex-backup backup --kind physical.")
                    + " It was found at \($0.foundAt.readable): \($0.reason).")
        }
        if let archiver = facts.server?.archiver, archiver.isFailing, let failed = archiver.lastFailedAt {
            findings.append(
                Finding(
                    level: .warning,
                    text:
                        "The server's archiver has failed since it last succeeded, at \(failed.readable) for the last "
                        + "time."))
        }
        return findings
    }
}
