@testable import BackupModel

/// What a plan must come to, found without any summary: by trying a server on every record.
struct RecoveryOracle {
    let log: SyntheticLog
    let timeline: UInt32
    /// Those on the path without damage, newest first.
    let backups: [RecoveryCandidate]

    init(_ log: SyntheticLog, _ backups: [RecoveryCandidate], timeline: UInt32) {
        self.log = log
        self.timeline = timeline
        let records = log.records(timeline)
        self.backups = backups.filter { backup in
            // The records between start and stop are those of the path: the backup was taken of them.
            guard !backup.isDamaged, let own = log.own[backup.timeline] else { return false }
            return own.filter { $0.start >= backup.start.position && $0.end <= backup.stop.position }.allSatisfy {
                record in
                records.contains { $0.start == record.start && $0.end == record.end }
                    && log.histories[timeline]?.timeline(at: LogSequenceNumber(position: record.start))
                        == backup.timeline
            }
        }.sorted { RecoveryCandidate.isOlder($1, $0) }
    }

    /// The records that a server reads which begins with the backup.
    func readable(_ backup: RecoveryCandidate) -> [SyntheticLog.Record] {
        let path = log.path(timeline)
        return Array(
            log.records(timeline).drop { $0.start < backup.start.position }
                .prefix { log.isReadable($0, path, in: log.coverage) })
    }

    func isUsable(_ backup: RecoveryCandidate) -> Bool {
        readable(backup).last.map { $0.end >= backup.stop.position } ?? false
    }

    /// Where recovery of everything that can be read ends.
    func everything(_ backup: RecoveryCandidate) -> SyntheticLog.Result {
        let records = readable(backup)
        let last = records.last { $0.start >= backup.stop.position } ?? records.first { $0.end >= backup.stop.position }
        return .after(last?.start ?? 0)
    }

    /// Which record recovery to a time ends with, and whether the server cannot be told the time.
    ///
    /// `nil` for a refusal.
    func ending(
        at time: Int64, isInclusive: Bool
    ) -> (backup: RecoveryCandidate, result: SyntheticLog.Result, isTurned: Bool)? {
        func isLater(_ record: SyntheticLog.Record) -> Bool {
            guard case .end(_, let ended) = record.kind else { return false }
            return isInclusive ? ended > time : ended >= time
        }
        for backup in backups where backup.stoppedAt.microseconds <= time && isUsable(backup) {
            let records = readable(backup)
            if records.contains(where: { isLater($0) && $0.start < backup.stop.position }) { continue }
            if let later = records.first(where: isLater) { return (backup, .before(later.start), false) }
            let segment = backup.start.position >> 20
            let before = log.records(timeline).filter {
                $0.start >> 20 == segment && $0.start < backup.start.position
                    && log.isReadable($0, log.path(timeline), in: log.coverage)
            }
            let known = (before + records).compactMap(\.time).max() ?? 0
            guard time <= max(known, backup.stoppedAt.microseconds) else { return nil }
            return (backup, everything(backup), true)
        }
        return nil
    }

    func ending(
        atPosition position: UInt64, isInclusive: Bool
    ) -> (backup: RecoveryCandidate, result: SyntheticLog.Result)? {
        for backup in backups where backup.stop.position <= position && isUsable(backup) {
            let records = readable(backup)
            if let record = records.first(where: { $0.start >= position }) {
                return (backup, isInclusive ? .after(record.start) : .before(record.start))
            }
            return records.last.map { $0.end >= position } ?? false ? (backup, everything(backup)) : nil
        }
        return nil
    }

    func ending(atRestorePoint name: String) -> (backup: RecoveryCandidate, result: SyntheticLog.Result)? {
        let path = log.path(timeline)
        let points = log.records(timeline).filter { record in
            guard case .point(name, _) = record.kind else { return false }
            return log.isReadable(record, path, in: log.coverage)
        }
        for backup in backups where isUsable(backup) {
            guard let point = points.first(where: { $0.start >= backup.start.position }),
                point.start >= backup.stop.position
            else { continue }
            let result = log.recover(
                backup, timeline: timeline, target: .restorePoint(name), isInclusive: true, files: log.coverage)
            return result == .after(point.start) ? (backup, result) : nil
        }
        return nil
    }

    /// Where the WAL ends, if nothing later is stored that a server could be asked to go on with.
    func latest() -> (backup: RecoveryCandidate, end: UInt64)? {
        guard let backup = backups.first(where: isUsable), let last = readable(backup).last else { return nil }
        let path = log.path(timeline)
        guard let history = log.histories[timeline] else { return nil }
        var number = backup.start.position >> 20
        var name = path.segment(number)
        while let file = name, log.coverage.contains(number, timeline: file.timeline) {
            if log.broken[file] != nil { break }
            number += 1
            name = path.segment(number)
        }
        let isBroken =
            name.map { log.broken[$0] != nil && log.coverage.contains(number, timeline: $0.timeline) } ?? false
        let end = isBroken ? number : number - 1
        let current = path.segment(end)?.timeline ?? 0
        let followed = history.ancestors.map(\.timeline) + [timeline]
        let goesOn = followed.contains { timeline in
            timeline >= current && (log.coverage.runs[timeline] ?? []).contains { $0.upperBound > end }
        }
        return goesOn ? nil : (backup, last.end)
    }
}
