import BackupModel
import Glibc
import Synchronization
import SystemPackage

/// An own PostgreSQL server in a directory of its own, reachable through a Unix socket there and nowhere else.
///
/// Whoever starts one ends it with ``destroy()``. Where util-linux' setpriv is installed the kernel ends the server when
/// this program dies; what then stays, ``stopLeftover(directory:)`` removes; it knows it by a mark that this program has locked.
package final class ScratchServer: Sendable {
    /// How a server is made.
    package struct Options: Sendable {
        /// The user to run as when this program is root; `postgres` unless given.
        package var userName: String?
        package var superuser = "postgres"
        package var locale = "C.UTF-8"
        /// Whether the server waits for its data to reach the disk.
        package var fsync = false
        /// Further settings of the server; they win over those that are made here.
        package var configuration: [String: String] = [:]
        /// How long it may take until the server accepts connections.
        package var startTimeout: Duration = .seconds(60)

        package init() {}
    }

    package enum StopMode: Sendable {
        /// Ends sessions and writes a last checkpoint.
        case fast
        /// Ends at once, as in a crash.
        case immediate
    }

    package let directory: String
    /// The superuser's connection to the database `postgres`.
    package let settings: ConnectionSettings
    package let processIdentifier: Int32
    package var dataDirectory: String { Self.dataDirectory(in: directory) }
    package var logFile: String { Self.logFile(in: directory) }
    private let process: Task<ChildOutcome, any Error>
    private let end: ProcessEnd
    private let lock: OwnershipLock

    private init(
        directory: String, settings: ConnectionSettings, processIdentifier: Int32,
        process: Task<ChildOutcome, any Error>, end: ProcessEnd, lock: OwnershipLock
    ) {
        self.directory = directory
        self.settings = settings
        self.processIdentifier = processIdentifier
        self.process = process
        self.end = end
        self.lock = lock
    }

    /// Makes a new cluster in a directory that must not exist yet, and starts its server.
    ///
    /// `binDirectory` has the programs. Whatever fails, nothing of the cluster stays.
    package static func start(
        binDirectory: String, directory: String, options: Options = Options()
    ) async throws -> ScratchServer {
        try checkSocketPath(directory)
        let userName = try runningUser(options.userName)
        // Not cancelled half-way: a directory is made and known to be ours, or it is not made.
        let lock = try await Task { try await makeDirectory(directory, for: userName) }.value
        do {
            try await initializeCluster(binDirectory: binDirectory, directory: directory, userName, options)
            return try await launch(binDirectory: binDirectory, directory: directory, userName, options, lock: lock)
        } catch {
            _ = try? await Task { try await removeTree(directory) }.value
            throw error
        }
    }

    /// Ends the server and returns how it ended, once its process is gone; one that does not react within `limit` is
    /// killed, which throws `CancellationError`.
    @discardableResult
    package func stop(mode: StopMode = .fast, limit: Duration = .seconds(60)) async throws -> ChildOutcome {
        if !end.isMarked { kill(processIdentifier, mode == .fast ? SIGINT : SIGQUIT) }
        let timer = Task {
            try await Task.sleep(for: limit)
            process.cancel()
        }
        defer { timer.cancel() }
        return try await process.value
    }

    /// Ends the server at once and removes its directory, also when the task was cancelled.
    ///
    /// - Throws: ``ErrorCode/cleanupFailed`` if something of it is still there.
    package func destroy() async throws {
        try await Task {
            _ = try? await self.stop(mode: .immediate, limit: .seconds(20))
            try await removeTree(self.directory)
        }.value
    }
}

extension ScratchServer {
    static func dataDirectory(in directory: String) -> String { "\(directory)/data" }
    static func logFile(in directory: String) -> String { "\(directory)/server.log" }

    /// The kernel takes socket paths of at most 107 bytes.
    private static func checkSocketPath(_ directory: String) throws(BackupError) {
        let socket = "\(directory)/.s.PGSQL.5432"
        guard directory.hasPrefix("/"), socket.utf8.count <= 107 else {
            throw BackupError(
                .usage, "A server cannot be started in '\(directory)'.",
                reason: directory.hasPrefix("/")
                    ? "its socket's path would have \(socket.utf8.count) bytes, and the system allows 107"
                    : "the path is not absolute",
                remedy: "Choose a directory with a shorter absolute path.", unchanged: "Nothing was created.")
        }
    }

    /// The user to switch to, or `nil` to stay the user that this program runs as.
    private static func runningUser(_ wanted: String?) throws(BackupError) -> String? {
        if geteuid() == 0 { return wanted ?? "postgres" }
        guard wanted == nil else {
            throw BackupError(
                .usage, "A server cannot be run as another user.", reason: "only root may do so",
                remedy: "Leave the user out.", unchanged: "Nothing was created.")
        }
        return nil
    }

    private static func makeDirectory(_ directory: String, for userName: String?) async throws -> OwnershipLock {
        let user = if let userName { try await SystemUser.named(userName) } else { SystemUser?.none }
        let command = ChildCommand(
            "/bin/mkdir", arguments: ["-m", "0700", "--", directory], environment: ["LC_ALL": "C"])
        let (outcome, _) = try await capture(command)
        guard outcome.isSuccess else {
            throw BackupError(
                .targetUnsuitable, "The directory '\(directory)' for a scratch server could not be created.",
                reason: outcome.standardErrorTail,
                remedy: "Name a directory that does not exist yet, in one that exists and may be written.",
                unchanged: "Nothing was created.")
        }
        do {
            let lock = try await OwnershipMark.make(in: directory)
            if let user {
                let descriptor = try FileDescriptor.open(
                    FilePath(directory), .readOnly, options: [.directory, .closeOnExec])
                defer { try? descriptor.close() }
                guard fchown(descriptor.rawValue, user.userID, user.groupID) == 0 else { throw Errno(rawValue: errno) }
            }
            return lock
        } catch {
            try await removeTree(directory)
            throw BackupError(
                .targetUnsuitable, "The directory '\(directory)' could not be prepared for a scratch server.",
                reason: (error as? BackupError)?.reason ?? "\(error)",
                remedy: "Choose a directory on a file system that has owners and locks.")
        }
    }

