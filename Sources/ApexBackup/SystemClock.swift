public import BackupModel
import FoundationEssentials

/// The clocks an operation reads: passed in, so that tests decide what time it is.
public struct Clocks: Sendable {
    /// The wall clock, in UTC: for records, never for durations.
    public var wall: @Sendable () -> Timestamp
    /// A clock that never steps: for durations.
    ///
    /// Its origin means nothing.
    public var monotonic: @Sendable () -> Duration
    /// Waits; throws `CancellationError` when the task is cancelled.
    public var sleep: @Sendable (Duration) async throws -> Void

    /// Makes clocks of the given functions.
    public init(
        wall: @escaping @Sendable () -> Timestamp, monotonic: @escaping @Sendable () -> Duration,
        sleep: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.wall = wall
        self.monotonic = monotonic
        self.sleep = sleep
    }

    /// The host's clocks.
    public static let system: Clocks = {
        let origin = ContinuousClock.now
        return Clocks(
            wall: { Timestamp(microseconds: Int64((Date().timeIntervalSince1970 * 1_000_000).rounded())) },
            monotonic: { origin.duration(to: ContinuousClock.now) },
            sleep: { try await Task.sleep(for: $0) })
    }()

    /// Runs `body` and tells how long it took.
    package func timed<Value>(_ body: () async throws -> Value) async rethrows -> (value: Value, duration: Duration) {
        let start = monotonic()
        let value = try await body()
        return (value, monotonic() - start)
    }
}
