import BackupModel
import BackupStorage
import PostgresAccess

/// Restores one database of a plan.
struct DatabaseRestore {
    let restore: LogicalRestore
    let prepared: LogicalRestore.Prepared
    let database: RestorePlan.Database
    /// What this run has changed before, for errors; `nil` when nothing.
    let earlier: String?

    private var repository: Repository { restore.repository }
    private var target: TargetServer { prepared.target }
    private var selection: ArchiveSelection? { prepared.selection }

    /// Restores into a database of its own, proves it, and only then gives it the name that was asked for.
    func run(_ phases: inout PhaseLog) async throws -> (database: RestoreResult.Database, warnings: [String]) {
        let record = try source()
        guard database.action != .addTables else { return try await addTables(of: record, &phases) }
        let working = WorkingName.make(for: database.target, environment: repository.environment)
        var warnings: [String] = []
        var result: RestoreResult.Database
        do {
            try await phases.measure("create") {
                try await target.create(
                    working, like: record.properties,
                    tablespace: restore.request.tablespace ?? record.properties.tablespace)
            }
            try await load(record, into: working, &phases)
            warnings += try await phases.measure("analyze") {
                try await Analysis(target: target, jobs: restore.request.jobs ?? HostFacts.processorCount).run(
                    in: working)
            }
            result = try await phases.measure("compare") {
                try await compareCounts(of: try countedTables(of: record), in: working)
            }
            warnings += try await target.apply(record.properties, to: working, roles: try await target.roles())
            let kept = try await phases.measure("swap") { try await takeName(from: working, warnings: &warnings) }
            result.keptAs = kept
        } catch {
            throw await cleanedUp(after: error, working: working)
        }
        if let kept = result.keptAs, database.action == .replaceEmpty || restore.request.dropsOld {
            do {
                // What was empty when the plan was made may have been filled while this was restored.
                let mayGo = database.action == .swap ? true : try await target.isEmpty(kept)
                if mayGo {
                    try await target.drop(kept)
                    result.keptAs = nil
                } else {
                    warnings.append("'\(database.target)' was empty and is not any more: it is kept as '\(kept)'")
                }
            } catch {
                let error = RunLog.describe(error)
                warnings.append("the old database is left as '\(kept)': \(error.messageWithReason)")
            }
        }
        return (result, warnings)
    }

    private func source() throws(BackupError) -> DatabaseRecord {
        guard let record = prepared.databases.first(where: { $0.name == database.source }) else {
            preconditionFailure("a plan names a database that its backup does not have")
        }
        return record
    }

    private func addTables(
        of record: DatabaseRecord, _ phases: inout PhaseLog
    ) async throws -> (database: RestoreResult.Database, warnings: [String]) {
        let tables = try countedTables(of: record)
        let session = LoadSession(into: database.target, of: target, environment: repository.environment)
        let wasThere = await has(tables?.first, after: session)
        do {
            try await load(record, into: database.target, as: session, &phases)
        } catch {
            var error = RunLog.describe(error)
            error.unchanged =
                "The tables were to be added in one transaction: "
                + Self.outcome(wasThere: wasThere, isThere: await has(tables?.first, after: session))
            throw error
        }
        do {
            let warnings = try await phases.measure("analyze") {
                try await Analysis(target: target, jobs: 1).run(
                    in: database.target, only: Self.names(of: tables ?? []))
            }
            let result = try await phases.measure("compare") {
                try await compareCounts(of: tables, in: database.target)
            }
            return (result, warnings)
        } catch {
            var error = RunLog.describe(error)
            error.unchanged =
                "The tables were added and are in '\(database.target)'; what was there before is as it was."
            throw error
        }
    }

    private func has(_ line: TableLine?, after session: LoadSession) async -> Bool? {
        guard let line, let table = line.table else { return nil }
        return await session.leaves(table, in: line.schema)
    }

