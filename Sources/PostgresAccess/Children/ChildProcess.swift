import BackupModel
import Dispatch
import Glibc
import Subprocess
import Synchronization
import SystemPackage

/// The caller's side of a running child.
///
/// Descriptors stay the property of `run`, which closes them when the body has ended.
package struct ChildStreams: Sendable {
    package let processIdentifier: Int32
    private let input: PipeEnd?
    private let output: PipeEnd?

    fileprivate init(processIdentifier: Int32, input: PipeEnd?, output: PipeEnd?) {
        self.processIdentifier = processIdentifier
        self.input = input
        self.output = output
    }

    /// Hands the descriptor of the child's standard input to the caller, who closes it; -1 if it has none or was taken.
    package func takeStandardInput() -> Int32 { input?.take() ?? -1 }
    /// Hands the descriptor of the child's standard output to the caller, who closes it; -1 if it has none or was taken.
    package func takeStandardOutput() -> Int32 { output?.take() ?? -1 }
}

/// Runs `command` with `body` beside it, and waits for both.
///
/// `body` gets the raw ends of the pipes it asked for, and must use them on threads of its own. A child that fails is a
/// result, not an error. When `body` throws, a child that does not end by itself within a second, or within ten if it no
/// longer reads its input, is ended: SIGTERM, five seconds, SIGKILL. So it is when the task is cancelled; then this throws
/// `CancellationError`. The child leads a session of its own without a terminal. What it leaves behind in its process
/// group is ended when `body` has ended too, or keeps it waiting for more than five seconds.
package func run<Value: Sendable>(
    _ command: ChildCommand, input: ChildInput = .none, output: ChildOutput = .discarded,
    body: (ChildStreams) async throws -> Value
) async throws -> ChildResult<Value> {
    let command = try await prepared(command)
    let configuration = try configuration(of: command)
    let inputPipe = try input == .pipe ? makePipe() : nil
    let outputPipe = try output == .pipe ? makePipe() : nil
    let inputEnd = inputPipe?.writeEnd
    let outputEnd = outputPipe?.readEnd
    defer {
        inputEnd?.close()
        outputEnd?.close()
    }
    let childInput = try inputPipe?.readEnd ?? openNull(.readOnly)
    let childOutput = try outputPipe?.writeEnd ?? openNull(.writeOnly)
    let (outcome, value) = try await launch(
        command, configuration, input: childInput,
        output: FileDescriptorOutput.fileDescriptor(
            FileDescriptor(rawValue: childOutput.take()), closeAfterSpawningProcess: true)
    ) { child in
        let streams = ChildStreams(
            processIdentifier: child.processIdentifier.value, input: inputEnd, output: outputEnd)
        let watch = ExitWatch(child.processIdentifier)
        defer { watch.bodyEnded() }
        do {
            let value = try await body(streams)
            inputEnd?.close()
            outputEnd?.close()
            await watch.endLeftoversAfterExit()
            return (Result<Value, any Error>.success(value), false)
        } catch {
            // Only a child with a pipe for its input can have broken one; it is at its end, and its words are the cause.
            let isBrokenPipe = input == .pipe && (error as? BackupError)?.code == .pipeBroken
            let endedByItself = await watch.waitForExit(upTo: .seconds(isBrokenPipe ? 10 : 1))
            inputEnd?.close()
            outputEnd?.close()
            if !endedByItself { await child.teardown(using: teardownSteps) }
            await watch.endLeftoversAfterExit()
            return (.failure(error), isBrokenPipe && endedByItself)
        }
    }
    return ChildResult(outcome: outcome, body: value.0, childStoppedReading: value.1)
}

/// Runs `command` and returns its output, as far as `limit` bytes of it; the rest is dropped.
package func capture(
    _ command: ChildCommand, limit: Int = 64 << 10
) async throws -> (outcome: ChildOutcome, text: String) {
    let command = try await prepared(command)
    let (outcome, bytes) = try await launch(
        command, configuration(of: command), input: openNull(.readOnly), output: SequenceOutput.sequence
    ) { child in
        var bytes: [UInt8] = []
        for try await buffer in child.standardOutput where bytes.count < limit { bytes += buffer.allBytes }
        return bytes
    }
    return (outcome, String(decoding: bytes.prefix(limit), as: UTF8.self))
}

