package import BackupModel
import Subprocess
import SystemPackage

/// Throws unless the child exited with 0.
package func requireSuccess(_ outcome: ChildOutcome, of command: ChildCommand) throws(BackupError) {
    let end: String
    var remedy = "See the words of \(command.name) above for the cause."
    switch outcome.status {
    case .exited(0): return
    case .exited(let status): end = "failed with exit status \(status)"
    case .signalled(let number):
        end = "was ended by \(signalName(number))"
        if number == 9 { remedy = "Look for the kernel's out-of-memory killer (dmesg), or for who ended it." }
    }
    let words = outcome.standardErrorTail.trimmingLineEnds()
    throw BackupError(
        .toolFailed, "\(command.name) \(end) after \(DurationText.format(outcome.duration)).",
        reason: words.isEmpty ? "\(command.name) wrote nothing to its error output" : words, remedy: remedy)
}

/// The name of a signal as people know it.
private func signalName(_ number: Int32) -> String {
    let names: [Int32: String] = [
        1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
        11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
    ]
    return names[number].map { "\($0) (signal \(number))" } ?? "signal \(number)"
}

/// Why a child could not be started.
func startError(_ error: SubprocessError, of command: ChildCommand) -> BackupError {
    let cause = error.underlyingError.map { "\($0)" }
    if error.code == .executableNotFound {
        return BackupError(
            .toolMissing, "The program \(command.executable) cannot be run.", reason: cause,
            remedy: "Install it, or name the directory it is in.")
    }
    return BackupError(
        .toolFailed, "The program \(command.executable) could not be run or watched.", reason: cause,
        remedy: "Check the limits on processes and memory, and that the user may run it.")
}

/// The end of a child's error output.
struct OutputTail: Sendable {
    private static let limit = 16 << 10
    private var bytes: [UInt8] = []
    private var isCut = false

    mutating func append(_ more: [UInt8]) {
        bytes += more
        guard bytes.count > 4 * Self.limit else { return }
        bytes.removeFirst(bytes.count - Self.limit)
        isCut = true
    }

    /// The text without secrets; a line whose beginning is lost is left out, because it may begin amid a secret.
    func text(without secrets: [String]) -> String {
        var kept = bytes.suffix(Self.limit)
        if isCut || kept.count < bytes.count {
            kept = kept.drop { $0 != UInt8(ascii: "\n") }.dropFirst()
        }
        return redacting(String(decoding: kept, as: UTF8.self), secrets: secrets)
    }
}

extension String {
    fileprivate func trimmingLineEnds() -> String {
        var text = Substring(self)
        while text.last?.isNewline == true { text.removeLast() }
        return String(text)
    }
}
