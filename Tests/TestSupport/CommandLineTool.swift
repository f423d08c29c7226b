internal import BackupModel
internal import BackupStorage
import Dispatch
internal import FoundationEssentials
internal import Glibc
internal import PostgresAccess
internal import Synchronization

/// A program run as a child, with a whole environment of its own; `apex-backup` unless another is named.
package struct CommandLineTool: Sendable {
    /// What the program printed, and how it ended.
    package struct Output: Sendable {
        /// The exit status, or `nil` when a signal ended it.
        package var status: Int32?
        package var signal: Int32?
        package var standardOutput: String
        /// The last 16 KiB of it.
        package var standardError: String

        /// Standard output as one JSON document.
        package func json() throws -> JSONValue {
            try JSONDecoder().decode(JSONValue.self, from: Data(standardOutput.utf8))
        }
    }

    package var executable: String
    /// The variables it gets beside `PATH` and `HOME`.
    package var environment: [String: String]
    /// The user to run as, when the tests run as root.
    package var userName: String?

    package init(executable: String, environment: [String: String] = [:]) {
        self.executable = executable
        self.environment = environment
    }

    /// The `apex-backup` that was built with the tests.
    package static func apexBackup(environment: [String: String] = [:]) throws -> CommandLineTool {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = tests.split(separator: "/").dropLast().joined(separator: "/")
        return CommandLineTool(executable: "/\(folder)/apex-backup", environment: environment)
    }

    /// Runs it to its end.
    package func run(_ arguments: [String]) async throws -> Output { try await start(arguments).output() }

    /// Runs it to its end.
    package func run(_ arguments: String...) async throws -> Output { try await run(arguments) }

    /// Starts it; returns when its process is there.
    package func start(_ arguments: [String]) async throws -> RunningCommand {
        var command = ChildCommand(executable, arguments: arguments, workingDirectory: "/", userName: userName)
        let own = ProcessInfo.processInfo.environment
        command.environment = environment
        let path = [PostgresCluster.chosenPrograms, own["PATH"]].compactMap { $0 }.joined(separator: ":")
        for (name, value) in ["PATH": path, "HOME": own["HOME"]] where environment[name] == nil {
            command.environment[name] = value
        }
        // The coverage of what a child runs counts; another user writes it elsewhere.
        let elsewhere = own["APEX_TEST_PROFILES"].map { "\($0)/%p.profraw" }
        command.environment["LLVM_PROFILE_FILE"] =
            (userName == nil ? own["LLVM_PROFILE_FILE"] : elsewhere) ?? "/dev/null"
        let (started, announce) = AsyncStream.makeStream(of: Int32.self)
        let isGone = Flag()
        let process = Task { [command] in
            defer {
                isGone.raise()
                announce.finish()
            }
            let result = try await PostgresAccess.run(command, output: .pipe) { child in
                announce.yield(child.processIdentifier)
                return await allBytes(of: child.takeStandardOutput())
            }
            let bytes = try result.body.get()
            var output = Output(
                standardOutput: String(decoding: bytes, as: UTF8.self),
                standardError: result.outcome.standardErrorTail)
            switch result.outcome.status {
            case .exited(let status): output.status = status
            case .signalled(let number): output.signal = number
            }
            return output
        }
        guard let processIdentifier = await started.first(where: { _ in true }) else {
            _ = try await process.value
            throw CommandNotStarted(executable: executable)
        }
        return RunningCommand(processIdentifier: processIdentifier, isGone: isGone, process: process)
    }
}

/// A program that ended before it had begun.
package struct CommandNotStarted: Error {
    package let executable: String
}

/// A program that was started; it is killed when nobody waits for it any more.
package final class RunningCommand: Sendable {
    package let processIdentifier: Int32
    private let isGone: Flag
    private let process: Task<CommandLineTool.Output, any Error>

    fileprivate init(
        processIdentifier: Int32, isGone: Flag, process: Task<CommandLineTool.Output, any Error>
    ) {
        self.processIdentifier = processIdentifier
        self.isGone = isGone
        self.process = process
    }

    deinit { send(SIGKILL) }

    /// Whether its end has been seen.
    package var hasEnded: Bool { isGone.isRaised }

    /// Sends a signal, unless it has ended.
    package func send(_ signal: Int32) {
        if !isGone.isRaised { kill(processIdentifier, signal) }
    }

    /// Suspends it; returns whether it stands still: each of its threads ends the system call first that it is in.
    package func suspend() async -> Bool {
        send(SIGSTOP)
        return await eventually { ProcessSnapshot.isSuspended(processIdentifier) }
    }

    /// Waits for its end.
    package func output() async throws -> CommandLineTool.Output {
        // Whoever waits for the command keeps it alive: its deinit ends the process.
        defer { withExtendedLifetime(self) {} }
        return try await process.value
    }

    /// Its child processes and theirs.
    package func descendants() -> [ProcessSnapshot] { ProcessSnapshot.descendants(of: processIdentifier) }
}

