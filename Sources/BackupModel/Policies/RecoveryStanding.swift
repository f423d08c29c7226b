extension BackupPolicy.RecoveryObjectives {
    /// What a failure at `now` would cost beside what it may, a sentence for each objective.
    ///
    /// `recoveryPoint` is the newest one that there is, and `lastRestore` how long the last restore of a whole backup
    /// took: both were measured, and `nil` is said to be missing.
    package func standing(recoveryPoint: Timestamp?, lastRestore: Duration?, at now: Timestamp) -> [String] {
        func compared(_ measured: Duration, _ name: String, _ objective: Duration) -> String {
            "\(name) \(DurationText.format(objective)): \(measured > objective ? "missed" : "met")"
        }
        let loss =
            recoveryPoint.map { point in
                let exposure = max(.zero, now.since(point))
                return "A failure now would lose what was committed in the last \(DurationText.format(exposure)) "
                    + "(\(compared(exposure, "RPO", rpo)))."
            } ?? "A failure now would lose everything: there is no undamaged backup of what the policy names."
        let length =
            lastRestore.map { "The last restore took \(DurationText.format($0)) (\(compared($0, "RTO", rto)))." }
            ?? "No backup was restored yet: an RTO of \(DurationText.format(rto)) is not proved."
        return [loss, length]
    }
}
