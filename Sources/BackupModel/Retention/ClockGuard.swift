/// Refuses to let backups expire by a clock that cannot be right.
package enum ClockGuard {
    /// What the repository shows of the clock that stamped it.
    package struct History: Sendable, Hashable {
        /// When each backup was begun.
        package var backups: [Timestamp]
        /// When each recorded run was begun, whatever it did and however it ended: the clock went on.
        package var runs: [Timestamp]
        /// When the last prune that was carried out began: what the clock did before it was believed then.
        package var believedUntil: Timestamp?

        package init(backups: [Timestamp], runs: [Timestamp] = [], believedUntil: Timestamp? = nil) {
            self.backups = backups
            self.runs = runs
            self.believedUntil = believedUntil
        }
    }

    /// No pause that is shorter is ever called a jump of the clock.
    private static let alwaysPlausible = Duration.seconds(7 * 86_400)

    /// Why `now` cannot be believed; `nil` if it can, or nothing is known to compare it with.
    ///
    /// A clock that jumped ahead may have stamped the newest backups too, so that every pause since the last prune is
    /// judged by the pace of the backups before it, not only the one before `now`.
    package static func refusal(now: Timestamp, history: History) -> BackupError? {
        guard let newest = history.backups.max() else { return nil }
        if now < newest {
            return refusal(
                "it says \(now.readable), before the newest backup was started (\(newest.readable))",
                remedy: "Set the clock. If it is right, that backup was stamped by a wrong one: add --now-is-right to "
                    + "each 'apex-backup prune' until \(newest.readable) has passed.")
        }
        let ticks = (history.backups + history.runs + [now]).filter { $0 <= now }.sorted()
        for (earlier, later) in zip(ticks, ticks.dropFirst()) {
            let pause = later.since(earlier)
            if pause <= alwaysPlausible || history.believedUntil.map({ later <= $0 }) ?? false { continue }
            // The pace until then; what retention thinned out before only makes it slower.
            guard let median = medianInterval(of: history.backups.filter { $0 <= earlier }), pause > median * 3
            else { continue }
            return refusal(
                "nothing was recorded for \(DurationText.format(pause)), from \(earlier.readable) to "
                    + "\(later.readable), while a backup was taken every \(DurationText.format(median)): the clock may "
                    + "have jumped",
                remedy: "Set the clock. If it is right, run 'apex-backup prune --apply --now-is-right' once (without "
                    + "--apply to look first); later runs, also those after a backup, then believe it.")
        }
        return nil
    }

    /// The median time between two backups that follow each other, the lower of two; `nil` for fewer than two backups.
    package static func medianInterval(of starts: [Timestamp]) -> Duration? {
        let sorted = starts.sorted()
        let intervals = zip(sorted.dropFirst(), sorted).map { $0.since($1) }.sorted()
        return intervals.isEmpty ? nil : intervals[(intervals.count - 1) / 2]
    }

    private static func refusal(_ reason: String, remedy: String) -> BackupError {
        BackupError(
            .clockImplausible, "This machine's clock cannot be believed.", reason: reason, remedy: remedy,
            unchanged: "No backup was removed.")
    }
}
