/// Why a moment cannot be reached, and which ones can.
package struct RecoveryRefusal: Sendable, Hashable {
    /// What stands in the way.
    package enum Cause: Sendable, Hashable {
        /// No backup ended before the moment; without a name, none that could be used.
        case noBackup
        /// The backup that was named cannot be used.
        case backupUnfit(RunID, RecoveryCandidate.Unfitness)
        /// The WAL is interrupted before the moment.
        case obstacle(RecoveryObstacle)
        /// The stored WAL ends before the moment.
        case beyondEnd
        /// The named restore point is before the backup is consistent, or before it began.
        case restorePointBeforeBackup(LogMark)
        /// The transaction did not end in the WAL that can be read.
        case transactionNotFound
        /// The transaction ended before the backup is consistent.
        case transactionBeforeBackup(LogMark)
    }

    package var moment: RestoreMoment
    package var timeline: UInt32
    package var cause: Cause
    /// The earliest moment that can be reached along the timeline: where the oldest backup is consistent.
    package var earliest: LogMark?
    /// The latest one: where its WAL ends, or is interrupted.
    package var latest: LogMark?
    /// The last one before the moment.
    package var before: LogMark?
    /// The first one behind the moment.
    package var after: LogMark?
}

extension RecoveryRefusal {
    /// The refusal as an error.
    package var error: BackupError {
        BackupError(
            code, "The cluster cannot be recovered to \(moment.words) on timeline \(timeline).", reason: reason,
            remedy: remedy, unchanged: "Nothing was restored.")
    }

    private var code: ErrorCode {
        switch cause {
        case .obstacle(.missing), .backupUnfit(_, .obstacle(.missing)): .walMissing
        case .obstacle(.unreadable), .backupUnfit(_, .obstacle(.unreadable)): .walSegmentInvalid
        default: .momentUnreachable
        }
    }

    private var reason: String {
        switch cause {
        case .noBackup: earliest == nil ? "no backup can be used" : "every backup that can be used ended after it"
        case .backupUnfit(let id, let unfitness): "backup \(id) \(unfitness.words(timeline))"
        case .obstacle(let obstacle): obstacle.words
        case .beyondEnd: "the stored WAL ends before it"
        case .restorePointBeforeBackup(let point):
            "it is at \(point.words), before the data of every backup that reaches so far is consistent"
        case .transactionNotFound: "the transaction neither committed nor rolled back in the WAL behind the backup"
        case .transactionBeforeBackup(let mark):
            "the transaction ended at \(mark.words), before the backup is consistent: the backup holds what it did"
        }
    }

    private var remedy: String {
        guard let earliest, let latest else {
            return "Take a backup with 'apex-backup backup --kind physical'; 'apex-backup list' shows those there are."
        }
        var sentences: [String] = []
        switch cause {
        case .obstacle(let obstacle), .backupUnfit(_, .obstacle(let obstacle)):
            sentences.append("If the server, a standby or a copy still has \(obstacle.segment), store it.")
        case .backupUnfit: sentences.append("Name another backup, or none.")
        case .transactionBeforeBackup: sentences.append("Name an older backup.")
        default: break
        }
        if let before { sentences.append("The last moment before it that can be reached is \(before.words).") }
        if let after { sentences.append("The first one behind it is \(after.words).") }
        sentences.append("What can be reached lies between \(earliest.words) and \(latest.words).")
        if before != nil || after != nil {
            sentences.append("With --nearest the cluster is recovered to the \(before == nil ? "first" : "last") one.")
        }
        return sentences.joined(separator: " ")
    }
}

extension RecoveryObstacle {
    /// Half a sentence about it.
    var words: String {
        switch self {
        case .missing(let segment): "WAL segment \(segment) is not stored, but later ones are"
        case .unreadable(let segment, let why):
            "the WAL of segment \(segment) ends before the segment does (\(why))"
        }
    }
}

extension RecoveryCandidate.Unfitness {
    /// The rest of a sentence that begins with the backup.
    func words(_ timeline: UInt32) -> String {
        switch self {
        case .damaged: "is of a source with bad pages"
        case .offPath: "is not on the way to timeline \(timeline)"
        case .afterMoment: "ended after it"
        case .laterTransaction(let mark):
            "was being taken when a transaction of a later time ended, at \(mark.words): the server would stop before "
                + "the data are consistent"
        case .obstacle(let obstacle): "cannot become consistent: \(obstacle.words)"
        }
    }
}

extension LogMark {
    /// `0/3000148 (2025-01-27T14:30:00Z)`.
    package var words: String { time.map { "\(lsn) (\($0))" } ?? "\(lsn)" }
}

extension RestoreMoment {
    /// The moment as part of a sentence.
    package var words: String {
        switch self {
        case .latest: "the end of the WAL"
        case .immediate: "the first moment at which a backup is consistent"
        case .transaction(let number): "the end of transaction \(number)"
        case .restorePoint(let name): "the restore point '\(name)'"
        case .position(let position): "\(position)"
        case .time(let time): "\(time)"
        }
    }
}
