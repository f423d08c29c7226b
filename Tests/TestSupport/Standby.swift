internal import BackupModel
package import PostgresAccess

extension PostgresCluster {
    /// Runs `body` with the connection to a standby of the cluster, which accepts connections and ends afterwards.
    ///
    /// The standby is in the folder of the cluster, which has to be one of the test's own.
    package func withStandby(
        _ configuration: [String: String] = [:], _ body: (ConnectionSettings) async throws -> Void
    ) async throws {
        let directory = "\(server.directory)/standby"
        let copy = ChildCommand(
            tools.path(of: "pg_basebackup"),
            arguments: ["-D", directory, "-R", "-c", "fast", "-d", settings.conninfoWithoutSecrets()],
            environment: settings.environment, workingDirectory: "/", userName: "postgres")
        try requireSuccess(try await capture(copy).outcome, of: copy)
        // A standby takes no fewer than its primary.
        let settings = ["max_connections": Self.mostConnections].merging(configuration) { $1 }
        try await withServer(on: directory, settings, body)
    }

    /// Runs `body` with the connection to a server on another data directory, with this cluster's programs and its socket
    /// beside that of the cluster; the server ends afterwards.
    package func withServer(
        on directory: String, _ settings: [String: String] = [:], port: Int = 5433, environment: [String: String] = [:],
        _ body: (ConnectionSettings) async throws -> Void
    ) async throws {
        // Set by env(1), as the program that changes the user is not meant.
        let command = ChildCommand(
            "/usr/bin/env",
            arguments: environment.map { "\($0.key)=\($0.value)" }
                + [tools.path(of: "postgres"), "-D", directory, "-p", "\(port)", "-c", "listen_addresses="]
                + ["-c", "unix_socket_directories=\(server.directory)"]
                + settings.flatMap { ["-c", "\($0.key)=\($0.value)"] },
            // Programs that no package installed do not find their own libpq otherwise.
            environment: ["LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "\(tools.directory)/../lib"],
            workingDirectory: "/", userName: "postgres")
        let place = try ConnectionSettings(
            parsing: "host=\(server.directory) port=\(port) user=postgres dbname=postgres")
        let running = Task { try await run(command) { _ in } }
        let result: Result<Void, any Error>
        do {
            guard await eventually({ (try? await session(place).close()) != nil }) else {
                running.cancel()
                throw BackupError(
                    .serverUnreachable, "The server on '\(directory)' accepts no connection.",
                    reason: "\(await running.result)", remedy: "See its log.")
            }
            result = .success(try await body(place))
        } catch { result = .failure(error) }
        // However long its last checkpoint takes: what is left of one that is killed still writes a moment later.
        let stop = ChildCommand(
            tools.path(of: "pg_ctl"), arguments: ["stop", "-D", directory, "-m", "fast", "-t", "300"],
            environment: command.environment, workingDirectory: "/", userName: "postgres")
        let isStopped = try? await Task { try await capture(stop).outcome.isSuccess }.value
        if isStopped != true { running.cancel() }
        _ = await running.result
        try result.get()
    }

    /// Runs a server on another data directory until it ends by itself, ten minutes at most; returns how, and its log.
    package func ending(
        on directory: String, _ settings: [String: String]
    ) async throws -> CommandLineTool.Output {
        var server = CommandLineTool(
            executable: "/usr/bin/timeout",
            environment: ["LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "\(tools.directory)/../lib"])
        server.userName = "postgres"
        return try await server.run(
            ["600", tools.path(of: "postgres"), "-D", directory, "-p", "5433", "-c", "listen_addresses="]
                + ["-c", "unix_socket_directories=\(self.server.directory)"]
                + settings.flatMap { ["-c", "\($0.key)=\($0.value)"] })
    }
}
