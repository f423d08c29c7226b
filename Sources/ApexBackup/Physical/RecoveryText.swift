import BackupModel

/// What a plan of a recovery says, for people.
enum RecoveryText {
    static func moment(_ moment: RestoreMoment) -> String {
        switch moment {
        case .latest: "latest"
        case .immediate: "immediate"
        case .transaction(let number): "xid:\(number)"
        case .restorePoint(let name): "name:\(name)"
        case .position(let lsn): "\(lsn)"
        case .time(let time): time.readable
        }
    }

    /// What the server is told.
    static func target(_ plan: RecoveryPlan) -> String {
        switch plan.target {
        case .latest, .immediate, .restorePoint: moment(plan.target)
        case .transaction, .position, .time:
            "\(moment(plan.target)), \(plan.isInclusive ? "what is at it included" : "what is at it left out")"
        }
    }

    static func end(_ end: RecoveryEnd) -> String {
        switch end {
        case .consistent(let mark): "as soon as the backup is consistent, at \(text(mark))"
        case .before(let mark): "just before the record at \(text(mark))"
        case .after(let mark): "just behind the record at \(text(mark))"
        case .around(let position, _): "at the first record from \(position) on"
        case .endOfWAL(let mark): "at the end of the WAL that is stored, \(text(mark))"
        }
    }

    /// What is stored and not recovered; `nil` for nothing.
    static func loss(_ loss: RecoveryLoss) -> String? {
        guard loss.bytes > 0 else { return nil }
        let until = loss.to.time.map { ", the last of it from \($0.readable)" } ?? ""
        return "\(formatBytes(Int64(clamping: loss.bytes))) of WAL, from \(text(loss.from)) to \(loss.to.lsn)\(until)"
    }

    /// Why it is planned so; `nil` for what goes without saying.
    static func reason(_ reason: RecoveryReason) -> String? {
        switch reason {
        case .timelineNamed, .timelineOfProduction, .backupNamed, .newestBackup: nil
        case .timelineOfBackup(let timeline): "timeline \(timeline) is that of the backup"
        case .timelineOfNewestBackup(let timeline): "timeline \(timeline) is that of the newest backup"
        case .endsOnAncestor(let timeline, let asked):
            "recovery ends on timeline \(timeline), before timeline \(asked) began"
        case .passedOver(let id, let why): "backup \(id) is not used: \(unfitness(why))"
        case .noLaterTransaction(let time, let known):
            "no transaction ended after \(time.readable), and the WAL goes on to \(known.readable): everything up to there "
                + "is recovered"
        case .walEndsAtPosition(let position): "the WAL ends at \(position): everything before it is recovered"
        case .sameName(let others):
            "there are more restore points of that name, at \(others.map(text).joined(separator: ", ")): the server stops "
                + "at the first one behind the backup"
        case .nearest(let refusal): "what was asked for cannot be reached: \(refusal.error.message)"
        }
    }

    private static func unfitness(_ why: RecoveryCandidate.Unfitness) -> String {
        switch why {
        case .damaged: "it is damaged"
        case .offPath: "it is not on the way to the timeline"
        case .afterMoment: "it ended only after the moment"
        case .laterTransaction(let mark): "a transaction ended at \(text(mark)) while it was taken"
        case .obstacle(.missing(let segment)): "WAL segment \(segment), which it needs, is missing"
        case .obstacle(.unreadable(let segment, let reason)):
            "WAL segment \(segment), which it needs, is damaged: \(reason)"
        }
    }

    private static func text(_ mark: LogMark) -> String {
        mark.time.map { "\(mark.lsn) (\($0.readable))" } ?? "\(mark.lsn)"
    }
}
