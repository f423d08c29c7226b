package import BackupModel
import Glibc
import SystemPackage

/// A directory for a server of our own and its data: made anew, known to be in use while this value lives, and removed.
package final class ScratchDirectory: Sendable {
    package let path: String
    /// The user whom it belongs to when this program is root, and who runs the server; `nil` is the user of this program.
    package let userName: String?
    private let lock: OwnershipLock

    private init(path: String, userName: String?, lock: OwnershipLock) {
        self.path = path
        self.userName = userName
        self.lock = lock
    }

    /// Makes the directory, which must not exist yet; as root, for the user `userName` or else `postgres`.
    package static func make(_ path: String, userName: String? = nil) async throws -> ScratchDirectory {
        try checkSocketPath(in: path)
        let userName = try runningUser(userName)
        // Not cancelled half-way: a directory is made and known to be ours, or it is not made.
        let lock = try await Task { try await make(path, for: userName) }.value
        return ScratchDirectory(path: path, userName: userName, lock: lock)
    }

    /// The user whom a directory of this program belongs to when it is root, unless another is named.
    package static var user: String? { geteuid() == 0 ? "postgres" : nil }

    /// Removes it with all that is in it, also when the task was cancelled.
    ///
    /// - Throws: ``ErrorCode/cleanupFailed`` if something of it is still there.
    package func remove() async throws {
        let path = path
        try await Task { try await removeTree(path) }.value
    }

    /// The user to switch to, or `nil` to stay the user that this program runs as.
    private static func runningUser(_ wanted: String?) throws(BackupError) -> String? {
        if let user { return wanted ?? user }
        guard wanted == nil else {
            throw BackupError(
                .usage, "A server cannot be run as another user.", reason: "only root may do so",
                remedy: "Leave the user out.", unchanged: "Nothing was created.")
        }
        return nil
    }

    private static func make(_ directory: String, for userName: String?) async throws -> OwnershipLock {
        let user = if let userName { try await SystemUser.named(userName) } else { SystemUser?.none }
        let command = ChildCommand(
            "/bin/mkdir", arguments: ["-m", "0700", "--", directory], environment: ["LC_ALL": "C"])
        let (outcome, _) = try await capture(command)
        guard outcome.isSuccess else {
            throw BackupError(
                .targetUnsuitable, "The directory '\(directory)' for a scratch server could not be created.",
                reason: outcome.standardErrorTail,
                remedy: "Name a directory that does not exist yet, in one that exists and may be written.",
                unchanged: "Nothing was created.")
        }
        do {
            let lock = try await OwnershipMark.make(in: directory)
            if let user {
                let descriptor = try FileDescriptor.open(
                    FilePath(directory), .readOnly, options: [.directory, .closeOnExec])
                defer { try? descriptor.close() }
                guard fchown(descriptor.rawValue, user.userID, user.groupID) == 0 else { throw Errno(rawValue: errno) }
            }
            return lock
        } catch {
            try await removeTree(directory)
            throw BackupError(
                .targetUnsuitable, "The directory '\(directory)' could not be prepared for a scratch server.",
                reason: (error as? BackupError)?.reason ?? "\(error)",
                remedy: "Choose a directory on a file system that has owners and locks.")
        }
    }
}

/// Refuses a directory in which a server's socket cannot be: the kernel takes paths of at most 107 bytes.
package func checkSocketPath(in directory: String) throws(BackupError) {
    let socket = "\(directory)/.s.PGSQL.5432"
    guard directory.hasPrefix("/"), socket.utf8.count <= 107 else {
        throw BackupError(
            .usage, "A server cannot be started in '\(directory)'.",
            reason: directory.hasPrefix("/")
                ? "its socket's path would have \(socket.utf8.count) bytes, and the system allows 107"
                : "the path is not absolute",
            remedy: "Choose a directory with a shorter absolute path.", unchanged: "Nothing was created.")
    }
}
