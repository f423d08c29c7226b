import Testing

@testable import BackupModel

@Suite struct `Heartbeats` {
    private func interval(rpo: Duration, wanted: Duration = .seconds(30)) -> Duration {
        var objectives = BackupPolicy.RecoveryObjectives()
        objectives.rpo = rpo
        return objectives.heartbeat(every: wanted)
    }

    @Test func `come ten times within the RPO, and no more often than every second`() {
        #expect(interval(rpo: .seconds(900)) == .seconds(30))
        #expect(interval(rpo: .seconds(60)) == .seconds(6))
        #expect(interval(rpo: .seconds(5)) == .seconds(1))
        #expect(interval(rpo: .zero) == .seconds(1))
        #expect(interval(rpo: .seconds(900), wanted: .milliseconds(100)) == .seconds(1))
        #expect(interval(rpo: .seconds(900), wanted: .seconds(3600)) == .seconds(90))
    }

    @Test func `do not come if they are not wanted`() {
        #expect(interval(rpo: .seconds(900), wanted: .zero) == .zero)
    }
}
