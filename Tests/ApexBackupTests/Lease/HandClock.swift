import ApexBackup
import BackupModel
import Synchronization

/// Clocks that only go when somebody sleeps, or when they are set.
final class HandClock: Sendable {
    private struct State {
        var wall: Timestamp
        var monotonic = Duration.zero
        var sleeps = 0
    }

    private let state: Mutex<State>
    private let onSleep: @Sendable (Int) async throws -> Void

    /// Starts at `start`; `onSleep` is told the number of each sleep, counted from 1, when it is over.
    init(
        _ start: String = "2026-11-21T02:00:00Z", onSleep: @escaping @Sendable (Int) async throws -> Void = { _ in }
    ) {
        guard case .instant(let wall) = TimeText.parse(start) else { preconditionFailure("'\(start)' is no time") }
        state = Mutex(State(wall: wall))
        self.onSleep = onSleep
    }

    var now: Timestamp { state.withLock { $0.wall } }
    /// How long all sleeps took.
    var slept: Duration { state.withLock { $0.monotonic } }

    /// Sets the wall clock alone, as an operator or NTP does.
    func step(by duration: Duration) { state.withLock { $0.wall = $0.wall.advanced(by: duration) } }

    var clocks: Clocks {
        Clocks(
            wall: { self.now }, monotonic: { self.slept },
            sleep: { duration in
                try Task.checkCancellation()
                let number = self.state.withLock { state in
                    state.monotonic += duration
                    state.wall = state.wall.advanced(by: duration)
                    state.sleeps += 1
                    return state.sleeps
                }
                try await self.onSleep(number)
            })
    }
}
