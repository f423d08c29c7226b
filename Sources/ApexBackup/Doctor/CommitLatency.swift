import BackupModel
import PostgresAccess

/// What it costs a commit to wait for a synchronous standby.
///
/// It is measured in a session of its own, which ends with a commit that is not waited for any longer.
struct CommitLatency: Sendable {
    let connection: ConnectionSettings
    let clocks: Clocks
    let longestSilence: Duration

    private static let commits = 7
    private static let patience: Duration = .seconds(10)

    /// The medians of a few heartbeats that wait and of as many that do not; `nil` if those that wait take too long, or
    /// the server has no room for one session more.
    func measure() async throws -> DoctorFacts.Receiver.Latency? {
        do {
            return try await PostgresSession.with(
                connection, applicationName: "apex-backup doctor", timeout: DumpSource.connectTimeout,
                longestSilence: longestSilence
            ) { session in
                try await session.execute("SET synchronous_commit = local; SET search_path = ''")
                let local = try await median(in: session)
                try await session.execute("SET synchronous_commit = 'on'")
                return try await boundedMedian(in: session).map { .init(waiting: $0, local: local) }
            }
        } catch let error as BackupError where error.code == .serverRefused {
            return nil
        }
    }

    /// While the standby is away a commit waits, and no time-out of the server ends that; cancelled, it is committed.
    private func boundedMedian(in session: PostgresSession) async throws -> Duration? {
        try await withThrowingTaskGroup(of: Duration?.self) { group in
            group.addTask { try await median(in: session) }
            group.addTask {
                try await clocks.sleep(Self.patience)
                return nil
            }
            let first = try await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    private func median(in session: PostgresSession) async throws -> Duration {
        var times: [Duration] = []
        for _ in 0..<Self.commits {
            times.append(try await clocks.timed { _ = try await session.query(PostgresSession.heartbeat) }.duration)
        }
        return times.sorted()[Self.commits / 2]
    }
}
