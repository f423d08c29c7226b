import BackupModel
import BackupStorage
import FoundationEssentials
import PostgresAccess

/// Looks at backup and target and says what a restore will do, or why it cannot work.
struct RestorePlanning {
    let restore: LogicalRestore
    let manifest: BackupManifest
    let chosen: [(source: DatabaseRecord, target: String)]
    let artefacts: [Artefact]
    let target: TargetServer
    let failedVerification: BackupFact?

    private var request: RestoreRequest { restore.request }
    private var repository: Repository { restore.repository }

    private var isPart: Bool { !request.tables.isEmpty || !request.schemas.isEmpty }

    func prepare() async throws -> LogicalRestore.Prepared {
        for artefact in artefacts where isNeeded(artefact) {
            try StoredArtefact(artefact, of: manifest.id, in: repository).checkSizes()
        }
        let suitability = TargetSuitability(target: target)
        try suitability.requireKnownSettings(of: "pg_dump", major: manifest.dumpMajor)
        let tools = try await ClientTools.find(
            forServer: max(target.facts.versionNumber, manifest.server.versionNumber, manifest.dumpMajor * 10_000),
            directory: request.bin, searchPath: repository.environment.variables["PATH"] ?? "")
        if chosen.contains(where: { $0.source.format == .custom }) {
            try suitability.requireKnownSettings(of: "pg_restore", major: tools.major)
        }
        try await suitability.require(chosen.map(\.source), parts: isPart)
        let globals = try await planGlobals()
        var entries: [RestorePlan.Database] = []
        for (source, name) in chosen { entries.append(try await plan(source, into: name)) }
        try await suitability.requireRights(for: entries, creating: globals?.rolesToCreate ?? [])
        let selection = try await select(for: entries, tools: tools)
        var plan = try assemble(entries, globals: globals)
        try await addNeeds(to: &plan, globals: globals, selection: selection)
        plan.targetFreeBytes = try await target.freeBytes()
        plan.warnings += selection?.remarks ?? []
        plan.warnings += try await RestoreWarnings(
            target: target, plan: plan, isDisconnecting: request.disconnects
        ).all()
        return LogicalRestore.Prepared(
            plan: plan, manifest: manifest, databases: chosen.map(\.source), artefacts: artefacts, globals: globals,
            target: target, tools: tools, selection: selection, omitsTablespaces: request.tablespace != nil)
    }

    /// Whether the restore reads it: damage elsewhere must not keep anybody from what is whole.
    private func isNeeded(_ artefact: Artefact) -> Bool {
        switch artefact.role {
        case .dump: chosen.contains { $0.source.artefact == artefact.name }
        case .globals: !isPart
        case .tables: true
        case .databases, .guide, .files, .packs, .serverManifest, .label, .tablespaceMap, .configuration: false
        }
    }

    private func addNeeds(
        to plan: inout RestorePlan, globals: GlobalsPlan?, selection: ArchiveSelection?
    ) async throws {
        let needs = try TargetNeeds(
            target: target, globals: globals, selection: selection,
            of: zip(chosen, plan.databases).map { chosen, entry throws(BackupError) in
                let dump = try StoredArtefact.dump(
                    of: chosen.source, among: artefacts, backup: manifest.id, in: repository)
                return (chosen.source, dump, entry.action != .addTables)
            })
        plan.missingRoles = try await needs.missingRoles()
        plan.mappedTablespaces = try await needs.tablespaces(into: request.tablespace)
        for entry in plan.databases where entry.action == .addTables && request.tablespace != nil {
            let own = try await target.tablespace(of: entry.target)
            guard let own, own != request.tablespace else { continue }
            throw BackupError(
                .usage, "Parts that are added to '\(entry.target)' can only go into its own tablespace.",
                remedy: "Say so with --tablespace \(own), or leave --tablespace out.", unchanged: "Nothing was changed."
            )
        }
    }

    /// What of the archive belongs to the tables and schemas that were asked for.
    private func select(for entries: [RestorePlan.Database], tools: ClientTools) async throws -> ArchiveSelection? {
        guard isPart else { return nil }
        guard chosen.count == 1, let (source, name) = chosen.first, let entry = entries.first else {
            throw BackupError(
                .usage, "Tables and schemas can be taken from one database at a time, and this names several.",
                remedy: "Name one with --database.", unchanged: "Nothing was changed.")
        }
        let list = Spool(directory: request.spoolDirectory, environment: repository.environment)
        defer { list.remove() }
        let dump = try StoredArtefact.dump(of: source, among: artefacts, backup: manifest.id, in: repository)
        let program = DumpProgram(tools: tools, connection: target.connection, environment: repository.environment)
        try list.write("")  // Made here, so that it is for this user's eyes only.
        try await program.list(into: list.path) { sink throws(BackupError) in
            try dump.readContent(for: .restore, into: sink)
        }
        let known = try artefacts.first { $0.role == .tables }.map { artefact throws(BackupError) in
            try StoredArtefact(artefact, of: manifest.id, in: repository).tableLines(of: source.oid)
        }
        return try ArchiveSelection(
            of: ArchiveListing(parsing: list.read(), tables: known ?? []), tables: request.tables,
            schemas: request.schemas,
            schemasThere: entry.action == .addTables ? try await target.schemas(in: name) : nil)
    }

