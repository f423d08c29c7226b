import BackupModel
import BackupStorage
import PostgresAccess

extension LogicalBackup {
    /// Dumps roles, memberships and tablespaces.
    func dumpGlobals(of source: DumpSource, run: RunID) async throws -> (artefact: Artefact, words: String?) {
        var arguments = ["--globals-only", "--encoding=UTF8"]
        if !source.facts.canReadRolePasswords { arguments.append("--no-role-passwords") }
        let compression = request.settings.compression
        let dump = StreamedDump(
            command: source.connection.command(
                "\(source.tools.directory)/pg_dumpall", arguments, database: source.connection.database,
                variables: repository.environment.variables),
            writer: ArtefactWriter(
                name: "globals.sql\(compression.fileExtension)", role: .globals, compression: compression, of: run,
                in: repository))
        return try await dump.capture(inspecting: TrailerInspector())
    }

    /// Dumps every chosen database, several at once.
    ///
    /// One that fails does not keep the others from being tried, and fails the backup.
    func dumpDatabases(of source: DumpSource, run: RunID) async throws -> [StoredDump] {
        let jobs = max(1, request.jobs ?? 1)
        let outcomes = try await withThrowingTaskGroup(
            of: (Int, Result<StoredDump, BackupError>).self
        ) { group in
            var outcomes: [Int: Result<StoredDump, BackupError>] = [:]
            for (index, database) in source.databases.enumerated() {
                if index >= jobs, let (done, result) = try await group.next() { outcomes[done] = result }
                try Task.checkNotCancelled()
                group.addTask {
                    do {
                        return (index, .success(try await dump(database, of: source, run: run)))
                    } catch is CancellationError {
                        throw CancellationError()
                    } catch {
                        return (index, .failure(RunLog.describe(error)))
                    }
                }
            }
            for try await (done, result) in group { outcomes[done] = result }
            return outcomes
        }
        try Task.checkNotCancelled()
        var stored: [StoredDump] = []
        var failures: [(String, BackupError)] = []
        for (index, database) in source.databases.enumerated() {
            switch outcomes[index] {
            case .success(let dump): stored.append(dump)
            case .failure(let error): failures.append((database.name, error))
            case nil: preconditionFailure("a database was not tried")
            }
        }
        guard failures.isEmpty else { throw Self.combined(failures, of: source.databases.count) }
        return stored
    }

    /// All failures as one error; one failure keeps its own words, after the name of its database.
    static func combined(_ failures: [(database: String, error: BackupError)], of count: Int) -> BackupError {
        guard failures.count > 1, let first = failures.first else {
            guard let only = failures.first else { return RunLog.describe(CancellationError()) }
            var error = only.error
            if !error.message.contains(only.database) { error.message = "'\(only.database)': \(error.message)" }
            return error
        }
        return BackupError(
            first.error.code, "\(failures.count) of \(count) databases could not be dumped.",
            reason: failures.map { "'\($0.database)': \($0.error.messageWithReason)" }.joined(separator: "; "),
            remedy: first.error.remedy)
    }

    private func dump(_ database: DatabaseEntry, of source: DumpSource, run: RunID) async throws -> StoredDump {
        let clocks = repository.environment.clocks
        let began = clocks.monotonic()
        let session = try await PostgresSession.connect(
            source.connection.with(database: database.name), applicationName: "apex-backup snapshot",
            timeout: DumpSource.connectTimeout)
        do {
            let stored = try await dump(database, of: source, in: session, run: run, began: began)
            await session.close()
            return stored
        } catch {
            await session.close()
            throw error
        }
    }

    private func dump(
        _ database: DatabaseEntry, of source: DumpSource, in session: PostgresSession, run: RunID, began: Duration
    ) async throws -> StoredDump {
        let settings = request.settings
        let snapshot = try await DatabaseSnapshot.hold(in: session, facts: source.facts)
        let properties = try await session.databaseProperties()
        let extensions = try await session.installedExtensions()
        let sequences = try await session.sequenceLines(database: database.oid)
        let fingerprint = try await session.schemaFingerprint()
        let conversion = try await session.hasNamesToConvert() ? ["--encoding=UTF8"] : []
        let suffix = settings.format == .custom ? "dump" : "sql"
        let dump = StreamedDump(
            command: source.connection.command(
                "\(source.tools.directory)/pg_dump",
                [
                    "--format=\(settings.format.rawValue)", "--compress=0", "--snapshot=\(snapshot.name)",
                    "--lock-wait-timeout=\(Int(request.lockWait.seconds * 1000))",
                ] + conversion,
                database: database.name, variables: repository.environment.variables),
            writer: ArtefactWriter(
                name: "db-\(database.oid).\(suffix)\(settings.compression.fileExtension)", role: .dump,
                compression: settings.compression, of: run, in: repository),
            validator: settings.verifyDump == .full && settings.format == .custom
                ? ChildCommand(
                    "\(source.tools.directory)/pg_restore", arguments: ["--file=/dev/null"],
                    environment: ["LC_ALL": "C"], secrets: [])
                : nil,
            progress: { [events = repository.environment.events] bytes in
                events(.progress(subject: database.name, bytes: bytes, of: nil))
            })
        let inspector = RowInspector(settings.format)
        let artefact: Artefact
        let words: String?
        do {
            (artefact, words) = try await dump.capture(inspecting: inspector)
        } catch let error as BackupError
            where ["LOCK TABLE", "timeout"].allSatisfy({ error.reason?.contains($0) == true })
        {
            throw BackupError(
                error.code, error.message, reason: error.reason,
                remedy: "See in pg_locks and pg_stat_activity who keeps the table locked; the dump waited "
                    + "\(DurationText.format(request.lockWait)) for it.")
        }
        // The snapshot must still be held now: a server that was restarted meanwhile has ended it.
        _ = try await session.query("SELECT 1")
        let counts = inspector.counts
        if settings.counts == .server { try await compare(counts, in: session, database: database.name) }
        let record = DatabaseRecord(
            oid: database.oid, name: database.name, properties: properties, snapshot: snapshot.point,
            extensions: extensions, schemaFingerprint: fingerprint, format: settings.format, artefact: artefact.name,
            contentBytes: artefact.contentBytes, tables: counts.count, rows: counts.reduce(0) { $0 + $1.rows },
            largeObjects: inspector.largeObjects, seconds: (repository.environment.clocks.monotonic() - began).seconds)
        let lines = counts.map {
            TableLine(db: database.oid, schema: $0.schema, table: $0.table, rows: $0.rows, bytes: $0.bytes)
        }
        return StoredDump(
            database: record, artefact: artefact, lines: lines + sequences,
            remark: words.map { "pg_dump of '\(database.name)' said: \($0)" })
    }

