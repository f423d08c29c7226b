import BackupModel
import BackupStorage
import PostgresAccess

/// PostgreSQL's programs that load a dump, always stopping at the first error.
struct DumpProgram {
    let tools: ClientTools
    let connection: ConnectionSettings
    let environment: BackupEnvironment
    /// What the server calls their sessions.
    var applicationName = "apex-backup"

    /// Loads a dump of the custom format from a stream, by one job.
    func pgRestore(
        _ database: String, _ options: [String], from feed: (any ByteSink) throws(BackupError) -> Void
    ) async throws {
        try await load(command("pg_restore", ["--exit-on-error"] + options, database: database), from: feed)
    }

    /// Loads the entries of a dump that `list` names, in one transaction; the stream is read only as far as they go.
    func pgRestorePart(
        _ database: String, list: String, _ options: [String], from feed: (any ByteSink) throws(BackupError) -> Void
    ) async throws {
        let options = ["--exit-on-error", "--single-transaction", "--use-list=\(list)"] + options
        try await load(command("pg_restore", options, database: database), readsAll: false, from: feed)
    }

    /// Loads a dump of the custom format from a file, by several jobs.
    func pgRestore(_ database: String, _ options: [String], file: String, jobs: Int) async throws {
        let command = command(
            "pg_restore", ["--exit-on-error", "--jobs=\(jobs)"] + options + [file], database: database)
        try await translated { try await run(command) { _ in }.value(of: command) }
    }

    /// Writes an archive's table of contents to `file`; the stream is read only as far as that goes.
    func list(into file: String, from feed: (any ByteSink) throws(BackupError) -> Void) async throws {
        let inherited = ChildCommand.environment(inheritedFrom: environment.variables)
        let command = ChildCommand(
            "\(tools.directory)/pg_restore", arguments: ["--list", "--verbose", "--file=\(file)"],
            environment: inherited)
        try await load(command, readsAll: false, from: feed)
    }

    /// Runs a script, in psql's restricted mode where psql knows it, so that a dump cannot run `\!`.
    func psql(_ database: String, from feed: (any ByteSink) throws(BackupError) -> Void) async throws {
        let command = command(
            "psql", ["--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1"], database: database)
        let isRestricted = RestrictedScriptSink.isKnown(toPsql: tools.tools["psql"] ?? "")
        let token = (0..<8).map { _ in environment.makeRunID().text.suffix(4) }.joined()
        try await load(command) { sink throws(BackupError) in
            let whole = EndCheckSink(into: sink)
            try feed(isRestricted ? RestrictedScriptSink(token: token, into: whole) : whole)
        }
    }

    /// Feeds a program and waits for its success.
    ///
    /// When the feed fails, the program's input stays open until the program was ended: the end of its input would tell
    /// it that it has had all, and it would commit that.
    private func load(
        _ command: ChildCommand, readsAll: Bool = true, from feed: (any ByteSink) throws(BackupError) -> Void
    ) async throws {
        var input: ClosableSink?
        defer { withExtendedLifetime(input) {} }
        try await translated {
            try await run(command, input: .pipe) { child in
                let sink = ClosableSink(child.takeInput(of: command))
                input = sink
                do { try feed(sink) } catch  where sink.isClosed && !readsAll { return }
            }.value(of: command)
        }
    }

    private func translated(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as BackupError where error.code == .toolFailed {
            throw BackupError(
                .restoreFailed, error.message, reason: error.reason.map(withoutStatements),
                remedy: "Mend what the message names on the target server, and restore again.")
        }
    }

    private func command(_ tool: String, _ arguments: [String], database: String) -> ChildCommand {
        var command = connection.command(
            "\(tools.directory)/\(tool)", arguments, database: database, variables: environment.variables)
        command.environment["PGAPPNAME"] = applicationName
        return command
    }
}

/// The words of pg_restore and psql without the statements they quote: those may hold passwords, of user mappings and
/// subscriptions for example.
func withoutStatements(_ words: String) -> String {
    var kept: [Substring] = []
    var isStatement = false
    for line in words.split(separator: "\n", omittingEmptySubsequences: false) {
        if ["pg_restore:", "psql:", "pg_dump:"].contains(where: line.hasPrefix) { isStatement = false }
        if ["Command was:", "LINE ", "QUERY:", "STATEMENT:", "CONTEXT:"].contains(where: line.hasPrefix) {
            isStatement = true
        }
        if !isStatement { kept.append(line) }
    }
    return kept.joined(separator: "\n")
}

/// Lets a script fail that leaves a transaction open: at its end psql would undo that, and succeed.
private final class EndCheckSink: ByteSink {
    /// In a transaction of its own a statement begins when that does.
    private static let check = """

        DO $$ BEGIN IF pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp() THEN
            RAISE 'the script leaves a transaction open, whose work would be undone';
        END IF; END $$;

        """
    private let next: any ByteSink

    init(into next: any ByteSink) { self.next = next }

    func write(_ bytes: Span<UInt8>) throws(BackupError) { try next.write(bytes) }

    func finish() throws(BackupError) {
        try next.write(Array(Self.check.utf8).span)
        try next.finish()
    }
}

/// Remembers that its reader wanted no more.
private final class ClosableSink: ByteSink {
    private let next: any ByteSink
    private(set) var isClosed = false

    init(_ next: any ByteSink) { self.next = next }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        do { try next.write(bytes) } catch {
            isClosed = error.code == .pipeBroken
            throw error
        }
    }

    func finish() throws(BackupError) { try next.finish() }
}
