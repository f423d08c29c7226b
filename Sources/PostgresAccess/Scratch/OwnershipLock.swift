package import BackupModel
import Glibc
import SystemPackage

/// A lock on a file, which says that whoever made the file still lives.
///
/// The kernel takes it back when the process that holds it has ended, however it did, and shows it to all containers of
/// the host. Children do not inherit it.
package final class OwnershipLock: Sendable {
    private let file: FileDescriptor

    private init(_ file: FileDescriptor) { self.file = file }

    deinit { try? file.close() }

    /// Locks the file at `path`, which this process has just made; waits for whoever looks at it now.
    ///
    /// Returns `nil` if that was one who took it for a leftover and has removed it.
    package static func own(_ path: String) throws(BackupError) -> OwnershipLock? { try take(path, LOCK_EX) }

    /// Takes over the file at `path`, which may be removed then; `nil` if it is in use, or gone.
    package static func takeOver(_ path: String) throws(BackupError) -> OwnershipLock? {
        try take(path, LOCK_EX | LOCK_NB)
    }

    private static func take(_ path: String, _ operation: Int32) throws(BackupError) -> OwnershipLock? {
        do {
            let lock = OwnershipLock(
                try FileDescriptor.open(
                    FilePath(path), .readWrite, options: [.noFollow, .nonBlocking, .closeOnExec]))
            while flock(lock.file.rawValue, operation) != 0 {
                let failure = Errno(rawValue: errno)
                if failure == .wouldBlock { return nil }
                if failure != .interrupted { throw failure }
            }
            // Who held it until now may have removed it.
            return try lock.file.stat().linkCount > 0 ? lock : nil
        } catch {
            let known = error as? Errno
            if known == .noSuchFileOrDirectory { return nil }
            throw BackupError(
                known == .permissionDenied || known == .notPermitted ? .permissionDenied : .storageFailed,
                "'\(path)' cannot be locked.", reason: "\(error)",
                remedy: "Choose a directory for temporary files that is on a local file system.")
        }
    }
}
