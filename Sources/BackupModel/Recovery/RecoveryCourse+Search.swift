// Where recovery ends when that has to be looked for in the WAL.

extension RecoveryCourse {
    /// Recovery to a position.
    ///
    /// A position behind the last record, up to the end of the WAL, is one that no record meets. All that was written
    /// before it is stored all the same.
    func ending(at position: LogSequenceNumber) throws(BackupError) -> Outcome {
        let start: Start
        switch try choose({ $0.stop <= position ? nil : .afterMoment }) {
        case .success(let chosen): start = chosen
        case .failure(let refused): return try refusal(refused.cause, chosen: nil, at: position)
        }
        if let record = try search.record(notBefore: position, through: start.last) {
            return .reached(
                Ending(
                    backup: start.backup, target: .position(position), isInclusive: request.isInclusive,
                    end: .around(position, record: record), greatest: record,
                    last: try search.lastSegment(ofRecordAt: record, through: start.last), reasons: start.reasons))
        }
        guard position <= max(try search.end(start.numbers), start.backup.stop) else {
            let cause = start.obstacle.map { RecoveryRefusal.Cause.obstacle($0) } ?? .beyondEnd
            return try refusal(cause, chosen: start, at: position)
        }
        var ending = try everything(start)
        ending.reasons.append(.walEndsAtPosition(position))
        return .reached(ending)
    }

    /// Recovery to a time.
    ///
    /// Only a backup that had ended by then is used, as another may hold what came later, and only one during which no
    /// transaction ended with a later time. Then the first later transaction is what the server stops before. If there
    /// is none, but the WAL is known to go on up to the time, the server is told a position instead: the first
    /// known checkpoint, restore point or beginning of a timeline after the time, behind all transactions, or else the last
    /// transaction's end. With it everything that ended by the time is recovered, as if the server could wait for a later
    /// transaction, and nothing that is stored after the plan was made.
    func ending(at time: Timestamp) throws(BackupError) -> Outcome {
        let isLater = request.isInclusive ? TransactionEndCondition.later(than: time) : .notBefore(time)
        let start: Start
        let chosen = try choose { backup throws(BackupError) in
            guard backup.stoppedAt <= time else { return .afterMoment }
            let own = backup.numbers(path.size)
            guard path.firstMissing(of: own, in: coverage) == nil,
                let later = try search.firstTransactionEnd(isLater, from: backup.start, through: own.upperBound),
                later.lsn < backup.stop
            else { return nil }
            return .laterTransaction(later)
        }
        switch chosen {
        case .success(let value): start = value
        case .failure(let refused): return try refusal(refused.cause, chosen: nil, at: time)
        }
        if let later = try search.firstTransactionEnd(isLater, from: start.backup.stop, through: start.last) {
            return .reached(
                Ending(
                    backup: start.backup, target: .time(time), isInclusive: request.isInclusive, end: .before(later),
                    greatest: later.lsn, last: try search.lastSegment(ofRecordAt: later.lsn, through: start.last),
                    reasons: start.reasons))
        }
        let known = try latestTime(start)
        guard time <= known else {
            let cause = start.obstacle.map { RecoveryRefusal.Cause.obstacle($0) } ?? .beyondEnd
            return try refusal(cause, chosen: start, at: time)
        }
        var ending = try endingWithoutLaterTransaction(start, isLater)
        ending.reasons.append(.noLaterTransaction(than: time, known: known))
        return .reached(ending)
    }

    /// The latest time up to which all that was committed is known to be stored.
    func latestTime(_ start: Start) throws(BackupError) -> Timestamp {
        let first = path.size.number(containing: start.backup.start)
        let latest = try search.latestTime(first...max(first, start.last))
        return max(latest ?? start.backup.stoppedAt, start.backup.stoppedAt)
    }

    private func endingWithoutLaterTransaction(
        _ start: Start, _ isLater: TransactionEndCondition
    ) throws(BackupError) -> Ending {
        let own = path.size.number(containing: start.backup.stop)
        guard own <= start.last else { return try consistent(start) }
        let end = try search.lastTransactionEnd(own...start.last).flatMap { $0 >= start.backup.stop ? $0 : nil }
        if let witness = try search.firstWitness(isLater, from: end ?? start.backup.stop, through: start.last) {
            return Ending(
                backup: start.backup, target: .position(witness.lsn), isInclusive: false, end: .before(witness),
                greatest: witness.lsn, last: try search.lastSegment(ofRecordAt: witness.lsn, through: start.last),
                reasons: start.reasons)
        }
        guard let end else { return try consistent(start) }
        return Ending(
            backup: start.backup, target: .position(end), end: .after(LogMark(end, nil)), greatest: end,
            last: try search.lastSegment(ofRecordAt: end, through: start.last), reasons: start.reasons)
    }

