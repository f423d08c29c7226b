import BackupModel
import BackupStorage
import PostgresAccess

/// Whether the target has the roles and tablespaces that the chosen dumps name, asked before anything is changed.
struct TargetNeeds {
    /// A database of the backup, and what of the target its dump names; `nil` for a plain one, which is not read.
    struct Source {
        var database: DatabaseRecord
        var dump: StoredArtefact
        var needs: DumpNeeds?
        /// Whether the database itself is made, on its tablespace.
        var isCreated: Bool
    }

    let target: TargetServer
    let sources: [Source]
    let globals: GlobalsPlan?

    /// Reads the tables of contents; `selection` is the part that is restored, `nil` for all.
    init(
        target: TargetServer, globals: GlobalsPlan?, selection: ArchiveSelection?,
        of dumps: [(database: DatabaseRecord, dump: StoredArtefact, isCreated: Bool)]
    ) throws(BackupError) {
        self.target = target
        self.globals = globals
        sources = try dumps.map { entry throws(BackupError) in
            let needs = entry.database.format == .custom ? try entry.dump.needs(of: selection?.dumpIDs) : nil
            return Source(database: entry.database, dump: entry.dump, needs: needs, isCreated: entry.isCreated)
        }
    }

    /// Roles that own objects or are named by the databases, that the target lacks and the restore does not create.
    func missingRoles() async throws -> [String] {
        let named = sources.reduce(into: Set<String>()) { names, source in
            names.formUnion(source.needs?.owners ?? [])
            if source.isCreated { names.formUnion(source.database.properties.roles) }
        }
        return named.subtracting(try await target.roles()).subtracting(globals?.rolesToCreate ?? []).sorted()
    }

    /// Where the tablespaces that the dumps name are on the target: under their own names, or all in `place`.
    ///
    /// - Throws: ``ErrorCode/targetUnsuitable``, with a list, when some are missing there and no place was named.
    func tablespaces(into place: String?) async throws -> [RestorePlan.Tablespace] {
        let there = try await target.tablespaces()
        if let place, !there.contains(place) || place == "pg_global" { throw Self.unknown(place, there) }
        var used: Set<String> = []
        var missing: Set<String> = []
        for source in sources {
            var own = source.needs?.tablespaces ?? []
            if source.isCreated { own.insert(source.database.properties.tablespace) }
            used.formUnion(own)
            if source.needs == nil { try refuseScript(source.database) }
            guard place == nil, !own.isSubset(of: there) else { continue }
            // The digest was not compared while a part was read: a refusal must not follow from damage.
            try source.dump.readContent(into: DiscardSink())
            missing.formUnion(own.subtracting(there))
        }
        guard missing.isEmpty else { throw lacking(missing) }
        return used.sorted().map { .init(source: $0, target: place ?? $0) }.filter { $0.source != $0.target }
    }

    /// A script sets its tablespaces itself, and psql would stop there.
    private func refuseScript(_ database: DatabaseRecord) throws(BackupError) {
        guard let missing = globals?.missingTablespaces, !missing.isEmpty else { return }
        throw BackupError(
            .targetUnsuitable, "The target lacks the tablespaces \(Self.list(missing.map(\.name))).",
            reason: "the dump of '\(database.name)' is plain SQL, which names tablespaces itself",
            remedy: "Create them on the target (CREATE TABLESPACE … LOCATION …).", unchanged: "Nothing was changed.")
    }

    private func lacking(_ missing: Set<String>) -> BackupError {
        let known = globals?.missingTablespaces ?? []
        let places = missing.sorted().map { name in
            "'\(name)'" + (known.first { $0.name == name }.map { " (in \($0.location) on the origin)" } ?? "")
        }
        return BackupError(
            .targetUnsuitable, "The target lacks the tablespaces \(Self.list(missing)).",
            reason: "what is to be restored is in \(places.joined(separator: ", "))",
            remedy: "Create them there (CREATE TABLESPACE … LOCATION …), or put everything into one that it has, for "
                + "example with --tablespace pg_default.",
            unchanged: "Nothing was changed.")
    }

    private static func unknown(_ place: String, _ there: Set<String>) -> BackupError {
        BackupError(
            .targetUnsuitable, "Databases cannot be put into a tablespace '\(place)' of the target.",
            reason: "it has \(list(there.subtracting(["pg_global"])))", remedy: "Name one of these with --tablespace.",
            unchanged: "Nothing was changed.")
    }

    private static func list(_ names: some Sequence<String>) -> String {
        names.sorted().map { "'\($0)'" }.joined(separator: ", ")
    }
}
