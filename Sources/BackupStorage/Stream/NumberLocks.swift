package import BackupModel
import Dispatch

/// Locks on numbers, which the processes of a host take by one file; the end of a process gives back what it had,
/// however it comes.
package final class NumberLocks: Sendable {
    private let file: OpenFile

    init(_ file: consuming OpenFile) { self.file = file }

    /// Takes the lock of `number`; false if it is taken.
    package func take(_ number: Int64) throws(BackupError) -> Bool { try file.lock(at: number, waits: false) }

    /// Takes the lock of `number` as soon as it is free; false if it is not within `patience`.
    ///
    /// The system wakes the thread that waits. It is not waited for any longer after that, and this object must not be
    /// used again.
    package func take(_ number: Int64, waitingUpTo patience: Duration) throws(BackupError) -> Bool {
        if try take(number) { return true }
        let isTaken = DispatchSemaphore(value: 0)
        DispatchQueue(label: "apex-backup.lock").async { [self] in
            if (try? file.lock(at: number, waits: true)) == true { isTaken.signal() }
        }
        let milliseconds = Int(patience / .milliseconds(1))
        return isTaken.wait(timeout: .now() + .milliseconds(milliseconds)) == .success
    }

    /// Whether somebody else has the lock of `number`; `nil` if that cannot be told.
    package func isTaken(_ number: Int64) -> Bool? { file.isLocked(at: number) }

    /// Gives back the lock of `number`.
    package func giveBack(_ number: Int64) { file.unlock(at: number) }
}