    /// Which databases go where.
    ///
    /// A URL with a name takes one: the one asked for, else the one of the same name, else the only one beside
    /// `postgres`. A URL without a name takes all, each under its own name. Where one is not there, `newestHolding` says
    /// which backup has it.
    static func choose(
        among databases: [DatabaseRecord], request: RestoreRequest, into name: String?,
        newestHolding: (String) -> RunID?
    ) throws(BackupError) -> [(source: DatabaseRecord, target: String)] {
        let list = databases.map { "'\($0.name)'" }.joined(separator: ", ")
        func unknown(_ wanted: String) -> BackupError {
            BackupError(
                .usage, "The backup holds no database '\(wanted)'.", reason: "it holds \(list)",
                remedy: newestHolding(wanted).map {
                    "Name \($0), the newest backup that holds it; or correct the name."
                } ?? "Correct the name: no backup that can be read, and of which no damage is known, holds it.",
                unchanged: "Nothing was changed.")
        }
        if let wanted = request.database {
            guard let source = databases.first(where: { $0.name == wanted }) else { throw unknown(wanted) }
            return [(source, name ?? wanted)]
        }
        guard let name else {
            let wanted = request.databases ?? databases.map(\.name)
            guard let missing = wanted.first(where: { name in !databases.contains { $0.name == name } }) else {
                return databases.filter { wanted.contains($0.name) }.map { ($0, $0.name) }
            }
            throw unknown(missing)
        }
        if let same = databases.first(where: { $0.name == name }) { return [(same, name)] }
        let own = databases.filter { $0.name != "postgres" }
        if own.count == 1 { return [(own[0], name)] }
        if databases.count == 1 { return [(databases[0], name)] }
        throw BackupError(
            .usage, "The backup holds several databases, and none is called '\(name)'.", reason: "it holds \(list)",
            remedy: "Say which one goes into '\(name)': --database NAME.", unchanged: "Nothing was changed.")
    }

    /// Roles and memberships that the target lacks; none when only tables are taken.
    private func planGlobals() async throws -> GlobalsPlan? {
        guard !isPart, let artefact = artefacts.first(where: { $0.role == .globals })
        else { return nil }
        return try StoredArtefact(artefact, of: manifest.id, in: repository).globals().plan(
            existingRoles: try await target.roles(), existingTablespaces: try await target.tablespaces())
    }

    private func plan(_ source: DatabaseRecord, into name: String) async throws -> RestorePlan.Database {
        if isPart, source.format == .plain {
            throw BackupError(
                .usage, "Parts of '\(source.name)' cannot be restored: its dump is plain SQL.",
                remedy: "Restore the whole database under another name and copy from it.",
                unchanged: "Nothing was changed.")
        }
        let action = try await action(for: name)
        let jobs = source.format == .plain || isPart ? 1 : max(1, request.jobs ?? HostFacts.processorCount)
        let fits = spoolFreeBytes.map { $0 > source.contentBytes + source.contentBytes / 10 } ?? false
        return RestorePlan.Database(
            source: source.name, target: name, action: action, format: source.format,
            feed: jobs > 1 && fits ? .spooled : .streamed, jobs: fits ? jobs : 1, contentBytes: source.contentBytes,
            rows: source.rows, snapshot: source.snapshot.clock)
    }

    /// Room for temporary files; `nil` where none can be made.
    private var spoolFreeBytes: Int64? {
        guard FileManager.default.isWritableFile(atPath: request.spoolDirectory) else { return nil }
        do { return try PosixStorage(root: request.spoolDirectory).freeBytes() } catch { return nil }
    }

    private func action(for name: String) async throws -> RestorePlan.Database.Action {
        guard try await target.databaseExists(name) else { return .create }
        if isPart { return .addTables }
        if try await target.isEmpty(name) {
            try await requireNoSessions(in: name)
            return .replaceEmpty
        }
        guard request.overwrites else {
            throw BackupError(
                .targetNotEmpty, "The database '\(name)' exists on \(restore.connection.redacted) and is not empty.",
                remedy: "Restore under another name, or replace it with --overwrite: the present database is then kept "
                    + "under a dated name.",
                unchanged: "Nothing was changed.")
        }
        try await requireNoSessions(in: name)
        return .swap
    }

