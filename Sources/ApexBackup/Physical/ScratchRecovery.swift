import BackupModel
import PostgresAccess

/// A recovery into a directory of its own, with a server that is reached by a socket there and nowhere else, and of which
/// nothing stays.
struct ScratchRecovery: Sendable {
    let directory: ScratchDirectory
    let restore: PhysicalRestore

    /// Makes the directory `path`, which must not exist yet.
    ///
    /// The data and the tablespaces of `request` go there, whatever it says of them.
    static func make(
        _ path: String, _ request: PhysicalRestore.Request, repository: Repository
    ) async throws -> ScratchRecovery {
        let directory = try await ScratchDirectory.make(path)
        return ScratchRecovery(
            directory: directory, restore: PhysicalRestore(repository: repository, request: request.moved(into: path)))
    }

    /// A recovery in a directory of its own that was planned.
    struct Plan: Sendable {
        /// The directory.
        let path: String
        let restore: PhysicalRestore
        let prepared: PhysicalRestore.Prepared
        let tools: ClientTools
        /// What is done otherwise than was asked.
        let remark: String?
    }

    /// Plans a recovery to the end that `request` names, in a directory called after `id`; nothing is made.
    ///
    /// The next drill, or restore of tables, removes what a process that was killed has left of it.
    static func plan(
        _ request: PhysicalRestore.Request, as id: RunID, settings: EffectivePolicy, repository: Repository
    ) async throws -> Plan {
        let path = "\(DrillLeftovers.usualParent(repository.environment))/\(DrillLeftovers.name(of: id))"
        let asked = PhysicalRestore(repository: repository, request: request.moved(into: path))
        var view = try asked.look()
        let first = try asked.prepare(in: &view)
        let (restore, prepared, remark) = try await asked.readable(first, in: &view)
        return Plan(
            path: path, restore: restore, prepared: prepared, tools: try await restore.tools(for: prepared, settings),
            remark: remark)
    }

    /// Restores and recovers as planned, as part of the recorded run `run`, runs `body` with the server, which was
    /// promoted, and ends and removes everything, whatever happens.
    static func with<Value: Sendable>(
        _ plan: Plan, as run: RunID, _ phases: inout PhaseLog,
        _ body: (CloneServer, RecoveryOutcome, inout PhaseLog) async throws -> Value
    ) async throws -> Value {
        let restore = plan.restore
        let clocks = restore.repository.environment.clocks
        let recovery = try await make(plan.path, restore.request, repository: restore.repository)
        var running: CloneServer?
        let result: Result<Value, any Error>
        do {
            let began = clocks.monotonic()
            _ = try await phases.measure("restore") { try await restore.carryOut(plan.prepared, for: run) }
            // Nothing of the server outlives it.
            let start = recovery.start(plan.prepared, tools: plan.tools, settings: ["fsync": "off"])
            let (server, outcome) = try await phases.measure("recover") { try await start.run() }
            running = server
            start.record(seconds: (clocks.monotonic() - began).seconds, by: run)
            result = .success(try await body(server, outcome, &phases))
        } catch {
            result = .failure(error)
        }
        do {
            try await recovery.remove(running)
        } catch {
            guard case .failure(let cause) = result else { throw error }
            throw RunLog.describe(error).after(RunLog.describe(cause))
        }
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

extension BackupError {
    /// The error of a clean-up, with the `cause` that had come before it and which it must not hide.
    fileprivate func after(_ cause: BackupError) -> BackupError {
        BackupError(
            code, message,
            reason: [reason, "before that: \(cause.messageWithReason)"].compactMap(\.self).joined(separator: "; "),
            remedy: remedy, unchanged: cause.unchanged)
    }
}

extension PhysicalRestore {
    /// The restore as the server's user can carry it out: with the WAL beside the data, and a remark that says so, if
    /// that user cannot read the archive.
    func readable(
        _ prepared: Prepared, in view: inout RestorableArchive
    ) async throws -> (restore: PhysicalRestore, prepared: Prepared, remark: String?) {
        do {
            try await request.archive?.requireAccess(
                to: prepared.manifest.systemIdentifier, as: ScratchDirectory.user,
                probe: "apex-backup-\(prepared.plan.backup)")
            return (self, prepared, nil)
        } catch let error as BackupError where error.code == .permissionDenied {
            var staged = request
            staged.archive = nil
            let restore = PhysicalRestore(repository: repository, request: staged)
            return (
                restore, try restore.prepare(in: &view),
                "The server's user cannot read the archive, so that the WAL was put beside the data: \(error.reason ?? "")"
            )
        }
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
