import BackupModel
import Dispatch
import Glibc
import SystemPackage

extension ScratchServer {
    /// Ends and removes what a program that died has left of a scratch server in `directory`; `false` if it is in use.
    ///
    /// - Throws: an error, and leaves everything as it is, if nobody can tell whether it is in use.
    package static func stopLeftover(directory: String) async throws -> Bool {
        guard let host = await OwnershipMark.host(in: directory) else {
            throw notKnown(directory, "it holds no readable file '\(OwnershipMark.fileName)'")
        }
        guard await host == OwnershipMark.thisHost() else { throw notKnown(directory, "the host '\(host)' made it") }
        guard let lock = try OwnershipLock.takeOver(OwnershipMark.path(in: directory)) else { return false }
        defer { withExtendedLifetime(lock) {} }
        if let server = await serverProcess(in: directory) { try await end(server, in: directory) }
        try await removeTree(directory)
        return true
    }

    private static func notKnown(_ directory: String, _ reason: String) -> BackupError {
        BackupError(
            .targetUnsuitable, "Whether a scratch server uses '\(directory)' cannot be told from here.", reason: reason,
            remedy: "If none does, remove the directory by hand.", unchanged: "Nothing was stopped or removed.")
    }

    /// The process of the server that runs on the data in `directory`.
    private static func serverProcess(in directory: String) async -> Int32? {
        let data = dataDirectory(in: directory)
        guard let text = await readEnd(of: "\(data)/postmaster.pid"), let line = text.split(separator: "\n").first,
            let process = Int32(line), process > 1,
            // The number may be another's by now.
            let commandLine = await readEnd(of: "/proc/\(process)/cmdline"),
            commandLine.split(separator: "\0").contains(Substring(data))
        else { return nil }
        return process
    }

    private static func end(_ process: Int32, in directory: String) async throws {
        for signal in [SIGQUIT, SIGKILL] {
            kill(process, signal)
            // Ten seconds of pauses: while this host stands still, the process cannot end either.
            for _ in 0..<500 {
                if await serverProcess(in: directory) != process { return }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        throw BackupError(
            .cleanupFailed, "The scratch server in '\(directory)' could not be ended.",
            reason: "its process \(process) still runs",
            remedy: "End the process \(process), then remove the directory.",
            unchanged: "The directory was not removed.")
    }
}

/// The file that says which host a scratch server was made on, locked while whoever made it lives.
enum OwnershipMark {
    static let fileName = "apex-backup-scratch"

    static func path(in directory: String) -> String { "\(directory)/\(fileName)" }

    /// Makes the mark of this process; it names the host only when it is locked.
    static func make(in directory: String) async throws -> OwnershipLock {
        let host = await thisHost()
        let path = path(in: directory)
        let file = try FileDescriptor.open(
            FilePath(path), .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: .ownerReadWrite)
        return try file.closeAfter {
            guard let lock = try OwnershipLock.own(path) else { throw Errno.noSuchFileOrDirectory }
            try file.writeAll("\(host)\n".utf8)
            return lock
        }
    }

    /// The host that the mark in `directory` names; `nil` if there is no mark of this form.
    static func host(in directory: String) async -> String? {
        guard let text = await readEnd(of: path(in: directory)), text.last == "\n" else { return nil }
        let words = text.split(whereSeparator: \.isWhitespace)
        return words.count == 1 ? String(words[0]) : nil
    }

    static func thisHost() async -> String {
        ProcessHost(name: await readEnd(of: ProcessHost.nameFile), boot: nil).name
    }
}

/// The last 16 KiB of a file as text; `nil` if it cannot be read, or is anything else, which might never end.
func readEnd(of path: String) async -> String? {
    guard let file = try? FileDescriptor.open(FilePath(path), .readOnly, options: [.nonBlocking, .closeOnExec]) else {
        return nil
    }
    defer { try? file.close() }
    guard let kind = try? file.stat().type, kind == .regular else { return nil }
    let limit = 16 << 10
    if let size = try? file.seek(offset: 0, from: .end), size > limit {
        _ = try? file.seek(offset: -Int64(limit), from: .end)
    } else {
        _ = try? file.seek(offset: 0, from: .start)
    }
    let bytes = await withCheckedContinuation { continuation in
        DispatchIO.read(fromFileDescriptor: file.rawValue, maxLength: limit, runningHandlerOn: .global()) { data, _ in
            continuation.resume(returning: Array(data))
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Removes `directory` with all that is in it.
///
/// What a server had started, a command for WAL or a worker that reads ahead, may write a moment longer than the server
/// lives: it is tried again for some seconds.
func removeTree(_ directory: String) async throws {
    let command = ChildCommand(
        "/bin/rm", arguments: ["-rf", "--one-file-system", "--", directory], environment: ["LC_ALL": "C"])
    var attempts = 20
    while true {
        let (outcome, _) = try await capture(command)
        if outcome.isSuccess { return }
        guard attempts > 0 else {
            throw BackupError(
                .cleanupFailed, "The directory '\(directory)' could not be removed.",
                reason: outcome.standardErrorTail, remedy: "Remove it by hand.")
        }
        attempts -= 1
        try await Task.sleep(for: .milliseconds(250))
    }
}
