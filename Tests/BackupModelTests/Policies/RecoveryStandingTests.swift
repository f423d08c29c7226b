import BackupModel
import Testing

@Suite struct `What a failure now would cost` {
    private let objectives = BackupPolicy.RecoveryObjectives()
    private let now = Timestamp(microseconds: 1_800_000_000_000_000)

    private func standing(
        _ exposure: Duration?, _ restore: Duration?,
        uncounted: [BackupPolicy.RecoveryObjectives.Uncounted] = []
    ) -> [String] {
        objectives.standing(
            recoveryPoint: exposure.map { now.advanced(by: .zero - $0) }, lastRestore: restore, uncounted: uncounted,
            at: now)
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
                "No backup was restored as a whole yet: an RTO of 4 h is not proved.",
            ])
        #expect(standing(.seconds(-60), nil)[0].contains("in the last 0 ms"))
        #expect(
            standing(.seconds(-7200), nil)[0]
                == "What a failure now would lose is not known: the newest backup is dated 2 h after this machine's clock."
        )
    }

    @Test func `names the backups that hold less than is asked for, or the newest three`() {
        let ids = (1...5).map { RunID(at: now, chance: $0) }
        let told = standing(
            nil, nil,
            uncounted: [.init(lack: "without roles", backups: ids), .init(lack: "of one database", backups: [ids[4]])])
        #expect(
            told == [
                "A failure now would lose what no backup holds: there is no undamaged backup of all that the policy "
                    + "names.", "No backup was restored as a whole yet: an RTO of 4 h is not proved.",
                "Not counted: \(ids[0]), \(ids[1]), \(ids[2]) and 2 more (without roles).",
                "Not counted: \(ids[4]) (of one database).",
            ])
        #expect(standing(.zero, nil, uncounted: [.init(lack: "", backups: ids)])[0].contains("RPO 15 min: met"))
    }
}
