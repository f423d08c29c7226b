import Dispatch
import Synchronization

/// Hands values from threads to threads, a limited number at a time: whoever puts waits while it is full, whoever takes
/// waits while it is empty.
///
/// Both block; they are for threads that may (``ThreadedExecutor``, a session's own).
final class BoundedQueue<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var isAbandoned = false
    }

    private let state = Mutex(State())
    // Counted up from 0: one that is let go below the value it began with is a trap of Dispatch.
    private let room = DispatchSemaphore(value: 0)
    private let filled = DispatchSemaphore(value: 0)

    init(limit: Int) { for _ in 0..<limit { room.signal() } }

    /// Returns `false` when nobody takes any more.
    func put(_ element: Element) -> Bool {
        room.wait()
        let isTaken = state.withLock { state in
            guard !state.isAbandoned else { return false }
            state.elements.append(element)
            return true
        }
        if isTaken { filled.signal() } else { room.signal() }
        return isTaken
    }

    /// The next value, or `nil` when there will be none.
    func take() -> Element? {
        filled.wait()
        let element = state.withLock { state -> Element? in
            guard !state.isAbandoned, !state.elements.isEmpty else { return nil }
            return state.elements.removeFirst()
        }
        // Whoever waits beside or after this one is to see the end too.
        if element == nil { filled.signal() } else { room.signal() }
        return element
    }

    /// Says that nothing more will be put: takers get what is there, and then `nil`.
    func close() { filled.signal() }

    /// Drops what is there and lets everybody go who waits.
    func abandon() {
        state.withLock {
            $0.isAbandoned = true
            $0.elements.removeAll()
        }
        room.signal()
        filled.signal()
    }
}
