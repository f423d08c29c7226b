import BackupModel
package import PostgresAccess

/// A recovery into a directory of its own, with a server that is reached by a socket there and nowhere else, and of which
/// nothing stays.
package struct ScratchRecovery: Sendable {
    let directory: ScratchDirectory
    let restore: PhysicalRestore

    /// Makes the directory `path`, which must not exist yet.
    ///
    /// The data and the tablespaces of `request` go there, whatever it says of them.
    package static func make(
        _ path: String, _ request: PhysicalRestore.Request, repository: Repository
    ) async throws -> ScratchRecovery {
        let directory = try await ScratchDirectory.make(path)
        return ScratchRecovery(
            directory: directory, restore: PhysicalRestore(repository: repository, request: request.moved(into: path)))
    }

    /// Restores and recovers to the end that `request` names, runs `body` with the server, which was promoted, and ends
    /// and removes everything, whatever happens.
    ///
    /// The directory is below `TMPDIR`; the next drill removes what a process that was killed has left of it.
    package static func with<Value: Sendable>(
        _ request: PhysicalRestore.Request, settings: EffectivePolicy, repository: Repository,
        _ body: (CloneServer, RecoveryOutcome) async throws -> Value
    ) async throws -> Value {
        let environment = repository.environment
        let parent = environment.variables["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        let path = "\(parent)/\(DrillLeftovers.prefix)\(environment.makeRunID().text.lowercased())"
        let planned = PhysicalRestore(repository: repository, request: request.moved(into: path))
        let prepared = try planned.prepare()
        let tools = try await planned.tools(for: prepared, settings)
        let recovery = try await make(path, request, repository: repository)
        var running: CloneServer?
        let result: Result<Value, any Error>
        do {
            try await recovery.restore.run(prepared)
            let (server, outcome) = try await recovery.start(prepared, tools: tools).run()
            running = server
            result = .success(try await body(server, outcome))
        } catch {
            result = .failure(error)
        }
        try await recovery.remove(running)
        return try result.get()
    }

    /// How the server is started on what was restored.
    func start(
        _ prepared: PhysicalRestore.Prepared, tools: ClientTools, settings: [String: String] = [:]
    ) -> RestoredStart {
        RestoredStart(
            prepared, by: restore, tools: tools, folder: directory.path, settings: settings, quitsWithThisProgram: true)
    }

    /// Ends the server and removes everything, also when the task was cancelled.
    ///
    /// - Throws: ``ErrorCode/cleanupFailed`` if something is still there.
    func remove(_ server: CloneServer?) async throws {
        await server?.kill()
        try await directory.remove()
    }
}

extension PhysicalRestore.Request {
    /// The same restore with everything below `path`.
    func moved(into path: String) -> Self {
        var request = self
        request.directory = "\(path)/data"
        request.tablespaces = TablespacePlaces()
        request.tablespaces.folder = path
        request.asPrimary = false
        request.mayMakeTablespaces = false
        request.action = .promote
        return request
    }
}
