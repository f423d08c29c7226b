import Synchronization

/// What happens when a pause of a ``HandClock`` is over, which may be said after the clock was made.
final class PauseScript: Sendable {
    private let step = Mutex<(@Sendable (Int) throws -> Void)?>(nil)

    /// Has `step` run after each pause, with its number, counted from 1.
    func run(_ step: @escaping @Sendable (Int) throws -> Void) { self.step.withLock { $0 = step } }

    /// A clock whose pauses it follows.
    func clock(_ start: String) -> HandClock {
        HandClock(start) { number in try self.step.withLock { $0 }?(number) }
    }
}
