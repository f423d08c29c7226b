package import BackupModel
import Glibc
import SystemPackage

/// A server that was started on a restored data directory, under the overlay that keeps it from touching anything else.
///
/// It may still recover, and then accepts no connections until its data is consistent.
package final class CloneServer: Sendable {
    /// What is started, and where.
    package struct Place: Sendable {
        /// The directory of PostgreSQL's programs.
        package var binDirectory: String
        package var dataDirectory: String
        /// Where its socket is, and the files that say who is let in.
        package var socketDirectory: String
        /// The file that has what the server says.
        package var log: String
        /// A role that may do everything.
        package var superuser: String
        /// Whether it ends when this program does; otherwise it goes on.
        package var quitsWithThisProgram: Bool

        package init(
            binDirectory: String, dataDirectory: String, socketDirectory: String, log: String, superuser: String,
            quitsWithThisProgram: Bool
        ) {
            self.binDirectory = binDirectory
            self.dataDirectory = dataDirectory
            self.socketDirectory = socketDirectory
            self.log = log
            self.superuser = superuser
            self.quitsWithThisProgram = quitsWithThisProgram
        }
    }

    package let place: Place
    package let processIdentifier: Int32
    private let process: LoggedChild

    private init(place: Place, process: LoggedChild) {
        self.place = place
        self.process = process
        processIdentifier = process.processIdentifier
    }

    /// Starts the server, as the owner of the data directory if this program is root.
    ///
    /// `settings` come after those of the overlay and are none of them. `variables` are in its environment, for the
    /// commands that it runs.
    package static func start(
        at place: Place, _ overlay: CloneOverlay, settings: [String: String] = [:], variables: [String: String] = [:]
    ) async throws -> CloneServer {
        let further = settings.sorted { $0.key < $1.key }.flatMap { ["-c", "\($0.key)=\($0.value)"] }
        var command = ServerCommand.make(
            binDirectory: place.binDirectory, dataDirectory: place.dataDirectory,
            userName: try owner(ofNew: place.dataDirectory), further + overlay.arguments,
            quitsWithThisProgram: place.quitsWithThisProgram)
        command.environment.merge(variables) { $1 }
        command.secrets = Array(variables.values)
        return CloneServer(place: place, process: try await LoggedChild.start(command, log: place.log))
    }

    /// The number, which id(1) takes in the place of a name, of the owner of a directory that is there or will be made;
    /// `nil` unless this program is root, which alone can become another.
    package static func owner(ofNew directory: String) throws(BackupError) -> String? {
        guard geteuid() == 0 else { return nil }
        let parent = "/" + directory.split(separator: "/").dropLast().joined(separator: "/")
        for path in [directory, parent] {
            if let entry = try? Stat(FilePath(path)) { return "\(entry.userID.rawValue)" }
        }
        throw BackupError(
            .targetUnsuitable, "There is no directory '\(parent)' in which '\(directory)' could be made.",
            remedy: "Make it, or name another place.", unchanged: "Nothing was restored.")
    }

    /// The superuser's connection to the database `postgres`.
    package var settings: ConnectionSettings {
        ConnectionSettings(
            socketDirectory: place.socketDirectory, port: 5432, user: place.superuser, database: "postgres")
    }

    /// A session of the superuser, in `postgres` or, where that is not, `template1`; `nil` while the server accepts no
    /// connections.
    ///
    /// - Throws: ``ErrorCode/restoreFailed`` with the server's words if it has ended.
    package func connect() async throws -> PostgresSession? {
        for database in ["postgres", "template1"] {
            do {
                // One that takes no connections says so at once; one that is slow to take them may be writing all that it
                // has recovered.
                return try await PostgresSession.connect(
                    settings.with(database: database), applicationName: "apex-backup", timeout: .seconds(60))
            } catch let error as BackupError where error.sqlstate == "3D000" {
                continue
            } catch let error as BackupError where error.code == .serverUnreachable || error.code == .serverRefused {
                if process.hasEnded { throw try await endError() }
                return nil
            }
        }
        throw BackupError(
            .restoreFailed, "The restored server has neither the database 'postgres' nor 'template1'.",
            remedy: "Start it by hand, and connect to another database.")
    }

    /// The superuser's connection to a database that is there, of a server that takes connections.
    package func reachable() async throws -> ConnectionSettings {
        guard let session = try await connect() else {
            throw BackupError(
                .restoreFailed, "The restored server takes no connections any more.", remedy: "See its log.")
        }
        let database = try await session.query("SELECT pg_catalog.current_database()").firstValue
        await session.close()
        return settings.with(database: database ?? "postgres")
    }

    /// Whether its end has been seen.
    package var hasEnded: Bool { process.hasEnded }

    /// The last of what the server has said.
    package func logEnd() async -> String { await readEnd(of: place.log) ?? "" }

    /// Ends the server and returns how it ended, once its process is gone; one that does not react within `limit` is
    /// killed, which throws `CancellationError`.
    @discardableResult
    package func stop(
        mode: ScratchServer.StopMode = .fast, limit: Duration = .seconds(60)
    ) async throws -> ChildOutcome {
        try await process.stopServer(mode: mode, limit: limit)
    }

    /// Ends the server at once, also when the task was cancelled.
    package func kill() async {
        await Task { _ = try? await self.stop(mode: .immediate, limit: .seconds(20)) }.value
    }

    /// Why it ended.
    package func endError() async throws -> BackupError {
        let outcome = try await process.wait()
        let end =
            switch outcome.status {
            case .exited(let status): "with exit status \(status)"
            case .signalled(let number): "by signal \(number)"
            }
        return BackupError(
            .restoreFailed, "The restored server ended \(end).",
            reason: String(outcome.standardErrorTail.suffix(4096)), remedy: "See the server's words.")
    }
}
