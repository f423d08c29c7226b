import BackupModel
import BackupStorage
import PostgresAccess

/// PostgreSQL's programs that load a dump, always stopping at the first error.
struct DumpProgram {
    let tools: ClientTools
    let connection: ConnectionSettings
    let environment: BackupEnvironment

    /// Loads a dump of the custom format from a stream, by one job.
    func pgRestore(
        _ database: String, _ selection: [String], from feed: (any ByteSink) throws(BackupError) -> Void
    ) async throws {
        try await load(command("pg_restore", ["--exit-on-error"] + selection, database: database), from: feed)
    }

    /// Loads a dump of the custom format from a file, by several jobs.
    func pgRestore(_ database: String, file: String, jobs: Int) async throws {
        let command = command("pg_restore", ["--exit-on-error", "--jobs=\(jobs)", file], database: database)
        try await translated { try await run(command) { _ in }.requireSuccess(of: command) }
    }

    /// Runs a script, in psql's restricted mode where psql knows it, so that a dump cannot run `\!`.
    func psql(_ database: String, from feed: (any ByteSink) throws(BackupError) -> Void) async throws {
        let command = command(
            "psql", ["--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1"], database: database)
        let isRestricted = RestrictedScriptSink.isKnown(toPsql: tools.tools["psql"] ?? "")
        let token = (0..<8).map { _ in environment.makeRunID().text.suffix(4) }.joined()
        try await load(command) { sink throws(BackupError) in
            try feed(isRestricted ? RestrictedScriptSink(token: token, into: sink) : sink)
        }
    }

    func analyze(_ database: String, jobs: Int) async throws {
        let command = command("vacuumdb", ["--analyze-only", "--quiet", "--jobs=\(jobs)"], database: database)
        try await translated { try await run(command) { _ in }.requireSuccess(of: command) }
    }

    private func load(_ command: ChildCommand, from feed: (any ByteSink) throws(BackupError) -> Void) async throws {
        try await translated {
            try await run(command, input: .pipe) { child in
                try feed(child.takeInput(of: command))
            }.requireSuccess(of: command)
        }
    }

    private func translated(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as BackupError where error.code == .toolFailed {
            throw BackupError(
                .restoreFailed, error.message, reason: error.reason,
                remedy: "Mend what the message names on the target server, and restore again.")
        }
    }

    private func command(_ tool: String, _ arguments: [String], database: String) -> ChildCommand {
        connection.command(
            "\(tools.directory)/\(tool)", arguments, database: database, variables: environment.variables)
    }
}
