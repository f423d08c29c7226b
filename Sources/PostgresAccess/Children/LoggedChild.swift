import BackupModel
import Dispatch
import Glibc
import Subprocess
import Synchronization
import SystemPackage

/// A child that runs beside this program and says everything into a file.
///
/// It goes on when this program ends, unless the command quits with it.
final class LoggedChild: Sendable {
    let processIdentifier: Int32
    private let process: Task<ChildOutcome, any Error>
    private let end: ProcessEnd

    private init(processIdentifier: Int32, process: Task<ChildOutcome, any Error>, end: ProcessEnd) {
        self.processIdentifier = processIdentifier
        self.process = process
        self.end = end
    }

    /// Starts `command`; what it says is appended to the file `log`.
    ///
    /// - Throws: an error with what it said if it was gone before its number was known.
    static func start(_ command: ChildCommand, log: String) async throws -> LoggedChild {
        let command = try await prepared(command)
        let configuration = try configuration(of: command)
        let (started, announce) = AsyncStream.makeStream(of: Int32.self)
        let end = ProcessEnd()
        let process = Task {
            defer {
                end.mark()
                announce.finish()
            }
            return try await run(command, configuration, log: log) { announce.yield($0) }
        }
        guard let processIdentifier = await started.first(where: { _ in true }) else {
            // Who is cancelled does not hear of the child any more, which may live.
            if Task.isCancelled { process.cancel() }
            let outcome = try await process.value
            throw BackupError(
                .toolFailed, "\(command.name) ended at its start.", reason: outcome.standardErrorTail,
                remedy: "See its words.")
        }
        return LoggedChild(processIdentifier: processIdentifier, process: process, end: end)
    }

    /// Whether its end has been seen.
    var hasEnded: Bool { end.isMarked }

    /// Sends a signal, unless it has ended.
    func send(_ signal: Int32) {
        if !end.isMarked { kill(processIdentifier, signal) }
    }

    /// Asks it to end: SIGTERM, five seconds, SIGKILL.
    func cancel() { process.cancel() }

    /// Waits for its end; returns how, and the last that it said.
    func wait() async throws -> ChildOutcome { try await process.value }

    /// Ends it as a PostgreSQL server, and waits for its end; one that does not react within `limit` is killed, which
    /// throws `CancellationError`.
    func stopServer(mode: ScratchServer.StopMode, limit: Duration) async throws -> ChildOutcome {
        send(mode == .fast ? SIGINT : SIGQUIT)
        let timer = Task {
            try await Task.sleep(for: limit)
            cancel()
        }
        defer { timer.cancel() }
        return try await wait()
    }

    private static func run(
        _ command: ChildCommand, _ configuration: Configuration, log: String, _ announce: @Sendable (Int32) -> Void
    ) async throws -> ChildOutcome {
        let start = ContinuousClock.now
        let file = try FileDescriptor.open(
            FilePath(log), .writeOnly, options: [.append, .create, .noFollow, .closeOnExec],
            permissions: .ownerReadWrite)
        let input = try FileDescriptor.open(FilePath("/dev/null"), .readOnly, options: .closeOnExec)
        let output = try FileDescriptor.open(FilePath("/dev/null"), .writeOnly, options: .closeOnExec)
        do {
            let result = try await Subprocess.run(
                configuration, input: .fileDescriptor(input, closeAfterSpawningProcess: true),
                output: .fileDescriptor(output, closeAfterSpawningProcess: true),
                error: .fileDescriptor(file, closeAfterSpawningProcess: true)
            ) { child in announce(child.processIdentifier.value) }
            try Task.checkCancellation()
            return ChildOutcome(
                status: .init(result.terminationStatus), standardErrorTail: await readEnd(of: log) ?? "",
                duration: ContinuousClock.now - start)
        } catch let error as SubprocessError {
            try Task.checkCancellation()
            throw startError(error, of: command)
        }
    }
}

/// Whether a process has ended, known before anyone can mistake another process for it.
private final class ProcessEnd: Sendable {
    private let flag = Atomic(false)
    var isMarked: Bool { flag.load(ordering: .acquiring) }
    func mark() { flag.store(true, ordering: .releasing) }
}