    /// `counts: server`: the captured rows against `count(*)` in the same snapshot.
    private func compare(_ counts: [TableRowCount], in session: PostgresSession, database: String) async throws {
        var differences: [String] = []
        try await session.execute("SET row_security = off")
        for count in counts {
            let table = "\(quoteIdentifier(count.schema)).\(quoteIdentifier(count.table))"
            let answer = try await session.query("SELECT count(*) FROM ONLY \(table)").value(0, 0)
            if answer != String(count.rows) {
                differences.append("\(table): captured \(count.rows), server \(answer ?? "nothing")")
            }
        }
        guard differences.isEmpty else {
            throw BackupError(
                .countMismatch, "The dump of '\(database)' does not hold the rows that its snapshot has.",
                reason: differences.prefix(10).joined(separator: "; "),
                remedy: "Take the backup again; if it differs again, check the server's storage.")
        }
    }
}

extension PostgresSession {
    /// Whether tables or schemas have names that a dump in the database's own encoding would write as other bytes than
    /// UTF-8, in which row counts name them.
    ///
    /// Other databases are dumped as they are: a conversion fails where their data has bytes without a meaning.
    fileprivate func hasNamesToConvert() async throws -> Bool {
        try await query(
            """
            SELECT pg_encoding_to_char(encoding) NOT IN ('UTF8', 'SQL_ASCII', 'MULE_INTERNAL')
                AND EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname ~ '[^ -~]'
                            UNION ALL SELECT FROM pg_catalog.pg_namespace WHERE nspname ~ '[^ -~]')
            FROM pg_catalog.pg_database WHERE datname = current_database()
            """
        ).firstValue == "t"
    }
}

/// A dump program whose output becomes an artefact, in one pass.
struct StreamedDump {
    let command: ChildCommand
    let writer: ArtefactWriter
    /// A program that is given the same bytes and must accept them.
    var validator: ChildCommand?
    var progress: @Sendable (Int64) -> Void = { _ in }

    /// The pipe holds 1 MiB; larger reads save nothing.
    private static let chunkSize = 1 << 20

    /// Runs the program to its end; returns what it said, too, if it succeeded and said anything.
    ///
    /// The artefact is published only if the program and the validator exited 0 and the inspector found the output
    /// complete.
    func capture(
        inspecting inspector: any StreamInspector
    ) async throws -> (artefact: Artefact, words: String?) {
        let stream = try writer.open(overlapped: true)
        // Outlives the validator: what feeds one that no longer reads comes to rest only when the child has ended.
        var feed: HandoffSink?
        defer { feed?.abandon() }
        do {
            let words: String?
            if let validator {
                words = try await run(validator, input: .pipe) { child in
                    let input = HandoffSink(into: child.takeInput(of: validator))
                    feed = input
                    return try await pump(into: stream, inspector: inspector, validator: input)
                }.value(of: validator)
            } else {
                words = try await pump(into: stream, inspector: inspector, validator: nil)
            }
            return (try stream.finish(), words)
        } catch {
            do {
                try stream.discard()
            } catch let problem {
                writer.repository.environment.warn(
                    "A part of '\(writer.name)' could not be removed: \(problem.message)")
            }
            throw error
        }
    }

    private func pump(
        into stream: ArtefactStream, inspector: any StreamInspector, validator: HandoffSink?
    ) async throws -> String? {
        let dumped = try await run(command, output: .pipe) { child in
            let output = child.takeOutput(of: command)
            var captured: Int64 = 0
            var reported: Int64 = 0
            try output.forEachChunk(ofSize: Self.chunkSize) { chunk throws(BackupError) in
                try Task.checkNotCancelled()
                try inspector.inspect(chunk)
                try validator?.write(chunk)
                try stream.sink.write(chunk)
                captured += Int64(chunk.count)
                if captured - reported >= 64 << 20 {
                    reported = captured
                    progress(captured)
                }
            }
        }
        try dumped.value(of: command)
        try inspector.finish()
        try validator?.finish()
        return Self.remark(dumped.outcome.standardErrorTail)
    }

    /// The end of what a program said, without statements, for a manifest; `nil` for nothing.
    private static func remark(_ words: String) -> String? {
        let limit = 1000
        var text = Substring(withoutStatements(words))
        while text.last?.isNewline == true { text.removeLast() }
        guard !text.isEmpty else { return nil }
        guard text.utf8.count > limit else { return String(text) }
        let end = String(decoding: text.utf8.suffix(limit), as: UTF8.self)
        // From a line's beginning on, if one begins in it.
        return "… " + (end.firstIndex(where: \.isNewline).map { end[$0...].dropFirst() } ?? end[...])
    }
}