/// A process as `/proc` shows it.
package struct ProcessSnapshot: Sendable {
    package var processIdentifier: Int32
    package var parent: Int32
    package var commandLine: [String]

    /// Whether it is still there, and no other has its number.
    package var isAlive: Bool {
        ProcessSnapshot(processIdentifier)?.commandLine == commandLine && kill(processIdentifier, 0) == 0
    }

    /// Whether there is no process of that number, or one that has ended and whose parent was not told yet.
    package static func hasEnded(_ processIdentifier: Int32) -> Bool { ProcessSnapshot(processIdentifier) == nil }

    /// All processes whose command line holds `text`.
    package static func all(naming text: String) -> [ProcessSnapshot] {
        all().filter { $0.commandLine.contains { $0.contains(text) } }
    }

    fileprivate static func descendants(of ancestor: Int32) -> [ProcessSnapshot] {
        let everything = all()
        var family: Set = [ancestor]
        var found: [ProcessSnapshot] = []
        while let next = everything.first(where: {
            family.contains($0.parent) && !family.contains($0.processIdentifier)
        }) {
            family.insert(next.processIdentifier)
            found.append(next)
        }
        return found
    }

    fileprivate static func isSuspended(_ process: Int32) -> Bool {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
        return !threads.isEmpty
            && threads.allSatisfy { thread in
                let status = read("/proc/\(process)/task/\(thread)/stat") ?? ""
                return status.lastIndex(of: ")").map { status[$0...].hasPrefix(") T ") } == true
            }
    }

    private static func all() -> [ProcessSnapshot] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap(Int32.init).compactMap(ProcessSnapshot.init)
    }

    private init?(_ processIdentifier: Int32) {
        guard let status = Self.read("/proc/\(processIdentifier)/stat"), let nameEnd = status.lastIndex(of: ")"),
            let commandLine = Self.read("/proc/\(processIdentifier)/cmdline")
        else { return nil }
        let fields = status[nameEnd...].split(separator: " ")
        // A process that has ended and that nobody has asked for its end (`Z`) is no process any more.
        guard fields.count > 2, fields[1] != "Z", let parent = Int32(fields[2]) else { return nil }
        self.processIdentifier = processIdentifier
        self.parent = parent
        self.commandLine = commandLine.split(separator: "\0").map(String.init)
    }

    private static func read(_ path: String) -> String? {
        (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// JSON of any shape, to look into what a command printed.
package enum JSONValue: Sendable, Hashable, Decodable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// The field of an object, or `nil`.
    package subscript(_ key: String) -> JSONValue? {
        if case .object(let fields) = self { fields[key] } else { nil }
    }

    /// The elements of an array; none of anything else.
    package var elements: [JSONValue] { if case .array(let elements) = self { elements } else { [] } }

    package var text: String? { if case .string(let text) = self { text } else { nil } }
    package var number: Double? { if case .number(let number) = self { number } else { nil } }

    /// The names of an object's fields.
    package var keys: Set<String> { if case .object(let fields) = self { Set(fields.keys) } else { [] } }
}

private final class Flag: Sendable {
    private let value = Atomic(false)
    var isRaised: Bool { value.load(ordering: .acquiring) }
    func raise() { value.store(true, ordering: .releasing) }
}

private func allBytes(of descriptor: Int32) async -> [UInt8] {
    await withCheckedContinuation { continuation in
        DispatchQueue(label: "apex-backup.tests.output").async {
            let sink = CollectingSink(limit: 1 << 30)
            // What was read until an error is what the test looks at.
            try? OpenFile(adopting: descriptor, name: "a command's output").forEachChunk(ofSize: 64 << 10) {
                chunk throws(BackupError) in try sink.write(chunk)
            }
            continuation.resume(returning: sink.bytes)
        }
    }
}
