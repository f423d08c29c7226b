internal import BackupModel
internal import FoundationEssentials
package import PostgresAccess

/// A PostgreSQL cluster for tests, on a Unix socket in a temporary directory.
///
/// `shared()` is for tests that leave the cluster as it was, besides their own databases and roles; a test that changes
/// settings, stops or breaks the server starts its own with `start`.
package struct PostgresCluster: Sendable {
    package let server: ScratchServer
    package let tools: ClientTools
    /// The superuser's connection to the database `postgres`.
    package var settings: ConnectionSettings { server.settings }

    /// The directory of the programs to test with, or `nil` for those that the system has; `scripts/test --full` sets
    /// it.
    package static let chosenPrograms: String? = ProcessInfo.processInfo.environment["APEX_TEST_PG_BIN"]

    /// The `PATH` with which children find the programs to test with.
    package static let searchPath = (chosenPrograms.map { "\($0):" } ?? "") + "/usr/local/bin:/usr/bin:/bin"

    /// As many as all tests at once may have.
    package static let mostConnections = "400"

    /// Starts a cluster of its own; the caller ends it with `destroy`, or else the end of this process does.
    package static func start(
        configuration: [String: String] = [:], initialization: [String] = []
    ) async throws -> PostgresCluster {
        let tools = try await chosenTools.value
        var options = ScratchServer.Options()
        options.initialization = initialization
        options.configuration = ["full_page_writes": "off", "max_connections": mostConnections]
        options.configuration.merge(configuration) { _, given in given }
        options.startTimeout = .seconds(300)
        let directory = Leftovers.newClusterPath()
        Leftovers.removeAtExit(directory)
        let server = try await ScratchServer.start(
            binDirectory: tools.directory, directory: directory, options: options)
        return PostgresCluster(server: server, tools: tools)
    }

    private static let chosenTools = Task {
        try await ClientTools.find(
            ClientTools.server + ClientTools.dumpAndRestore, forServer: chosenPrograms == nil ? 150_000 : 0,
            directory: chosenPrograms, searchPath: searchPath)
    }

    /// Whether physical backups can be taken of the server to test with: base backups are streamed since PostgreSQL 15.
    package static var takesPhysicalBackups: Bool { get async throws { try await chosenTools.value.major >= 15 } }

    /// Whether tests may take minutes and gigabytes; `scripts/test --full` sets it.
    package static let isFullRun = ProcessInfo.processInfo.environment["APEX_TEST_FULL"] == "1"

    /// Starts a cluster, runs `body` and destroys the cluster, whatever happens.
    package static func with<Value>(
        configuration: [String: String] = [:], initialization: [String] = [],
        _ body: (PostgresCluster) async throws -> Value
    ) async throws -> Value {
        let cluster = try await start(configuration: configuration, initialization: initialization)
        let result: Result<Value, any Error>
        do { result = .success(try await body(cluster)) } catch { result = .failure(error) }
        try await cluster.server.destroy()
        return try result.get()
    }

    /// The cluster that the tests of this process share; it ends with the process.
    package static func shared() async throws -> PostgresCluster { try await sharedCluster.value }

    private static let sharedCluster = Task {
        await Leftovers.removeThoseOfDeadProcesses()
        return try await start()
    }

    /// Runs `body` with a new database, which is dropped afterwards; `name` is made up unless given.
    package func withDatabase<Value>(
        named name: String? = nil, _ body: (ConnectionSettings) async throws -> Value
    ) async throws -> Value {
        let name = name ?? "test_\(uniqueNumber())"
        try await execute("CREATE DATABASE \(quoteIdentifier(name)) TEMPLATE template0")
        let result: Result<Value, any Error>
        do { result = .success(try await body(settings.with(database: name))) } catch { result = .failure(error) }
        try await Task { try await dropDatabase(name) }.value
        return try result.get()
    }

    /// Drops a database, if it is there, and ends the sessions in it: the server itself gives them five seconds to go.
    package func dropDatabase(_ name: String) async throws {
        var refusal: BackupError?
        let isGone = try await eventually {
            do {
                try await execute("DROP DATABASE IF EXISTS \(quoteIdentifier(name)) WITH (FORCE)")
                return true
            } catch let error as BackupError where error.sqlstate == "55006" {
                refusal = error
                return false
            }
        }
        if !isGone, let refusal { throw refusal }
    }

    /// Runs statements as the superuser, in the database `postgres` unless `settings` name another.
    package func execute(_ sql: String, in settings: ConnectionSettings? = nil) async throws {
        let session = try await session(settings)
        try await session.execute(sql)
        await session.close()
    }

    /// A superuser's session, in the database `postgres` unless `settings` name another.
    package func session(_ settings: ConnectionSettings? = nil) async throws -> PostgresSession {
        try await PostgresSession.connect(
            settings ?? self.settings, applicationName: "apex-backup tests", timeout: .seconds(60))
    }

    /// A path for a temporary directory, unique among all processes, that other users can reach.
    package static func temporaryPath(_ purpose: String) -> String { Leftovers.newPath(purpose) }
}

private func uniqueNumber() -> String { String(UInt64.random(in: .min ... .max), radix: 36) }
