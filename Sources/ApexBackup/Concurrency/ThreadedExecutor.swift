import BackupModel
import Dispatch
import PostgresAccess
import Synchronization

/// Runs tasks on threads of its own, so that blocking calls never starve Swift's cooperative pool.
///
/// Each worker is a serial queue, which the system gives a thread of its own; a job goes to an idle worker, else to a
/// new one, else it waits for the first that is done.
package final class ThreadedExecutor: TaskExecutor {
    /// The executor of all operations of this process: with threads left for heartbeats, signals and error output when
    /// as many jobs as there may be are each blocked in their own.
    package static let shared = ThreadedExecutor(threads: 3 * BackupPolicy.possibleJobs.upperBound + 32)

    private struct State {
        var idle: [DispatchQueue] = []
        var started = 0
        var waiting: [UnownedJob] = []
    }

    private let state = Mutex(State())
    private let threads: Int

    package init(threads: Int) { self.threads = threads }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let threads = threads
        let worker: DispatchQueue? = state.withLock { state in
            if let queue = state.idle.popLast() { return queue }
            guard state.started < threads else {
                state.waiting.append(job)
                return nil
            }
            state.started += 1
            return DispatchQueue(label: "apex-backup.worker-\(state.started)")
        }
        if let worker { run(job, on: worker) }
    }

    private func run(_ job: UnownedJob, on worker: DispatchQueue) {
        worker.async { [self] in
            var next: UnownedJob? = job
            while let current = next {
                PostgresAccess.runSynchronously(current, on: self)
                next = state.withLock { state in
                    if state.waiting.isEmpty {
                        state.idle.append(worker)
                        return nil
                    }
                    return state.waiting.removeFirst()
                }
            }
        }
    }
}