    /// What has become of tables whose load failed, by whether the first of them was there before and is there now.
    private static func outcome(wasThere: Bool?, isThere: Bool?) -> String {
        switch (wasThere, isThere) {
        case (true, _), (_, false): "nothing was changed."
        case (false, true): "all of them were added, and nothing else was changed."
        default: "all of them were added or none, and nothing else was changed."
        }
    }

    /// Drops the half-restored database that this run made, and says what there is now.
    private func cleanedUp(after failure: any Error, working: String) async -> BackupError {
        let unfinished = (failure as? UnfinishedSwap)?.error
        var error = unfinished ?? RunLog.describe(failure)
        let before =
            if let unfinished { unfinished.unchanged } else {
                database.action == .create ? nil : "'\(database.target)' is as it was."
            }
        let elsewhere = earlier.map { "Before it: \($0)." } ?? (unfinished == nil ? "Nothing else was changed." : nil)
        error.unchanged = [before, await target.discard(working), elsewhere].compactMap { $0 }.joined(separator: " ")
        return error
    }

    private func load(
        _ record: DatabaseRecord, into name: String, as session: LoadSession? = nil, _ phases: inout PhaseLog
    ) async throws {
        let stored = try prepared.dump(of: record, in: repository)
        var program = DumpProgram(
            tools: prepared.tools, connection: target.connection, environment: repository.environment)
        if let session { program.applicationName = session.name }
        let options = prepared.omitsTablespaces ? ["--no-tablespaces"] : []
        let spool = Spool(directory: restore.request.spoolDirectory, environment: repository.environment)
        defer { spool.remove() }
        let feed = { (sink: any ByteSink) throws(BackupError) in try stored.readContent(for: .restore, into: sink) }
        switch (record.format, database.feed) {
        case (.plain, _):
            try await phases.measure("restore") { try await program.psql(name, from: feed) }
        case (.custom, .streamed):
            guard let selection else {
                try await phases.measure("restore") { try await program.pgRestore(name, options, from: feed) }
                return
            }
            // A part may be committed before the rest of the stream was read: all of it is proved first.
            try await phases.measure("prove") { try feed(DiscardSink()) }
            try spool.write(selection.list)
            try await phases.measure("restore") {
                try await program.pgRestorePart(name, list: spool.path, options, from: feed)
            }
        case (.custom, .spooled):
            try await phases.measure("fetch") {
                try stored.withDamageFirst { () throws(BackupError) in try spool.fillWithArchive(feed) }
            }
            try await phases.measure("restore") {
                try await program.pgRestore(name, options, file: spool.path, jobs: database.jobs)
            }
        }
    }

    /// The tables that are restored, with the rows that were captured of each; `nil` if the backup does not say.
    private func countedTables(of record: DatabaseRecord) throws(BackupError) -> [TableLine]? {
        guard let artefact = prepared.artefacts.first(where: { $0.role == .tables }) else { return nil }
        let lines = try StoredArtefact(artefact, of: prepared.manifest.id, in: repository).tableLines(of: record.oid)
        return selection?.tables(among: lines) ?? lines.filter { $0.table != nil }
    }

    private static func names(of tables: [TableLine]) -> [String] {
        tables.compactMap { line in
            line.table.map { "\(quoteIdentifier(line.schema)).\(quoteIdentifier($0))" }
        }
    }

    /// Every restored table's rows against what was captured.
    private func compareCounts(of tables: [TableLine]?, in name: String) async throws -> RestoreResult.Database {
        var result = RestoreResult.Database(name: database.target, tables: 0, rows: 0, isCompared: false)
        guard let tables else { return result }
        let differences = try await target.withSession(in: name) { session in
            try await RowComparison(session: session).differences(from: tables)
        }
        guard differences.isEmpty else {
            throw BackupError(
                .countMismatch, "The restored '\(name)' does not hold the rows that were captured.",
                reason: differences.prefix(10).joined(separator: "; "),
                remedy: "Restore again; if it differs again, use another backup.")
        }
        result.tables = tables.count
        result.rows = tables.reduce(0) { $0 + ($1.rows ?? 0) }
        result.isCompared = true
        return result
    }

