import BackupModel
import BackupStorage
import PostgresAccess

/// Takes a schema of a recovered server into a database of a target: by a dump that is whole before the target sees any
/// of it, in one transaction.
struct TableTransfer: Sendable {
    let tools: ClientTools
    let environment: BackupEnvironment
    let schema: String

    /// Dumps the schema of `database` into `spool`.
    ///
    /// pg_dump itself opens no file: where the user of the recovered server may write, a link could lead root elsewhere.
    func dump(_ database: String, at server: ConnectionSettings, into spool: Spool) async throws {
        let command = server.command(
            tools.path(of: "pg_dump"),
            [
                "--format=custom", "--compress=1", "--schema=\(schema)", "--strict-names", "--no-tablespaces",
                "--no-publications", "--no-subscriptions", "--no-security-labels",
            ], database: database, variables: environment.variables)
        do {
            try await run(command, output: .pipe) { child in
                try spool.fill { sink throws(BackupError) in
                    try child.takeOutput(of: command).forEachChunk(ofSize: 1 << 20) { chunk throws(BackupError) in
                        try sink.write(chunk)
                    }
                    try sink.finish()
                }
            }.value(of: command)
        } catch let error as BackupError where error.code == .toolFailed {
            throw BackupError(
                .restoreFailed, "The tables could not be dumped from the recovered server.",
                reason: error.reason.map(withoutStatements) ?? error.message,
                remedy:
                    "Make room in the directory for scratch servers (TMPDIR), if that is full; otherwise restore with "
                    + "--start into a directory, and look there.")
        }
    }

    /// Loads the dump in `spool`, which has `table` among others, into a database of the target: all of it, or nothing.
    func load(
        _ spool: Spool, with table: RecoveredRelation?, into database: String, of target: TargetServer
    ) async throws {
        let session = LoadSession(into: database, of: target, environment: environment)
        do {
            try await DumpProgram(
                tools: tools, connection: target.connection, environment: environment, applicationName: session.name
            ).pgRestore(database, ["--single-transaction"], file: spool.path, jobs: 1)
        } catch {
            let isThere = if let table { await session.leaves(table.name, in: schema) } else { Bool?.none }
            throw told(RunLog.describe(error), isThere, database)
        }
    }

    /// The error, with what has become of the schema: pg_restore may have been ended after its transaction was.
    private func told(_ error: BackupError, _ isThere: Bool?, _ database: String) -> BackupError {
        var error = error
        error.unchanged =
            switch isThere {
            case false?: "Nothing was changed in '\(database)'."
            case true?: "The schema '\(schema)' is in '\(database)', with all tables; nothing else was changed."
            case nil:
                "Whether the schema '\(schema)' is in '\(database)' is not known; nothing else was changed there."
            }
        return error
    }

    /// The number of rows of each table, in the schema `schema` of whatever database the session is in.
    static func count(_ tables: [RecoveredRelation], schema: String, in session: PostgresSession) async throws
        -> [Int64]
    {
        try await session.execute("SET row_security = off")
        var counts: [Int64] = []
        for table in tables {
            let only = table.kind == .partitioned ? "" : "ONLY "
            let name = "\(quoteIdentifier(schema)).\(quoteIdentifier(table.name))"
            let answer = try await session.query("SELECT count(*) FROM \(only)\(name)")
            guard let count = answer.firstValue.flatMap({ Int64($0) }) else { throw unexpectedAnswer(name) }
            counts.append(count)
        }
        return counts
    }
}
