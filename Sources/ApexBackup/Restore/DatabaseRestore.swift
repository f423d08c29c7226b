import BackupModel
import BackupStorage
import PostgresAccess

/// Restores one database of a plan.
struct DatabaseRestore {
    let restore: LogicalRestore
    let prepared: LogicalRestore.Prepared
    let database: RestorePlan.Database

    private var repository: Repository { restore.repository }
    private var target: TargetServer { prepared.target }

    /// Restores into a database of its own, proves it, and only then gives it the name that was asked for.
    func run(_ phases: inout PhaseLog) async throws -> (database: RestoreResult.Database, warnings: [String]) {
        let record = try source()
        let working = database.action == .addTables ? database.target : workingName()
        var warnings: [String] = []
        if database.action != .addTables {
            try await phases.measure("create") {
                try await target.create(
                    working, like: record.properties, tablespaces: try await target.tablespaces())
            }
        }
        do {
            try await load(record, into: working, &phases)
            if database.action == .addTables { return (summary(tables: 0, rows: 0, keptAs: nil), warnings) }
            try await phases.measure("analyze") { try await analyze(working) }
            let counted = try await phases.measure("compare") { try await compareCounts(of: record, in: working) }
            warnings += try await target.apply(
                record.properties, to: working, roles: try await target.roles())
            let kept = try await phases.measure("swap") { try await takeName(from: working) }
            return (summary(tables: counted.tables, rows: counted.rows, keptAs: kept), warnings)
        } catch {
            throw await cleanedUp(after: RunLog.describe(error), working: working)
        }
    }

    private func summary(tables: Int, rows: Int64, keptAs: String?) -> RestoreResult.Database {
        RestoreResult.Database(name: database.target, tables: tables, rows: rows, keptAs: keptAs)
    }

    private func source() throws(BackupError) -> DatabaseRecord {
        guard let record = prepared.databases.first(where: { $0.name == database.source }) else {
            preconditionFailure("a plan names a database that its backup does not have")
        }
        return record
    }

    /// A name beside the target's, within PostgreSQL's 63 bytes.
    private func workingName() -> String {
        Self.name(database.target, suffix: "\(Self.workingMark)\(repository.environment.makeRunID().text.suffix(4))")
    }

    private static let workingMark = "_restoring_"

    /// Whether `name` is one that a restore into `target` works under.
    static func isWorkingName(_ name: String, of target: String) -> Bool {
        let chance = String(name.suffix(4))
        return chance.allSatisfy(\.isHexDigit) && name == Self.name(target, suffix: "\(workingMark)\(chance)")
    }

    static func name(_ base: String, suffix: String) -> String {
        var base = base
        while base.utf8.count + suffix.utf8.count > 63, !base.isEmpty { base.removeLast() }
        return base + suffix
    }

    /// Drops the half-restored database that this run made; the one of the operator is not touched.
    private func cleanedUp(after error: BackupError, working: String) async -> BackupError {
        guard database.action != .addTables else {
            return error.leaving("The tables were to be added in one transaction: nothing was changed.")
        }
        do {
            try await target.drop(working)
        } catch {
            repository.environment.warn("The database '\(working)' is left half restored: drop it by hand.")
        }
        return error.leaving(
            database.action == .create
                ? "The half-restored database '\(working)' was dropped; nothing else was changed."
                : "'\(database.target)' is as it was; the half-restored copy was dropped.")
    }

