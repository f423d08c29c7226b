extension BackupPolicy.RecoveryObjectives {
    /// Undamaged backups that hold less than the policy names.
    package struct Uncounted: Sendable, Hashable {
        /// What each of them lacks.
        package var lack: String
        /// Newest first.
        package var backups: [RunID]

        /// Names backups, newest first, that all lack the same.
        package init(lack: String, backups: [RunID]) {
            self.lack = lack
            self.backups = backups
        }
    }

    /// What a failure at `now` would cost beside what it may, a sentence for each objective, and which backups do not
    /// count.
    ///
    /// `recoveryPoint` is the newest one of those that count, and `lastRestore` how long the last restore of a whole
    /// one took: both were measured, and `nil` is said to be missing.
    package func standing(
        recoveryPoint: Timestamp?, lastRestore: Duration?, uncounted: [Uncounted], at now: Timestamp
    ) -> [String] {
        func compared(_ measured: Duration, _ name: String, _ objective: Duration) -> String {
            "\(name) \(DurationText.format(objective)): \(measured > objective ? "missed" : "met")"
        }
        let loss =
            recoveryPoint.map { point in
                let ahead = point.since(now)
                if ahead > .seconds(300) {
                    return "What a failure now would lose is not known: the newest backup is dated "
                        + "\(DurationText.format(ahead)) after this machine's clock."
                }
                let exposure = max(.zero, .zero - ahead)
                return "A failure now would lose what was committed in the last \(DurationText.format(exposure)) "
                    + "(\(compared(exposure, "RPO", rpo)))."
            }
            ?? (uncounted.isEmpty
                ? "A failure now would lose everything: there is no undamaged backup of what the policy names."
                : "A failure now would lose what no backup holds: there is no undamaged backup of all that the policy "
                    + "names.")
        let length =
            lastRestore.map { "The last restore took \(DurationText.format($0)) (\(compared($0, "RTO", rto)))." }
            ?? "No backup was restored as a whole yet: an RTO of \(DurationText.format(rto)) is not proved."
        return [loss, length]
            + uncounted.map { "Not counted: \($0.backups.map(\.text).listingFirstThree) (\($0.lack))." }
    }
}

extension [String] {
    /// The first three, and how many more there are.
    package var listingFirstThree: String {
        prefix(3).joined(separator: ", ") + (count > 3 ? " and \(count - 3) more" : "")
    }
}
