import BackupModel
import PostgresAccess

/// What it costs a commit to wait for a synchronous standby.
struct CommitLatency: Sendable {
    let session: PostgresSession
    let clocks: Clocks

    private static let commits = 7
    private static let patience: Duration = .seconds(10)

    /// The medians of a few heartbeats that wait and of as many that do not; `nil` if those that wait take too long.
    ///
    /// The session commits without waiting afterwards.
    func measure() async throws -> DoctorFacts.Receiver.Latency? {
        let local = try await median()
        try await session.execute("SET synchronous_commit = 'on'")
        let waiting = try await boundedMedian()
        try await session.execute("SET synchronous_commit = local")
        return waiting.map { .init(waiting: $0, local: local) }
    }

    /// While the standby is away a commit waits, and no time-out of the server ends that; cancelled, it is committed.
    private func boundedMedian() async throws -> Duration? {
        try await withThrowingTaskGroup(of: Duration?.self) { group in
            group.addTask { try await median() }
            group.addTask {
                try await clocks.sleep(Self.patience)
                return nil
            }
            let first = try await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    private func median() async throws -> Duration {
        var times: [Duration] = []
        for _ in 0..<Self.commits {
            times.append(try await clocks.timed { _ = try await session.query(PostgresSession.heartbeat) }.duration)
        }
        return times.sorted()[Self.commits / 2]
    }
}