    private func load(_ record: DatabaseRecord, into name: String, _ phases: inout PhaseLog) async throws {
        guard let artefact = prepared.artefacts.first(where: { $0.name == record.artefact }) else {
            throw BackupError(
                .objectMissing, "Backup \(prepared.manifest.id) does not list the dump of '\(record.name)'.",
                remedy: "Use another backup ('apex-backup list').")
        }
        let stored = StoredArtefact(artefact, of: prepared.manifest.id, in: repository)
        let program = DumpProgram(
            tools: prepared.tools, connection: target.connection, environment: repository.environment)
        switch (record.format, database.feed) {
        case (.plain, _):
            try await phases.measure("restore") {
                try await program.psql(name) { sink throws(BackupError) in try stored.readContent(for: .restore, into: sink) }
            }
        case (.custom, .streamed):
            try await phases.measure("restore") {
                try await program.pgRestore(name, selection) { sink throws(BackupError) in
                    try stored.readContent(for: .restore, into: sink)
                }
            }
        case (.custom, .spooled):
            let spool = Spool(
                directory: restore.request.spoolDirectory, name: repository.environment.makeRunID())
            defer { spool.remove() }
            try await phases.measure("fetch") { try stored.readContent(for: .restore, into: spool.makeSink()) }
            try await phases.measure("restore") {
                try await program.pgRestore(name, file: spool.path, jobs: database.jobs)
            }
        }
    }

    private var selection: [String] {
        guard database.action == .addTables || !restore.request.tables.isEmpty || !restore.request.schemas.isEmpty
        else {
            return []
        }
        var arguments: [String] = restore.request.schemas.map { "--schema=\($0)" }
        for table in restore.request.tables {
            let parts = table.split(separator: ".", maxSplits: 1).map(String.init)
            if parts.count == 2 { arguments.append("--schema=\(parts[0])") }
            arguments.append("--table=\(parts.last ?? table)")
        }
        return arguments + ["--single-transaction"]
    }

    private func analyze(_ name: String) async throws {
        let program = DumpProgram(
            tools: prepared.tools, connection: target.connection, environment: repository.environment)
        try await program.analyze(name, jobs: max(1, restore.request.jobs ?? HostFacts.processorCount))
    }

    /// Every table's rows against what was captured.
    private func compareCounts(of record: DatabaseRecord, in name: String) async throws -> (tables: Int, rows: Int64) {
        guard restore.request.tables.isEmpty, restore.request.schemas.isEmpty,
            let artefact = prepared.artefacts.first(where: { $0.role == .tables })
        else { return (0, 0) }
        let session = try await PostgresSession.connect(
            target.connection.with(database: name), applicationName: "apex-backup restore",
            timeout: DumpSource.connectTimeout)
        do {
            let lines = try StoredArtefact(artefact, of: prepared.manifest.id, in: repository).tableLines(
                of: record.oid)
            let differences = try await RowComparison(session: session).differences(from: lines)
            await session.close()
            guard differences.isEmpty else {
                throw BackupError(
                    .countMismatch, "The restored '\(name)' does not hold the rows that were captured.",
                    reason: differences.prefix(10).joined(separator: "; "),
                    remedy: "Restore again; if it differs again, use another backup.")
            }
            let tables = lines.filter { $0.table != nil }
            return (tables.count, tables.reduce(0) { $0 + ($1.rows ?? 0) })
        } catch {
            await session.close()
            throw error
        }
    }

    /// Gives the restored database its name; the one that had it is kept under a dated one.
    private func takeName(from working: String) async throws -> String? {
        guard database.action != .create else {
            try await target.rename(working, to: database.target)
            return nil
        }
        let stamp = repository.environment.clocks.wall().compact.lowercased()
        let kept = Self.name(database.target, suffix: "_before_restore_\(stamp)")
        let isEmpty = database.action == .replaceEmpty
        // Not stopped half-way: the old database must not be left without sessions.
        try await Task {
            try await target.swap(
                working, into: database.target, keeping: kept, disconnecting: restore.request.disconnects)
        }.value
        guard isEmpty || restore.request.dropsOld else { return kept }
        try await target.drop(kept)
        return nil
    }
}

/// Counts rows of restored tables and names those that differ.
struct RowComparison {
    let session: PostgresSession

    func differences(from lines: [TableLine]) async throws -> [String] {
        var differences: [String] = []
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
        for line in try lines() {
            let entry = try RepositoryJSON.decodePlain(TableLine.self, from: line, name: artefact.name)
            if entry.db == database { found.append(entry) }
        }
        return found
    }
}
