import BackupModel
import Testing

@Suite struct `What a failure now would cost` {
    private let objectives = BackupPolicy.RecoveryObjectives()
    private let now = Timestamp(microseconds: 1_800_000_000_000_000)

    private func standing(_ exposure: Duration?, _ restore: Duration?) -> [String] {
        objectives.standing(
            recoveryPoint: exposure.map { now.advanced(by: .zero - $0) }, lastRestore: restore, at: now)
    }

    @Test func `is told beside the objectives`() {
        #expect(
            standing(.seconds(3600), .seconds(120)) == [
                "A failure now would lose what was committed in the last 1 h (RPO 15 min: missed).",
                "The last restore took 2 min (RTO 4 h: met).",
            ])
        #expect(
            standing(.seconds(900), .seconds(14_401)) == [
                "A failure now would lose what was committed in the last 15 min (RPO 15 min: met).",
                "The last restore took 4 h (RTO 4 h: missed).",
            ])
    }

    @Test func `is everything without a backup, and proved by no restore that was not made`() {
        #expect(
            standing(nil, nil) == [
                "A failure now would lose everything: there is no undamaged backup of what the policy names.",
                "No backup was restored yet: an RTO of 4 h is not proved.",
            ])
        #expect(standing(.seconds(-60), nil)[0].contains("in the last 0 ms"))
    }
}
