import BackupModel

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
        /// Further options of `initdb`.
        package var initialization: [String] = []
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
    private let process: LoggedChild
    private let scratch: ScratchDirectory

    private init(settings: ConnectionSettings, process: LoggedChild, scratch: ScratchDirectory) {
        directory = scratch.path
        self.settings = settings
        self.process = process
        self.scratch = scratch
        processIdentifier = process.processIdentifier
    }

    /// Makes a new cluster in a directory that must not exist yet, and starts its server.
    ///
    /// `binDirectory` has the programs. Whatever fails, nothing of the cluster stays.
    package static func start(
        binDirectory: String, directory: String, options: Options = Options()
    ) async throws -> ScratchServer {
        let scratch = try await ScratchDirectory.make(directory, userName: options.userName)
        do {
            try await initializeCluster(binDirectory: binDirectory, in: scratch, options)
            return try await launch(binDirectory: binDirectory, in: scratch, options)
        } catch {
            try? await scratch.remove()
            throw error
        }
    }

    /// Ends the server and returns how it ended, once its process is gone; one that does not react within `limit` is
    /// killed, which throws `CancellationError`.
    @discardableResult
    package func stop(mode: StopMode = .fast, limit: Duration = .seconds(60)) async throws -> ChildOutcome {
        try await process.stopServer(mode: mode, limit: limit)
    }

    /// Ends the server at once and removes its directory, also when the task was cancelled.
    ///
    /// - Throws: ``ErrorCode/cleanupFailed`` if something of it is still there.
    package func destroy() async throws {
        try await Task {
            _ = try? await self.stop(mode: .immediate, limit: .seconds(20))
            try await self.scratch.remove()
        }.value
    }
}

extension ScratchServer {
    static func dataDirectory(in directory: String) -> String { "\(directory)/data" }
    static func logFile(in directory: String) -> String { "\(directory)/server.log" }

    private static func initializeCluster(
        binDirectory: String, in scratch: ScratchDirectory, _ options: Options
    ) async throws {
        let arguments =
            [
                "--pgdata=\(dataDirectory(in: scratch.path))", "--username=\(options.superuser)", "--auth=trust",
                "--encoding=UTF8", "--locale=\(options.locale)", "--data-checksums",
            ] + options.initialization
        let command = ChildCommand(
            "\(binDirectory)/initdb", arguments: arguments + (options.fsync ? [] : ["--no-sync"]),
            environment: ServerCommand.environment, workingDirectory: "/", userName: scratch.userName)
        let (outcome, _) = try await capture(command)
        do throws(BackupError) {
            try requireSuccess(outcome, of: command)
        } catch {
            throw BackupError(
                error.code, error.message, reason: error.reason,
                remedy: """
                    See initdb's words. '\(scratch.path)' and all directories above it must be open to the user \
                    \(scratch.userName ?? "that runs this program").
                    """)
        }
    }

    private static func launch(
        binDirectory: String, in scratch: ScratchDirectory, _ options: Options
    ) async throws -> ScratchServer {
        let directory = scratch.path
        var configuration = [
            "listen_addresses": "", "unix_socket_directories": directory, "port": "5432", "archive_mode": "off",
            "fsync": options.fsync ? "on" : "off", "timezone": "UTC", "log_timezone": "UTC",
        ]
        configuration.merge(options.configuration) { _, given in given }
        let command = ServerCommand.make(
            binDirectory: binDirectory, dataDirectory: dataDirectory(in: directory), userName: scratch.userName,
            configuration.sorted { $0.key < $1.key }.flatMap { ["-c", "\($0.key)=\($0.value)"] },
            quitsWithThisProgram: true)
        let process = try await LoggedChild.start(command, log: logFile(in: directory))
        let settings = ConnectionSettings(
            socketDirectory: directory, port: 5432, user: options.superuser, database: "postgres")
        let server = ScratchServer(settings: settings, process: process, scratch: scratch)
        do {
            try await server.waitUntilReady(timeout: options.startTimeout)
        } catch {
            process.cancel()
            _ = try? await process.wait()
            throw error
        }
        return server
    }

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
                if process.hasEnded { throw Self.startError(directory, try await process.wait().standardErrorTail) }
                guard ContinuousClock.now < deadline else {
                    throw Self.startError(directory, await readEnd(of: logFile), isLate: true)
                }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    private static func startError(_ directory: String, _ log: String?, isLate: Bool = false) -> BackupError {
        BackupError(
            .targetUnsuitable,
            "The scratch server in '\(directory)' \(isLate ? "did not become ready in time" : "ended at its start").",
            reason: log.map { String($0.suffix(4096)) }, remedy: "See the server's words.",
            unchanged: "The scratch server's directory was removed again; no other server was touched.")
    }
}

/// How `postgres` is run.
enum ServerCommand {
    static let environment = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]

    static func make(
        binDirectory: String, dataDirectory: String, userName: String?, _ settings: [String],
        quitsWithThisProgram: Bool
    ) -> ChildCommand {
        var command = ChildCommand(
            "\(binDirectory)/postgres", arguments: ["-D", dataDirectory] + settings, environment: environment,
            workingDirectory: "/", userName: userName)
        command.quitsWithThisProgram = quitsWithThisProgram
        return command
    }
}