private let teardownSteps: [TeardownStep] = [
    .send(signal: .terminate, toProcessGroup: true, allowedDurationToNextStep: .seconds(5))
]

/// Starts the child, drains its error output beside `body`, and translates its end.
private func launch<Output: OutputProtocol, Value: Sendable>(
    _ command: ChildCommand, _ configuration: Configuration, input: PipeEnd, output: Output,
    body: (Execution<FileDescriptorInput, Output, SequenceOutput>) async throws -> Value
) async throws -> (ChildOutcome, Value) {
    ignoreBrokenPipes
    let start = ContinuousClock.now
    let result: ExecutionResult<(OutputTail, Value), Output, SequenceOutput>
    do {
        result = try await Subprocess.run(
            configuration,
            input: .fileDescriptor(FileDescriptor(rawValue: input.take()), closeAfterSpawningProcess: true),
            output: output, error: .sequence
        ) { child in
            async let tail = drain(child.standardError)
            let value = try await body(child)
            return (await tail, value)
        }
    } catch let error as SubprocessError {
        try Task.checkCancellation()
        throw startError(error, of: command)
    }
    try Task.checkCancellation()
    let (tail, value) = result.closureResult
    let outcome = ChildOutcome(
        status: .init(result.terminationStatus), standardErrorTail: tail.text(without: command.secrets),
        duration: ContinuousClock.now - start)
    return (outcome, value)
}

extension ChildOutcome.Status {
    init(_ status: TerminationStatus) {
        self =
            switch status {
            case .exited(let code): .exited(code)
            case .signaled(let number): .signalled(number)
            }
    }
}

/// `command`, once it was found fit to be run, as its user.
///
/// It is setpriv(1) that becomes the user and then the program. Subprocess's own options would have glibc change the user
/// in the copy of a process with threads, where it waits for ever for a thread that was just starting when the copy was
/// made.
func prepared(_ command: ChildCommand) async throws -> ChildCommand {
    let texts = [command.executable] + command.arguments + command.environment.flatMap { [$0.key, $0.value] }
    guard command.executable.hasPrefix("/"), !texts.contains(where: { $0.utf8.contains(0) }) else {
        throw BackupError(
            .usage, "\(command.name) cannot be run with these arguments.",
            reason: "its path is not absolute, or an argument or variable holds a zero byte",
            remedy: "Check the names and paths that were given.")
    }
    var options: [String] = []
    if let userName = command.userName, geteuid() == 0 {
        let user = try await SystemUser.named(userName)
        let groups = user.groups.map(String.init).joined(separator: ",")
        options += [
            "--reuid=\(user.userID)", "--regid=\(user.groupID)",
            groups.isEmpty ? "--clear-groups" : "--groups=\(groups)",
        ]
    }
    let setpriv = "/usr/bin/setpriv"
    if command.quitsWithThisProgram, !options.isEmpty || (try? Stat(FilePath(setpriv))) != nil {
        options += ["--pdeathsig", "QUIT"]
    }
    guard !options.isEmpty else { return command }
    var prepared = command
    prepared.executable = setpriv
    prepared.arguments = options + ["--", command.executable] + command.arguments
    return prepared
}

func configuration(of command: ChildCommand) throws -> Configuration {
    try Task.checkCancellation()
    var options = PlatformOptions()
    options.createSession = true
    options.teardownSequence = teardownSteps
    var environment: [Environment.Key: String] = [:]
    for (name, value) in command.environment {
        if let key = Environment.Key(rawValue: name) { environment[key] = value }
    }
    return Configuration(
        executable: .path(FilePath(command.executable)), arguments: Arguments(command.arguments),
        environment: .custom(environment), workingDirectory: command.workingDirectory.map { FilePath($0) },
        platformOptions: options)
}

/// Reads a child's error output to its end, or until the child is gone.
private func drain(_ output: SubprocessOutputSequence) async -> OutputTail {
    var tail = OutputTail()
    do {
        for try await buffer in output { tail.append(buffer.allBytes) }
    } catch {
        tail.append(Array("\n(its error output could not be read further)\n".utf8))
    }
    return tail
}