    private static func initializeCluster(
        binDirectory: String, directory: String, _ userName: String?, _ options: Options
    ) async throws {
        let arguments = [
            "--pgdata=\(dataDirectory(in: directory))", "--username=\(options.superuser)", "--auth=trust",
            "--encoding=UTF8", "--locale=\(options.locale)", "--data-checksums",
        ]
        let command = ChildCommand(
            "\(binDirectory)/initdb", arguments: arguments + (options.fsync ? [] : ["--no-sync"]),
            environment: serverEnvironment, workingDirectory: "/", userName: userName)
        let (outcome, _) = try await capture(command)
        do throws(BackupError) {
            try requireSuccess(outcome, of: command)
        } catch {
            throw BackupError(
                error.code, error.message, reason: error.reason,
                remedy: """
                    See initdb's words. '\(directory)' and all directories above it must be open to the user \
                    \(userName ?? "that runs this program").
                    """)
        }
    }

    private static func launch(
        binDirectory: String, directory: String, _ userName: String?, _ options: Options, lock: OwnershipLock
    ) async throws -> ScratchServer {
        let command = serverCommand(binDirectory: binDirectory, directory: directory, userName, options)
        let (started, announce) = AsyncStream.makeStream(of: Int32.self)
        let end = ProcessEnd()
        let process = Task {
            defer {
                end.mark()
                announce.finish()
            }
            return try await run(command) { announce.yield($0.processIdentifier) }.outcome
        }
        guard let processIdentifier = await started.first(where: { _ in true }) else {
            throw startError(directory, end: try await process.value, log: nil)
        }
        let settings = ConnectionSettings(
            socketDirectory: directory, port: 5432, user: options.superuser, database: "postgres")
        let server = ScratchServer(
            directory: directory, settings: settings, processIdentifier: processIdentifier, process: process, end: end,
            lock: lock)
        do {
            try await server.waitUntilReady(timeout: options.startTimeout)
        } catch {
            process.cancel()
            _ = await process.result
            throw error
        }
        return server
    }

    private static func serverCommand(
        binDirectory: String, directory: String, _ userName: String?, _ options: Options
    ) -> ChildCommand {
        var configuration = [
            "listen_addresses": "", "unix_socket_directories": directory, "port": "5432", "archive_mode": "off",
            "fsync": options.fsync ? "on" : "off", "timezone": "UTC", "log_timezone": "UTC",
            "logging_collector": "on", "log_directory": directory, "log_filename": "server.log",
            "log_rotation_age": "0", "log_rotation_size": "0",
        ]
        configuration.merge(options.configuration) { _, given in given }
        var arguments = ["-D", dataDirectory(in: directory)]
        for (name, value) in configuration.sorted(by: { $0.key < $1.key }) { arguments += ["-c", "\(name)=\(value)"] }
        var command = ChildCommand(
            "\(binDirectory)/postgres", arguments: arguments, environment: serverEnvironment, workingDirectory: "/",
            userName: userName)
        command.quitsWithThisProgram = true
        return command
    }

    private static let serverEnvironment = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]

    /// Waits until the server answers, and makes sure that it is this one that does.
    private func waitUntilReady(timeout: Duration) async throws {
        let deadline = ContinuousClock.now + timeout
        while true {
            do {
                let session = try await PostgresSession.connect(
                    settings, applicationName: "apex-backup", timeout: .seconds(5))
                let answer = try await session.query("SHOW data_directory").firstValue
                await session.close()
                if answer == dataDirectory { return }
                throw BackupError(
                    .targetUnsuitable, "The scratch server in '\(directory)' is not the one that answers there.",
                    reason: "the server that answers keeps its data in '\(answer ?? "")'",
                    remedy: "Unset PGHOSTADDR and PGSERVICE in the environment.")
            } catch let error as BackupError where error.code == .serverUnreachable || error.code == .serverRefused {
                let log = await readEnd(of: logFile)
                if end.isMarked { throw Self.startError(directory, end: try await process.value, log: log) }
                guard ContinuousClock.now < deadline else { throw Self.startError(directory, end: nil, log: log) }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    private static func startError(_ directory: String, end: ChildOutcome?, log: String?) -> BackupError {
        let words = [end?.standardErrorTail, log].compactMap { $0 }.joined(separator: "\n")
        return BackupError(
            .targetUnsuitable,
            "The scratch server in '\(directory)' \(end == nil ? "did not become ready in time" : "ended at its start").",
            reason: String(words.suffix(4096)), remedy: "See the server's words.",
            unchanged: "The scratch server's directory was removed again; no other server was touched.")
    }
}

/// Whether a process has ended, known before anyone can mistake another process for it.
private final class ProcessEnd: Sendable {
    private let flag = Atomic(false)
    var isMarked: Bool { flag.load(ordering: .acquiring) }
    func mark() { flag.store(true, ordering: .releasing) }
}
