package import BackupModel
internal import CZlib
internal import Glibc

/// An error of the operating system as the one error type; `what` says what could not be done.
func systemError(_ number: CInt, _ what: String) -> BackupError {
    let reason = unsafe String(cString: strerror(number))
    switch number {
    case ENOSPC, EDQUOT:
        return BackupError(
            .repositoryFull, what, reason: reason, remedy: "Make room there, for example with 'apex-backup prune'.")
    case EACCES, EPERM, EROFS:
        return BackupError(
            .permissionDenied, what, reason: reason,
            remedy: "Run as the user who owns it, and check its permissions and how it is mounted.")
    case EPIPE:
        return BackupError(
            .pipeBroken, what, reason: "the program that reads it ended before it had read everything",
            remedy: "See what that program printed.")
    case ESTALE, ENOTCONN, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ETIMEDOUT, ENODEV, ENXIO:
        return BackupError(
            .repositoryUnavailable, what, reason: reason, remedy: "Check that its storage is mounted and answers.")
    default:
        return BackupError(
            .storageFailed, what, reason: reason, remedy: "Check the file system and the system's log, then run again.")
    }
}
/// Calls again what a signal interrupted.
func retrying<Result: FixedWidthInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

/// The version of the C library, `2.36`, as PostgreSQL names its collations' version; `nil` if it is not GNU's.
package func systemLibraryVersion() -> String? {
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 64) { room, count in
        let length = unsafe room.withMemoryRebound(to: CChar.self) { room in
            unsafe confstr(Int32(_CS_GNU_LIBC_VERSION), room.baseAddress, room.count)
        }
        // What it counts is the text with the zero behind it.
        count = length <= room.count ? max(length, 1) - 1 : 0
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: " ").last.map(String.init)
}

/// Starts a program that this one does not wait for, in the current directory.
///
/// It leads a session of its own without a terminal, reads nothing, what it prints is lost, and it inherits no open file
/// and no ignored signal: no pipe stays open because of it, and no signal to this process group reaches it.
package func startDetached(
    _ executable: String, _ arguments: [String], environment: [String: String]
) throws(BackupError) {
    let words = [executable] + arguments
    let variables = environment.map { "\($0.key)=\($0.value)" }
    guard !(words + variables).contains(where: { $0.utf8.contains(0) }) else {
        throw systemError(EINVAL, "'\(executable)' cannot be started.")
    }
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
        unsafe posix_spawn_file_actions_destroy(&actions)
        unsafe posix_spawnattr_destroy(&attributes)
    }
    unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
    unsafe posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1)
    // A thread of a dispatch queue, which may be the one that starts it, lets no signal through.
    var (none, all) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setflags(
        &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) | spawnInNewSession)
    let failure = unsafe withCStrings(words) { words in
        unsafe withCStrings(variables) { variables in
            unsafe posix_spawn(nil, executable, &actions, &attributes, words, variables)
        }
    }
    guard failure == 0 else { throw systemError(failure, "'\(executable)' cannot be started.") }
}

private func withCStrings<Result>(
    _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var copies = unsafe texts.map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe copies.indices { unsafe free(copies[index]) } }
    return unsafe copies.withUnsafeMutableBufferPointer { buffer in
        guard let start = buffer.baseAddress else { preconditionFailure("a list that ends in nil is not empty") }
        return unsafe body(start)
    }
}

/// Linux's own flag, which the C library shows only to programs that ask for GNU extensions.
private let spawnInNewSession: Int16 = 0x80