/// A child that ends early must show as an error of the write, not end this process.
private let ignoreBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

private func makePipe() throws(BackupError) -> (readEnd: PipeEnd, writeEnd: PipeEnd) {
    do throws(Errno) {
        let pipe = try FileDescriptor.pipe(options: .closeOnExec)
        // F_SETPIPE_SZ, which Glibc's module does not name; where the limit is lower, the pipe just stays smaller.
        _ = fcntl(pipe.writeEnd.rawValue, 1031, 1 << 20)
        return (PipeEnd(pipe.readEnd), PipeEnd(pipe.writeEnd))
    } catch {
        throw BackupError(
            .toolFailed, "A pipe to a child process could not be made.", reason: "\(error)",
            remedy: "Raise the limit on open files (ulimit -n).")
    }
}

private func openNull(_ mode: FileDescriptor.AccessMode) throws -> PipeEnd {
    PipeEnd(try FileDescriptor.open("/dev/null", mode, options: .closeOnExec))
}

/// One end of a pipe, closed once.
private final class PipeEnd: Sendable {
    let descriptor: FileDescriptor
    private let isGone = Atomic(false)

    init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

    deinit { close() }

    func close() {
        if !isGone.exchange(true, ordering: .relaxed) { _ = Glibc.close(descriptor.rawValue) }
    }

    /// Hands the descriptor to someone who closes it; -1 if it is gone already.
    func take() -> Int32 { isGone.exchange(true, ordering: .relaxed) ? -1 : descriptor.rawValue }
}

/// Notices that a child has ended, also while others still hold its pipes open, and ends what it has left.
///
/// The child's number is not given to another process before the body has ended, so its process group is still its own.
private final class ExitWatch: Sendable {
    private let process: Int32
    /// The child's own descriptor, which is not closed before the body has ended.
    private let processDescriptor: Int32
    private let state = Mutex(State())
    /// Has no elements, and ends when the child does.
    private let exit: AsyncStream<Never>

    private struct State {
        var hasExited = false
        var hasBodyEnded = false
    }

    /// Waits on a thread of its own, by poll(2): a dispatch source on a process descriptor may still be told of an event
    /// when the process was collected and the source is gone.
    init(_ child: ProcessIdentifier) {
        process = child.value
        processDescriptor = child.processDescriptor
        let (exit, announce) = AsyncStream.makeStream(of: Never.self)
        self.exit = exit
        let descriptor = fcntl(child.processDescriptor, F_DUPFD_CLOEXEC, 3)
        guard descriptor >= 0 else {
            announce.finish()
            return
        }
        DispatchQueue(label: "apex-backup.exit-watch").async { [self] in
            waitUntilReadable(descriptor)
            _ = Glibc.close(descriptor)
            state.withLock { $0.hasExited = true }
            announce.finish()
            DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(5)) { self.endLeftovers() }
        }
    }

    private func endLeftovers() {
        state.withLock { if $0.hasExited, !$0.hasBodyEnded { kill(-process, SIGKILL) } }
    }

    /// Waits for the child, which a cancelled task ends, and then ends what it has left in its process group.
    func endLeftoversAfterExit() async {
        await Task { for await _ in exit {} }.value
        endLeftovers()
    }

    func bodyEnded() { state.withLock { $0.hasBodyEnded = true } }

    /// Waits for the child's end, unless the task is cancelled; returns whether it has come.
    ///
    /// Pauses count, not the clock: while this host stood still, the child could not end either.
    func waitForExit(upTo limit: Duration) async -> Bool {
        let pause = Duration.milliseconds(10)
        for _ in 0..<Int(limit / pause) {
            if isReadable(processDescriptor) || Task.isCancelled { break }
            try? await Task.sleep(for: pause)
        }
        return isReadable(processDescriptor)
    }
}

extension SubprocessOutputSequence.Buffer {
    fileprivate var allBytes: [UInt8] {
        let span = Span<UInt8>(_bytes: bytes)
        var copy: [UInt8] = []
        copy.reserveCapacity(span.count)
        for index in span.indices { copy.append(span[index]) }
        return copy
    }
}
