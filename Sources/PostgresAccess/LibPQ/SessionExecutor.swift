import Dispatch
import Glibc

/// A serial executor over a private queue, whose thread may block.
final class SessionExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "apex-backup.postgres-session")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { unsafe job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}

/// A session with one PostgreSQL server.
///
/// The actor runs on a thread of its own, because libpq blocks: nothing here ever occupies a thread of the cooperative
/// pool. One statement runs at a time.
package actor PostgresSession {
    /// Where the session is connected.
    nonisolated package let settings: ConnectionSettings
    nonisolated let executor: SessionExecutor
    var connection: PostgresConnection?
    /// The error of the last statement that the server refused.
    package internal(set) var lastServerError: ServerError?

    /// The executor of this session's thread.
    nonisolated package var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(settings: ConnectionSettings) {
        self.settings = settings
        executor = SessionExecutor()
    }
}

/// Runs `job`, which a task executor was given, on the calling thread.
///
/// Swift offers this by unowned references only: the executor is alive for as long as this call, because it is passed.
package func runSynchronously(_ job: UnownedJob, on executor: some TaskExecutor) {
    unsafe job.runSynchronously(on: executor.asUnownedTaskExecutor())
}

/// Whether a descriptor has something to read or is at its end: for that of a process, whether it has ended.
func isReadable(_ descriptor: Int32) -> Bool {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&wait, 1, 0) > 0
}

/// Blocks its thread until a descriptor has something to read or is at its end: for that of a process, until it ended.
func waitUntilReadable(_ descriptor: Int32) {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while unsafe poll(&wait, 1, -1) < 0, errno == EINTR {}
}
