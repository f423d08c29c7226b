/// Looks along one path for where recovery ends, and from which backup.
struct RecoveryCourse<Index: RecoveryIndex> {
    let request: RecoveryRequest
    /// Those on the path, newest first; the one that was named, if any.
    let backups: [RecoveryCandidate]
    let isNamed: Bool
    let coverage: WALCoverage
    let path: TimelinePath
    let search: RecoverySearch<Index>

    /// A recovery whose end is known.
    struct Ending {
        var backup: RecoveryCandidate
        var target: RestoreMoment
        var isInclusive = true
        var end: RecoveryEnd
        /// The last position at which the record may begin that recovery ends with.
        var greatest: LogSequenceNumber
        /// The number of the last segment that is needed.
        var last: UInt64
        var reasons: [RecoveryReason]
    }

    enum Outcome {
        case reached(Ending)
        /// What was asked for cannot be reached; with the nearest that can, if anything can.
        case refused(RecoveryRefusal, instead: Ending?)
    }

    /// A backup from which recovery may begin, and how far it gets.
    struct Start {
        var backup: RecoveryCandidate
        /// The segments that can be read.
        var numbers: ClosedRange<UInt64>
        var last: UInt64 { numbers.upperBound }
        /// What comes behind it; `nil` if the stored WAL ends there.
        var obstacle: RecoveryObstacle?
        var reasons: [RecoveryReason] = []
    }

    func ending() throws(BackupError) -> Outcome {
        switch request.moment {
        case .latest: try latest()
        case .immediate: try immediate()
        case .position(let position): try ending(at: position)
        case .time(let time): try ending(at: time)
        case .restorePoint(let name): try ending(atRestorePoint: name)
        case .transaction(let number): try ending(atTransaction: number)
        }
    }
}

// MARK: Choosing the backup

extension RecoveryCourse {
    /// How far recovery gets from a backup; what stands in the way of its own consistency is thrown as a value.
    func start(_ backup: RecoveryCandidate) throws(BackupError) -> Result<Start, Unfit> {
        let own = backup.numbers(path.size)
        guard var last = path.last(from: own.lowerBound, in: coverage) else {
            return missing(own.lowerBound, backup)
        }
        guard last >= own.upperBound else { return missing(last + 1, backup) }
        var obstacle = path.missing(after: last, in: coverage).map(RecoveryObstacle.missing)
        let unreadable = try search.firstUnreadable(own.lowerBound...last)
        if let unreadable, let segment = path.segment(unreadable) {
            let summary = try search.index.summary(of: segment)
            // The last one may be unfinished; of one that nobody can say anything of, that cannot be told.
            if unreadable < last || obstacle != nil || !summary.isKnown {
                last = unreadable
                obstacle = .unreadable(segment, why: summary.damage ?? "it is damaged")
            }
        }
        if let obstacle, last < own.upperBound { return .failure(Unfit(why: .obstacle(obstacle))) }
        if last == own.upperBound, try search.end(own.lowerBound...last) < backup.stop, let segment = path.segment(last)
        {
            return .failure(
                Unfit(why: .obstacle(obstacle ?? .unreadable(segment, why: "it ends before the backup does"))))
        }
        return .success(Start(backup: backup, numbers: own.lowerBound...last, obstacle: obstacle))
    }

    /// Why a backup cannot be begun with.
    struct Unfit: Error {
        var why: RecoveryCandidate.Unfitness
    }

    private func missing(_ number: UInt64, _ backup: RecoveryCandidate) -> Result<Start, Unfit> {
        guard let segment = path.segment(number) else { return .failure(Unfit(why: .offPath)) }
        return .failure(Unfit(why: .obstacle(.missing(segment))))
    }

    /// The newest backup that can be used and that nothing speaks against.
    ///
    /// One that ended after the moment is passed over in silence.
    func choose(
        _ objection: (RecoveryCandidate) throws(BackupError) -> RecoveryCandidate.Unfitness?
    ) throws(BackupError) -> Result<Start, Refused> {
        var passedOver: [RecoveryReason] = []
        var obstacle: RecoveryObstacle?
        for backup in backups {
            var why = try objection(backup)
            if why == nil, backup.isDamaged, !isNamed { why = .damaged }
            if why == nil {
                switch try start(backup) {
                case .success(var start):
                    start.reasons = [isNamed ? .backupNamed(backup.id) : .newestBackup(backup.id)] + passedOver
                    return .success(start)
                case .failure(let unfit): why = unfit.why
                }
            }
            guard let why else { continue }
            if isNamed { return .failure(Refused(cause: .backupUnfit(backup.id, why))) }
            if case .obstacle(let found) = why, obstacle == nil { obstacle = found }
            if why != .afterMoment { passedOver.append(.passedOver(backup.id, why)) }
        }
        return .failure(Refused(cause: obstacle.map { .obstacle($0) } ?? .noBackup))
    }