    /// Recovery to a restore point: from the newest backup behind which one of the name is the first.
    func ending(atRestorePoint name: String) throws(BackupError) -> Outcome {
        let all = try storedRestorePoints()
        let points = all.filter { $0.name == name }.map { LogMark($0.lsn, $0.time) }
        guard let newest = points.last else { throw unknown(name, all.map(\.name)) }
        func first(_ backup: RecoveryCandidate) -> LogMark? { points.first { $0.lsn >= backup.start } }
        var refused: Outcome?
        for backup in backups {
            guard let point = first(backup), point.lsn >= backup.stop, isNamed || !backup.isDamaged else { continue }
            let start: Start
            switch try self.start(backup) {
            case .success(let value): start = value
            case .failure(let unfit):
                let cause = RecoveryRefusal.Cause.backupUnfit(backup.id, unfit.why)
                if refused == nil { refused = try refusal(cause, chosen: nil, at: point.lsn) }
                continue
            }
            guard path.size.number(containing: point.lsn) <= start.last else {
                let cause = start.obstacle.map { RecoveryRefusal.Cause.obstacle($0) } ?? .beyondEnd
                if refused == nil { refused = try refusal(cause, chosen: start, at: point.lsn) }
                guard request.otherwise == .nearest else { break }
                continue
            }
            var reasons: [RecoveryReason] = [isNamed ? .backupNamed(backup.id) : .newestBackup(backup.id)]
            let others = points.filter { $0 != point }
            if !others.isEmpty { reasons.append(.sameName(others)) }
            return .reached(
                Ending(
                    backup: backup, target: .restorePoint(name), end: .after(point), greatest: point.lsn,
                    last: try search.lastSegment(ofRecordAt: point.lsn, through: start.last), reasons: reasons))
        }
        if let refused { return refused }
        guard !backups.isEmpty else { return try refusal(.noBackup, chosen: nil, at: nil) }
        let inside = backups.compactMap(first).first
        return try refusal(.restorePointBeforeBackup(inside ?? newest), chosen: nil, at: newest.lsn)
    }

    /// The restore points of all WAL that is stored on the path, with or without holes.
    private func storedRestorePoints() throws(BackupError) -> [WALSegmentSummary.RestorePoint] {
        var points: [WALSegmentSummary.RestorePoint] = []
        for range in path.segments(0...path.size.greatestNumber) {
            for run in coverage.runs[range.timeline] ?? [] where run.overlaps(range.numbers) {
                points += try search.restorePoints(run.clamped(to: range.numbers))
            }
        }
        return points
    }

    private func unknown(_ name: String, _ names: [String]) -> BackupError {
        let guess = nearest(to: name, among: names).map { "Did you mean '\($0)'? " } ?? ""
        let newest = names.reversed().reduce(into: [String]()) { list, name in
            if list.count < 3, !list.contains(name) { list.append(name) }
        }
        let known =
            newest.isEmpty
            ? "No restore point is stored on this timeline."
            : "The newest ones are \(newest.map { "'\($0)'" }.joined(separator: ", "))."
        return BackupError(
            .momentUnreachable, "There is no restore point '\(name)' on timeline \(path.history.timeline).",
            reason: "none of the stored WAL segments holds it", remedy: guess + known,
            unchanged: "Nothing was restored.")
    }

    /// Recovery to the end of a transaction, from the backup that was named: the whole WAL behind it is searched.
    func ending(atTransaction number: UInt64) throws(BackupError) -> Outcome {
        let start: Start
        switch try choose({ _ in nil }) {
        case .success(let chosen): start = chosen
        case .failure(let refused): return try refusal(refused.cause, chosen: nil, at: nil)
        }
        let condition = TransactionEndCondition.transaction(UInt32(truncatingIfNeeded: number))
        guard let mark = try search.firstTransactionEnd(condition, from: start.backup.start, through: start.last) else {
            let cause = start.obstacle.map { RecoveryRefusal.Cause.obstacle($0) } ?? .transactionNotFound
            return try refusal(cause, chosen: start, at: nil)
        }
        guard mark.lsn >= start.backup.stop else {
            return try refusal(.transactionBeforeBackup(mark), chosen: start, at: nil)
        }
        return .reached(
            Ending(
                backup: start.backup, target: .transaction(number), isInclusive: request.isInclusive,
                end: request.isInclusive ? .after(mark) : .before(mark), greatest: mark.lsn,
                last: try search.lastSegment(ofRecordAt: mark.lsn, through: start.last), reasons: start.reasons))
    }
}
