// What can be reached in the place of a moment that cannot.

extension RecoveryCourse {
    /// The refusal of a moment at a position, or at none that is known.
    ///
    /// `chosen` is the backup that would have been used, if there is one: what can be reached from it is before the
    /// moment.
    func refusal(
        _ cause: RecoveryRefusal.Cause, chosen: Start?, at position: LogSequenceNumber?
    ) throws(BackupError) -> Outcome {
        try refusal(cause, chosen: chosen) { backup in position.map { backup.stop > $0 } ?? false }
    }

    /// The refusal of a time.
    func refusal(
        _ cause: RecoveryRefusal.Cause, chosen: Start?, at time: Timestamp
    ) throws(BackupError) -> Outcome {
        try refusal(cause, chosen: chosen) { $0.stoppedAt > time }
    }

    private func refusal(
        _ cause: RecoveryRefusal.Cause, chosen: Start?, _ isBehind: (RecoveryCandidate) -> Bool
    ) throws(BackupError) -> Outcome {
        var refusal = RecoveryRefusal(moment: request.moment, timeline: path.history.timeline, cause: cause)
        let newest = try newest()
        refusal.earliest = try oldest { _ in true }?.backup.mark
        refusal.latest = try newest.map { start throws(BackupError) in try end(of: start) }
        // Nobody can say what is before or behind a transaction that was not found.
        if case .transaction = request.moment { return .refused(refusal, instead: nil) }
        var instead: Ending?
        if let next = try oldest(where: { isBehind($0) || isPast(chosen, $0) }) {
            refusal.after = next.backup.mark
            instead = try consistent(next)
        }
        if let chosen, cause.isBehindWhatIsReached {
            refusal.before = try end(of: chosen)
            instead = try everything(chosen)
        } else if request.moment == .immediate, let newest {
            refusal.before = newest.backup.mark
            instead = try consistent(newest)
        }
        if let id = instead?.backup.id { instead?.reasons = [isNamed ? .backupNamed(id) : .newestBackup(id)] }
        instead?.reasons.append(.nearest(refusal))
        return .refused(refusal, instead: instead)
    }

    /// Whether a backup begins behind what interrupts the WAL of the chosen one.
    private func isPast(_ chosen: Start?, _ backup: RecoveryCandidate) -> Bool {
        guard let chosen, let obstacle = chosen.obstacle else { return false }
        return backup.numbers(path.size).lowerBound > obstacle.segment.number
    }

    /// The last moment that can be reached from a backup.
    private func end(of start: Start) throws(BackupError) -> LogMark {
        LogMark(max(try search.end(start.numbers), start.backup.stop), try latestTime(start))
    }

    private func newest() throws(BackupError) -> Start? {
        for backup in backups where isNamed || !backup.isDamaged {
            if case .success(let start) = try start(backup) { return start }
        }
        return nil
    }

    private func oldest(where condition: (RecoveryCandidate) -> Bool) throws(BackupError) -> Start? {
        for backup in backups.reversed() where (isNamed || !backup.isDamaged) && condition(backup) {
            if case .success(let start) = try start(backup) { return start }
        }
        return nil
    }
}

extension RecoveryRefusal.Cause {
    /// Whether the moment is behind what can be reached from the backup that was chosen.
    fileprivate var isBehindWhatIsReached: Bool {
        switch self {
        case .obstacle, .beyondEnd: true
        default: false
        }
    }
}

extension RecoveryCandidate {
    /// Where it is consistent.
    fileprivate var mark: LogMark { LogMark(stop, stoppedAt) }
}
