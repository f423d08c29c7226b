import ApexBackup
import BackupModel
import FoundationEssentials
import Glibc
import Synchronization
import SystemPackage

/// Where a command's words go: data on standard output, everything else on standard error.
final class Console: Sendable {
    private struct Progress {
        var lineIsOpen = false
        var lastShown: ContinuousClock.Instant?
    }

    let isJSON: Bool
    private let isQuiet: Bool
    private let isTerminal: Bool
    private let progress = Mutex(Progress())

    init(command: CommonOptions) {
        isJSON = command.json
        isQuiet = command.quiet
        isTerminal = isatty(STDERR_FILENO) == 1
    }

    /// Prints lines of data.
    func print(_ text: String) { Self.write("\(withoutControls(text))\n") }

    /// Prints `value` as one JSON document.
    func print(json value: some Encodable) { Self.printJSON(value) }

    static func printJSON(_ value: some Encodable) {
        do {
            write(String(decoding: try RepositoryJSON.encodePlain(value, pretty: true), as: UTF8.self))
        } catch {
            writeError("apex-backup: error: \(error)")
        }
    }

    /// Writes data to standard output; that it could not is told, and kept for the exit status.
    static func write(_ text: String) {
        do { try FileDescriptor.standardOutput.writeAll(text.utf8) } catch {
            guard !outputFailed.exchange(true, ordering: .relaxed) else { return }
            let done = work.withLock { $0.map { "\n  done: \(withoutControls($0))" } ?? "" }
            writeError("apex-backup: error: The output could not be written: \(error)\(done)")
        }
    }

    /// Notes what was done before its result is printed: it stays done, whatever becomes of the output.
    func hasDone(_ what: String) { Self.work.withLock { $0 = what } }

    /// Whether not all data reached standard output of a command that was there to show it, and did nothing else.
    static var isOutcomeLost: Bool { outputFailed.load(ordering: .relaxed) && work.withLock { $0 == nil } }
    private static let outputFailed = Atomic(false)
    private static let work = Mutex<String?>(nil)

    /// Tells of an error: as text on standard error, or as JSON on standard output.
    func report(_ error: BackupError) {
        endLine()
        if isJSON {
            Self.printJSON(ErrorDocument(error: error))
        } else {
            Self.writeError(withoutControls("apex-backup: error: \(error)"))
        }
    }

    /// Shows what happens while it happens.
    func show(_ event: BackupEvent) {
        switch event {
        case .warning(let text):
            endLine()
            Self.writeError("apex-backup: warning: \(onOneLine(text))")
        case .note(let text):
            guard !isQuiet else { return }
            endLine()
            Self.writeError("apex-backup: \(onOneLine(text))")
        case .phase(let name): showProgress("\(name) …")
        case .progress(let subject, let bytes, let whole):
            let share = whole.map { $0 > 0 ? " of \(formatBytes($0))" : "" } ?? ""
            showProgress("\(subject): \(formatBytes(bytes))\(share)")
        }
    }

    /// On a terminal one line that changes; elsewhere a line every half minute.
    private func showProgress(_ text: String) {
        guard !isQuiet else { return }
        let text = onOneLine(text)
        progress.withLock { state in
            let now = ContinuousClock.now
            if isTerminal {
                Self.writeError("\r\u{1B}[K\(text)", terminator: "")
                state.lineIsOpen = true
            } else if state.lastShown.map({ $0.duration(to: now) >= .seconds(30) }) ?? false {
                Self.writeError("apex-backup: \(text)")
                state.lastShown = now
            }
            if state.lastShown == nil { state.lastShown = now }
        }
    }

    private func endLine() {
        progress.withLock { state in
            if state.lineIsOpen { Self.writeError("\r\u{1B}[K", terminator: "") }
            state.lineIsOpen = false
        }
    }

    /// Asks on the terminal for `name` to be typed; without a terminal there is nobody to ask.
    func isTyped(_ name: String, question: String) -> Bool {
        guard isatty(STDIN_FILENO) == 1 else { return false }
        endLine()
        Self.writeError(question, terminator: " ")
        return readLine() == name
    }

    /// Nothing can be said about a failure to write to standard error.
    static func writeError(_ text: String, terminator: String = "\n") {
        _ = try? FileDescriptor.standardError.writeAll((text + terminator).utf8)
    }
}

/// How an error looks as JSON.
struct ErrorDocument: Encodable {
    struct Body: Encodable {
        var code: ErrorCode
        var exitStatus: Int32
        var message: String
        var reason: String?
        var remedy: String
        var unchanged: String?
    }

    var error: Body

    init(error: BackupError) {
        self.error = Body(
            code: error.code, exitStatus: error.code.exitStatus, message: error.message, reason: error.reason,
            remedy: error.remedy, unchanged: error.unchanged)
    }
}
