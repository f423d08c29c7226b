/// Refuses to let backups expire by a clock that cannot be right.
package enum ClockGuard {
    /// Below this age of the newest backup the clock is never called too far ahead.
    private static let alwaysPlausible = Duration.seconds(7 * 86_400)

    /// Why `now` cannot be believed; `nil` if it can, or nothing is known to compare it with.
    ///
    /// `newest` is when the newest backup started, `medianInterval` what ``medianInterval(of:)`` says of all.
    package static func refusal(now: Timestamp, newest: Timestamp?, medianInterval: Duration?) -> BackupError? {
        guard let newest else { return nil }
        if now < newest {
            return refusal("it says \(now.readable), before the newest backup was started (\(newest.readable))")
        }
        let age = now.since(newest)
        guard let medianInterval, age > medianInterval * 3, age > alwaysPlausible else { return nil }
        return refusal(
            "it says \(now.readable), \(DurationText.format(age)) after the newest backup was started, while they "
                + "were taken every \(DurationText.format(medianInterval))")
    }

    /// The median time between two backups that follow each other; `nil` for fewer than two.
    package static func medianInterval(of starts: [Timestamp]) -> Duration? {
        let sorted = starts.sorted()
        let intervals = zip(sorted.dropFirst(), sorted).map { $0.since($1) }.sorted()
        return intervals.isEmpty ? nil : intervals[intervals.count / 2]
    }

    private static func refusal(_ reason: String) -> BackupError {
        BackupError(
            .clockImplausible, "This machine's clock cannot be believed.", reason: reason,
            remedy: "Set the clock. If it is right, repeat the command with --now-is-right.",
            unchanged: "No backup was removed.")
    }
}
