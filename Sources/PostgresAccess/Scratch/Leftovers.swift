import BackupModel
import Dispatch
import Glibc
import SystemPackage

extension ScratchServer {
    /// Ends and removes what a program that died has left of a scratch server in `directory`.
    ///
    /// - Throws: an error, and leaves everything as it is, if `directory` was not made by ``start`` or if the program
    ///   that made it still runs.
    package static func stopLeftover(directory: String) async throws {
        guard let mark = await OwnershipMark.read(from: directory) else {
            throw BackupError(
                .targetUnsuitable, "'\(directory)' is not the directory of a scratch server.",
                reason: "it holds no readable file '\(OwnershipMark.fileName)'", remedy: "Check the path.",
                unchanged: "Nothing was stopped or removed.")
        }
        if await mark.ownerIsAlive() {
            throw BackupError(
                .targetUnsuitable, "The scratch server in '\(directory)' is in use.",
                reason: "the process \(mark.processIdentifier) that made it still runs",
                remedy: "Wait until it has ended.",
                unchanged: "Nothing was stopped or removed.")
        }
        if let server = await serverProcess(in: directory) { try await end(server, in: directory) }
        try await removeTree(directory)
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
            let deadline = ContinuousClock.now + .seconds(10)
            while ContinuousClock.now < deadline {
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

/// Says which process made a scratch server.
struct OwnershipMark: Sendable, Hashable {
    static let fileName = "apex-backup-scratch"
    var processIdentifier: Int32
    /// When that process started, as the kernel counts, and in which boot: a process number alone may be another's.
    var startTime: String

    static func ofThisProcess() async -> OwnershipMark {
        let process = getpid()
        return OwnershipMark(processIdentifier: process, startTime: await Self.startTime(of: process) ?? "")
    }

    func write(to directory: String) throws {
        let file = try FileDescriptor.open(
            FilePath("\(directory)/\(Self.fileName)"), .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: .ownerReadWrite)
        _ = try file.closeAfter { try file.writeAll("\(processIdentifier) \(startTime)\n".utf8) }
    }

    static func read(from directory: String) async -> OwnershipMark? {
        guard let text = await readEnd(of: "\(directory)/\(fileName)") else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 2, let process = Int32(fields[0]) else { return nil }
        return OwnershipMark(processIdentifier: process, startTime: String(fields[1]))
    }

    func ownerIsAlive() async -> Bool { await Self.startTime(of: processIdentifier) == startTime }

    private static func startTime(of process: Int32) async -> String? {
        guard let status = await readEnd(of: "/proc/\(process)/stat"),
            let boot = await readEnd(of: "/proc/sys/kernel/random/boot_id"),
            // The program's name, in parentheses, may itself hold spaces and parentheses.
            let nameEnd = status.lastIndex(of: ")")
        else { return nil }
        let fields = status[nameEnd...].split(separator: " ")
        return fields.count > 20 ? "\(fields[20])@\(boot.prefix { !$0.isWhitespace })" : nil
    }
}

/// The last 16 KiB of a file as text; `nil` if it cannot be read.
func readEnd(of path: String) async -> String? {
    guard let file = try? FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec) else { return nil }
    defer { try? file.close() }
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
func removeTree(_ directory: String) async throws {
    let command = ChildCommand(
        "/bin/rm", arguments: ["-rf", "--one-file-system", "--", directory], environment: ["LC_ALL": "C"])
    let (outcome, _) = try await capture(command)
    guard outcome.isSuccess else {
        throw BackupError(
            .cleanupFailed, "The directory '\(directory)' could not be removed.", reason: outcome.standardErrorTail,
            remedy: "Remove it by hand.")
    }
}
