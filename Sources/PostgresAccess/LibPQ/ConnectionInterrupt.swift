import CLibPQ
import Dispatch
import Glibc
import Synchronization

/// Ends what a connection is doing, from another thread.
@safe final class ConnectionInterrupt: Sendable {
    private let state: Mutex<State>
    /// The address of what libpq sends cancel requests with, on any thread: held while one is under way, so that it cannot
    /// reach the statement after the one it was meant for.
    private let cancelHandle: Mutex<Int>
    private let queue = DispatchQueue(label: "apex-backup.postgres-cancel")

    private struct State {
        var socket: Int32
        var statement = 0
        var isRunning = false
        var isCancelled = false
    }

    init(cancelHandle: OpaquePointer?, socket: Int32) {
        self.cancelHandle = Mutex(Int(bitPattern: cancelHandle))
        state = Mutex(State(socket: socket))
    }

    deinit { cancelHandle.withLock { unsafe PQfreeCancel(OpaquePointer(bitPattern: $0)) } }

    /// Announces a statement and returns its number.
    func begin() -> Int {
        state.withLock {
            $0.statement += 1
            $0.isRunning = false
            $0.isCancelled = false
            return $0.statement
        }
    }

    /// Sends the announced statement, unless it was cancelled before it was sent.
    func sending(_ send: () throws -> Void) throws {
        try state.withLock {
            if $0.isCancelled { throw CancellationError() }
            $0.isRunning = true
        }
        try send()
    }

    /// Says that the statement is over, and waits for a cancel request that is still on its way to it.
    func end(connectionIsLost: Bool) {
        state.withLock { $0.isRunning = false }
        if !connectionIsLost { cancelHandle.withLock { _ in } }
    }

    /// Says that the connection is about to be closed.
    func retire() {
        state.withLock {
            $0.socket = -1
            $0.isRunning = false
        }
    }

    /// Cancels `statement` if it is still the current one; a server that does not react within ten seconds is left.
    func cancel(_ statement: Int) {
        state.withLock { if $0.statement == statement { $0.isCancelled = true } }
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(10)) {
            self.state.withLock { if $0.statement == statement, $0.isRunning { shutdown($0.socket, Int32(SHUT_RDWR)) } }
        }
        queue.async { self.repeatCancel(statement) }
    }

    /// A cancel request may overtake its statement, so it is repeated until the statement is over.
    private func repeatCancel(_ statement: Int) {
        let isCurrent = cancelHandle.withLock { handle in
            guard state.withLock({ $0.statement == statement && $0.isRunning }) else { return false }
            Self.cancel(by: handle)
            return true
        }
        guard isCurrent else { return }
        queue.asyncAfter(deadline: .now() + .milliseconds(250)) { self.repeatCancel(statement) }
    }

    /// Asks the server to cancel what the connection runs now.
    func cancelStatement() { cancelHandle.withLock { Self.cancel(by: $0) } }

    private static func cancel(by handle: Int) {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            _ = unsafe PQcancel(OpaquePointer(bitPattern: handle), buffer.baseAddress, 256)
        }
    }
}