    private func requireNoSessions(in name: String) async throws {
        let prepared = try await target.preparedTransactions(in: name)
        guard prepared.isEmpty else {
            throw BackupError(
                .targetNotEmpty, "The database '\(name)' has prepared transactions, and cannot be renamed.",
                reason: prepared.prefix(5).map { "'\($0)'" }.joined(separator: ", "),
                remedy: "Decide each in that database: COMMIT PREPARED or ROLLBACK PREPARED.",
                unchanged: "Nothing was changed.")
        }
        guard !request.disconnects else { return }
        let others = try await target.sessions(in: name)
        guard others.isEmpty else { throw TargetServer.inUse(name, by: others) }
    }

    private func assemble(_ entries: [RestorePlan.Database], globals: GlobalsPlan?) throws -> RestorePlan {
        let now = repository.environment.clocks.wall()
        var moment: Timestamp?
        if case .time(let asked)? = request.moment { moment = asked }
        return RestorePlan(
            backup: manifest.id, recoveryPoint: manifest.recoveryPoint,
            ageSeconds: now.since(manifest.recoveryPoint).seconds, moment: moment,
            momentDifferenceSeconds: moment.map { $0.since(manifest.recoveryPoint).seconds },
            target: restore.connection.redacted, targetVersion: target.facts.version,
            sourceVersion: manifest.server.version, dumpVersion: manifest.tools["pg_dump"], databases: entries,
            rolesToCreate: globals?.rolesToCreate ?? [],
            skippedGlobals: (globals?.skipped ?? []).map { "\($0.label): \($0.reason)" }, missingRoles: [],
            mappedTablespaces: [],
            isPartial: isPart || chosen.count < manifest.totals.databases,
            spoolBytes: entries.filter { $0.feed == .spooled }.map(\.contentBytes).max() ?? 0,
            spoolFreeBytes: spoolFreeBytes, targetFreeBytes: nil,
            estimatedSeconds: try estimate(entries), warnings: try warnings(entries))
    }

    /// What earlier restores of this cluster's backups took, scaled to this one's bytes.
    private func estimate(_ entries: [RestorePlan.Database]) throws(BackupError) -> Double? {
        let wanted = Double(entries.reduce(0) { $0 + $1.contentBytes })
        let names = try repository.storage.children(of: repository.layout.backups)
        for name in names.reversed() {
            guard let id = RunID(parsing: name), let backup = try Catalogue(repository).entry(id),
                let manifest = backup.manifest, manifest.kind == .logical, manifest.totals.contentBytes > 0,
                let seconds = backup.facts.last(where: { $0.kind == .restored && $0.succeeded && $0.partial != true })?
                    .seconds
            else { continue }
            return seconds * wanted / Double(manifest.totals.contentBytes)
        }
        return nil
    }

    private func warnings(_ entries: [RestorePlan.Database]) throws(BackupError) -> [String] {
        var warnings = [request.remark].compactMap(\.self)
        if request.backup == "latest", let wider = try Catalogue(repository).wider(than: manifest) {
            warnings.append(
                "backup \(wider.id), which is older, was taken of more than this one: name it to restore what this one "
                    + "does not hold")
        }
        if let failedVerification {
            warnings.append(
                "the last verification of this backup failed (\(failedVerification.reason ?? "no reason recorded"))")
        }
        if manifest.passwordsMissing {
            warnings.append("passwords missing: roles created from this backup have none, and cannot log in with one")
        }
        let written = max(manifest.server.major, manifest.dumpMajor)
        if written > target.facts.major {
            warnings.append(
                "the dump was taken from PostgreSQL \(manifest.server.major) by pg_dump \(manifest.dumpMajor), and the "
                    + "target runs \(target.facts.major): PostgreSQL does not promise that an older server takes it. What is new in "
                    + "\(target.facts.major + 1) to \(written) fails, and the restore stops at the first error")
        }
        for entry in entries where entry.feed == .streamed && entry.format == .custom && !isPart {
            let cause =
                spoolFreeBytes == nil
                ? "no temporary files can be made in \(request.spoolDirectory); TMPDIR names another directory"
                : "there is no room for a spool of \(formatBytes(entry.contentBytes)) in \(request.spoolDirectory), or one "
                    + "job was asked for"
            warnings.append("'\(entry.source)' is restored by one job: \(cause)")
        }
        return warnings
    }
}
