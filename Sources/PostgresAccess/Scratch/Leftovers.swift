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
        guard await mark.ownerIsGone() else {
            throw BackupError(
                .targetUnsuitable, "The scratch server in '\(directory)' is in use.",
                reason: "the process \(mark.process.pid) of the host '\(mark.host)' made it, and is not known to have "
                    + "ended",
                remedy: "Wait until it has ended; of another host or container, look there.",
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

/// Says which process of which host made a scratch server.
struct OwnershipMark: Sendable, Hashable {
    static let fileName = "apex-backup-scratch"
    var process: ProcessIdentity
    var host: String

    static func ofThisProcess() async -> OwnershipMark {
        let host = await thisHost()
        let status = await readEnd(of: ProcessHost.statusFile(of: getpid()))
        return OwnershipMark(process: host.thisProcess(status: status), host: host.name)
    }

    func write(to directory: String) throws {
        let file = try FileDescriptor.open(
            FilePath("\(directory)/\(Self.fileName)"), .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: .ownerReadWrite)
        let text = "\(process.pid) \(process.startTicks) \(process.boot) \(process.namespace ?? 0) \(host)\n"
        _ = try file.closeAfter { try file.writeAll(text.utf8) }
    }

    static func read(from directory: String) async -> OwnershipMark? {
        guard let text = await readEnd(of: "\(directory)/\(fileName)") else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 5, let pid = Int32(fields[0]), let ticks = UInt64(fields[1]) else { return nil }
        return OwnershipMark(
            process: ProcessIdentity(
                pid: pid, startTicks: ticks, boot: String(fields[2]), namespace: UInt64(fields[3])),
            host: String(fields[4]))
    }

    func ownerIsGone() async -> Bool {
        let status = await readEnd(of: ProcessHost.statusFile(of: process.pid))
        return await Self.thisHost().isGone(process, on: host, status: status)
    }

    private static func thisHost() async -> ProcessHost {
        ProcessHost(
            name: await readEnd(of: ProcessHost.nameFile), boot: await readEnd(of: ProcessHost.bootFile))
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
