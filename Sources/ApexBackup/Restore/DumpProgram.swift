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
        _ database: String, _ options: [String], from feed: (any ByteSink) throws(BackupError) -> Void
    ) async throws {
        try await load(command("pg_restore", ["--exit-on-error"] + options, database: database), from: feed)
    }

    /// Loads a dump of the custom format from a file, by several jobs.
    func pgRestore(_ database: String, _ options: [String], file: String, jobs: Int) async throws {
        let command = command(
            "pg_restore", ["--exit-on-error", "--jobs=\(jobs)"] + options + [file], database: database)
        try await translated { try await run(command) { _ in }.requireSuccess(of: command) }
    }

    /// Writes an archive's table of contents to `file`; the stream is read only as far as that goes.
    func list(into file: String, from feed: (any ByteSink) throws(BackupError) -> Void) async throws {
        let inherited = ChildCommand.environment(inheritedFrom: environment.variables)
        let command = ChildCommand(
            "\(tools.directory)/pg_restore", arguments: ["--list", "--verbose", "--file=\(file)"],
            environment: inherited)
        try await translated {
            try await run(command, input: .pipe) { child in
                let input = ClosableSink(child.takeInput(of: command))
                do { try feed(input) } catch  where input.isClosed { return }
            }.requireSuccess(of: command)
        }
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

/// Remembers that its reader wanted no more.
private final class ClosableSink: ByteSink {
    private let next: any ByteSink
    private(set) var isClosed = false

    init(_ next: any ByteSink) { self.next = next }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        do { try next.write(bytes) } catch {
            isClosed = true
            throw error
        }
    }

    func finish() throws(BackupError) { try next.finish() }
}
