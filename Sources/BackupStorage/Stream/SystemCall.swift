internal import BackupModel
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