    /// Gives the restored database its name; the one that had it is kept under a dated one, which is returned.
    private func takeName(from working: String, warnings: inout [String]) async throws -> String? {
        guard database.action != .create else {
            try await target.rename(working, to: database.target)
            return nil
        }
        let stamp = repository.environment.clocks.wall().compact.lowercased()
        var kept = database.target.asIdentifier(endingIn: "\(WorkingName.keptMark)\(stamp)")
        if try await target.databaseExists(kept) {
            let chance = repository.environment.makeRunID().text.suffix(4)
            kept = database.target.asIdentifier(endingIn: "\(WorkingName.keptMark)\(stamp)_\(chance)")
        }
        warnings += try await target.swap(
            working, into: database.target, keeping: kept, disconnecting: restore.request.disconnects)
        return kept
    }
}

/// The name under which a database is restored before it gets the one that was asked for.
enum WorkingName {
    private static let mark = "_restoring_"
    /// What comes between the name of a replaced database and the time.
    static let keptMark = "_before_restore_"

    /// A name beside the target's, within PostgreSQL's 63 bytes.
    static func make(for target: String, environment: BackupEnvironment) -> String {
        target.asIdentifier(endingIn: "\(mark)\(environment.makeRunID().text.suffix(4))")
    }

    /// What to say of those of `names` that restores into `targets` have left.
    static func warnings(among names: [String], of targets: [String]) -> [String] {
        names.filter { name in targets.contains { isOne(name, of: $0) } }.map {
            "the database '\($0)' is half restored: drop it, unless another restore is running"
        }
    }

    /// Whether `name` is one that a restore into `target` works under.
    private static func isOne(_ name: String, of target: String) -> Bool {
        let chance = String(name.suffix(4))
        return chance.allSatisfy(\.isHexDigit) && name == target.asIdentifier(endingIn: "\(mark)\(chance)")
    }

    /// Whether `name` is one under which a database called `target` is kept.
    static func isKept(_ name: String, of target: String) -> Bool {
        guard let mark = name.ranges(of: keptMark).last else { return false }
        return name == target.asIdentifier(endingIn: String(name[mark.lowerBound...]))
    }
}

/// Counts rows of restored tables and names those that differ.
struct RowComparison {
    let session: PostgresSession

    /// Rows that a policy would hide from this role are an error, not a difference.
    func differences(from lines: [TableLine]) async throws -> [String] {
        var differences: [String] = []
        try await session.execute("SET row_security = off")
        for line in lines {
            guard let table = line.table, let expected = line.rows else { continue }
            let name = "\(quoteIdentifier(line.schema)).\(quoteIdentifier(table))"
            let got = try await session.query("SELECT count(*) FROM ONLY \(name)").value(0, 0)
            if got != String(expected) {
                differences.append("\(name): captured \(expected), restored \(got ?? "none")")
            }
        }
        return differences
    }
}

extension StoredArtefact {
    /// The lines of one database in `tables.jsonl.zst`.
    func tableLines(of database: UInt32) throws(BackupError) -> [TableLine] {
        var found: [TableLine] = []
        try forEachLine { [name = artefact.name] line throws(BackupError) in
            let entry = try RepositoryJSON.decodePlain(TableLine.self, from: line, name: name)
            if entry.db == database { found.append(entry) }
        }
        return found
    }
}

extension StoredArtefact {
    /// The dump of a database.
    static func dump(
        of database: DatabaseRecord, among artefacts: [Artefact], backup: RunID, in repository: Repository
    ) throws(BackupError) -> StoredArtefact {
        guard let artefact = artefacts.first(where: { $0.name == database.artefact }) else {
            throw BackupError(
                .objectMissing, "Backup \(backup) does not list the dump of '\(database.name)'.",
                remedy: "Use another backup ('apex-backup list').")
        }
        return StoredArtefact(artefact, of: backup, in: repository)
    }
}