    /// Why there is no backup to begin with.
    struct Refused: Error {
        var cause: RecoveryRefusal.Cause
    }
}

// MARK: Ends that need no search

extension RecoveryCourse {
    private func latest() throws(BackupError) -> Outcome {
        let start: Start
        switch try choose({ _ in nil }) {
        case .success(let chosen): start = chosen
        case .failure(let refused): return try refusal(refused.cause, chosen: nil, at: nil)
        }
        if let obstacle = start.obstacle {
            return try refusal(.obstacle(obstacle), chosen: start, at: nil)
        }
        let own = path.size.number(containing: start.backup.stop)
        let end = max(try search.end(start.numbers), start.backup.stop)
        let time = [try search.lastFoldersTime(min(own, start.last)...start.last), start.backup.stoppedAt]
        // A timeline counts as reached if the last segment is its own.
        let greatest = path.segment(start.last).map { $0.timeline == path.history.timeline } ?? false
        return .reached(
            Ending(
                backup: start.backup, target: .latest, end: .endOfWAL(LogMark(end, time.compactMap(\.self).max())),
                greatest: greatest ? LogSequenceNumber(position: .max) : try lastPosition(start),
                last: start.last, reasons: start.reasons))
    }

    /// The position of the last byte that the last segment can hold.
    private func lastPosition(_ start: Start) throws(BackupError) -> LogSequenceNumber {
        let end = path.segment(start.last)?.end.position ?? 1
        return LogSequenceNumber(position: end - 1)
    }

    private func immediate() throws(BackupError) -> Outcome {
        guard let newest = backups.first(where: { isNamed || !$0.isDamaged }) else {
            return try refusal(.noBackup, chosen: nil, at: nil)
        }
        switch try start(newest) {
        case .success(var start):
            let skipped = backups.prefix { $0.id != newest.id }.map { RecoveryReason.passedOver($0.id, .damaged) }
            start.reasons = [isNamed ? .backupNamed(newest.id) : .newestBackup(newest.id)] + skipped
            return .reached(try consistent(start))
        case .failure(let unfit):
            return try refusal(.backupUnfit(newest.id, unfit.why), chosen: nil, at: nil)
        }
    }

    /// Recovery that ends as soon as the backup is consistent.
    ///
    /// A server since PostgreSQL 16 that is told so stops before the first record behind that, and fails where there is
    /// none, as after a backup of an idle standby: it is told the last record instead.
    func consistent(_ start: Start) throws(BackupError) -> Ending {
        let backup = start.backup
        let numbers = backup.numbers(path.size)
        let record = try search.lastRecord(numbers)
        let end = try record.map { record throws(BackupError) in
            try search.lastSegment(ofRecordAt: record, through: start.last)
        }
        let last = max(numbers.upperBound, end ?? 0)
        if let record, record < backup.stop {
            return Ending(
                backup: backup, target: .position(record), end: .after(LogMark(record, backup.stoppedAt)),
                greatest: record, last: last, reasons: start.reasons)
        }
        return Ending(
            backup: backup, target: .immediate, end: .consistent(LogMark(backup.stop, backup.stoppedAt)),
            greatest: LogSequenceNumber(position: max(backup.start.position, max(backup.stop.position, 1) - 1)),
            last: last, reasons: start.reasons)
    }

    /// Recovery of all that can be read from a backup on, as the plan finds it: up to and with the last record.
    func everything(_ start: Start) throws(BackupError) -> Ending {
        let own = path.size.number(containing: start.backup.stop)
        guard own <= start.last, let record = try search.lastRecord(own...start.last), record >= start.backup.stop
        else { return try consistent(start) }
        return Ending(
            backup: start.backup, target: .position(record),
            end: .after(LogMark(record, try latestTime(start))), greatest: record,
            last: try search.lastSegment(ofRecordAt: record, through: start.last), reasons: start.reasons)
    }
}
