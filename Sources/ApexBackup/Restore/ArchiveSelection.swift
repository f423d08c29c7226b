import BackupModel

/// The entries of an archive that belong to chosen tables and schemas.
struct ArchiveSelection: Sendable {
    /// What is left out although it belongs to a chosen table, and what comes without its rows.
    private(set) var remarks: [String] = []
    private let entries: [ArchiveListing.Entry]
    private let partitions: [Int: [Int]]
    private var chosen: Set<Int> = []

    /// Chooses; `schemasThere` are those of the database that the parts are added to, `nil` when it is a new one.
    init(
        of listing: ArchiveListing, tables: [String], schemas: [String], schemasThere: Set<String>?
    ) throws(BackupError) {
        entries = listing.entries
        partitions = Self.partitions(among: entries)
        for schema in schemas { try choose(schema: schema) }
        for table in tables { try choose(table: table) }
        addWhatBelongs()
        dropWhatRefersOutside()
        if let schemasThere { addMissingSchemas(schemasThere) } else { addWhatIsNeeded() }
    }

    /// The list for `pg_restore --use-list`, in the archive's order.
    var list: String {
        entries.filter { chosen.contains($0.dumpID) }.map(\.line).joined(separator: "\n") + "\n"
    }

    /// The numbers of the entries.
    var dumpIDs: Set<Int32> { Set(chosen.compactMap { Int32(exactly: $0) }) }

    /// Those of `lines` whose rows are restored.
    func tables(among lines: [TableLine]) -> [TableLine] {
        let names = Set(
            entries.filter { $0.kind == "TABLE DATA" && chosen.contains($0.dumpID) }.map {
                "\($0.namespace) \($0.name)"
            })
        return lines.filter { line in
            line.table.map { names.contains(ArchiveListing.listed("\(line.schema) \($0)")) } ?? false
        }
    }

    private static let relations: Set<String> = ["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"]
    private static let parts: Set<String> = [
        "ACL", "CHECK CONSTRAINT", "COMMENT", "CONSTRAINT", "DEFAULT", "FK CONSTRAINT", "INDEX", "INDEX ATTACH",
        "MATERIALIZED VIEW DATA", "POLICY", "ROW SECURITY", "RULE", "SECURITY LABEL", "SEQUENCE", "SEQUENCE OWNED BY",
        "SEQUENCE SET", "STATISTICS", "STATISTICS DATA", "TABLE ATTACH", "TABLE DATA", "TRIGGER",
    ]
    /// What joins two tables, and means nothing without both.
    private static let joints: Set<String> = ["FK CONSTRAINT", "INDEX ATTACH", "TABLE ATTACH"]
    private static let descriptions: Set<String> = ["ACL", "COMMENT", "SECURITY LABEL"]

    private mutating func choose(schema: String) throws(BackupError) {
        let name = ArchiveListing.listed(schema)
        let found = entries.filter { entry in
            entry.namespace == name
                || entry.namespace == "-"
                    && (entry.kind == "SCHEMA" ? entry.name == name : entry.name == "SCHEMA \(name)")
        }
        guard !found.isEmpty else { throw Self.unknown("schema", schema) }
        chosen.formUnion(found.filter { !$0.kind.hasPrefix("PUBLICATION") }.map(\.dumpID))
    }

    private mutating func choose(table: String) throws(BackupError) {
        let name = ArchiveListing.listed(table)
        let found = entries.filter { entry in
            (Self.relations.contains(entry.kind) || entry.kind == "SEQUENCE")
                && (entry.name == name || "\(entry.namespace).\(entry.name)" == name)
        }
        guard let first = found.first else { throw Self.unknown("table", table) }
        guard found.count == 1 else {
            let names = found.map { "\($0.namespace).\($0.name)" }.joined(separator: ", ")
            throw BackupError(
                .usage, "There is more than one '\(table)' in the backup.", reason: "it holds \(names)",
                remedy: "Name it with its schema.", unchanged: "Nothing was changed.")
        }
        chosen.insert(first.dumpID)
        var toFollow = partitions[first.dumpID] ?? []
        while let partition = toFollow.popLast() {
            guard chosen.insert(partition).inserted else { continue }
            toFollow += partitions[partition] ?? []
        }
    }

    /// The partitions of each partitioned table, which hold its rows: `TABLE ATTACH` entries of their names join them.
    private static func partitions(among entries: [ArchiveListing.Entry]) -> [Int: [Int]] {
        var tables: [Int: ArchiveListing.Entry] = [:]
        for entry in entries where relations.contains(entry.kind) { tables[entry.dumpID] = entry }
        var partitions: [Int: [Int]] = [:]
        for attachment in entries where attachment.kind == "TABLE ATTACH" {
            let joined = attachment.dependencies.compactMap { tables[$0] }
            let partition = joined.first { $0.namespace == attachment.namespace && $0.name == attachment.name }
            guard let partition = partition?.dumpID else { continue }
            for table in joined where table.dumpID != partition {
                partitions[table.dumpID, default: []].append(partition)
            }
        }
        return partitions
    }

    private static func unknown(_ what: String, _ name: String) -> BackupError {
        BackupError(
            .usage, "The backup holds no \(what) '\(name)' in this database.",
            remedy: "Write it as \(what == "table" ? "schema.table, " : "")in the database: names are case-sensitive.",
            unchanged: "Nothing was changed.")
    }

    /// Adds rows, defaults, indexes and the like of chosen tables, and what describes these in turn.
    private mutating func addWhatBelongs() {
        let relations = Set(entries.filter { Self.relations.contains($0.kind) }.map(\.dumpID))
        var isGrowing = true
        while isGrowing {
            let before = chosen.count
            for entry in entries where Self.parts.contains(entry.kind) && !chosen.contains(entry.dumpID) {
                guard !entry.dependencies.isDisjoint(with: chosen) else { continue }
                let needed =
                    Self.joints.contains(entry.kind) ? entry.dependencies : entry.dependencies.intersection(relations)
                if needed.isSubset(of: chosen) { chosen.insert(entry.dumpID) }
            }
            isGrowing = chosen.count > before
        }
    }

    /// Takes out what joins a chosen table to one that is not chosen, and says so.
    private mutating func dropWhatRefersOutside() {
        let tables = entries.filter { Self.relations.contains($0.kind) && chosen.contains($0.dumpID) }
        let own = Set(tables.map { "\($0.namespace) \($0.name)" })
        for entry in entries where Self.parts.contains(entry.kind) && !Self.descriptions.contains(entry.kind) {
            if chosen.contains(entry.dumpID) {
                guard Self.joints.contains(entry.kind), !entry.dependencies.isSubset(of: chosen) else { continue }
                chosen.remove(entry.dumpID)
            } else {
                guard let space = entry.name.lastIndex(of: " ") else { continue }
                let table = "\(entry.namespace) \(entry.name[..<space])"
                guard own.contains(table), entry.kind != "TABLE ATTACH" else { continue }
            }
            remarks.append(
                "left out, because it refers to a table that is not chosen: \(entry.kind) \(entry.namespace) \(entry.name)"
            )
        }
    }

    /// Adds everything that the chosen entries depend on: schemas, types, functions, extensions; of tables no rows.
    private mutating func addWhatIsNeeded() {
        let byID = Dictionary(entries.map { ($0.dumpID, $0) }) { first, _ in first }
        var waiting = Array(chosen)
        var added: Set<Int> = []
        while let next = waiting.popLast() {
            for needed in byID[next]?.dependencies ?? [] where !chosen.contains(needed) {
                guard let entry = byID[needed] else { continue }
                chosen.insert(needed)
                added.insert(needed)
                waiting.append(needed)
                if entry.kind == "TABLE" {
                    remarks.append("\(entry.namespace).\(entry.name) comes without rows: what was chosen needs it")
                }
            }
        }
        for schema in Set(entries.filter { chosen.contains($0.dumpID) }.map(\.namespace)) {
            for entry in entries where entry.kind == "SCHEMA" && entry.name == schema {
                if chosen.insert(entry.dumpID).inserted { added.insert(entry.dumpID) }
            }
        }
        for entry in entries where Self.descriptions.contains(entry.kind) && !entry.dependencies.isDisjoint(with: added)
        {
            chosen.insert(entry.dumpID)
        }
    }

    /// In a database that exists, schemas are made when they are missing, and all else that is needed must be there.
    private mutating func addMissingSchemas(_ there: Set<String>) {
        let there = Set(there.map(ArchiveListing.listed))
        let used = Set(entries.filter { chosen.contains($0.dumpID) }.map(\.namespace))
        for entry in entries where entry.kind == "SCHEMA" {
            if there.contains(entry.name) {
                chosen.remove(entry.dumpID)
            } else if used.contains(entry.name) {
                chosen.insert(entry.dumpID)
            }
        }
        for entry in entries where entry.namespace == "-" && entry.name.hasPrefix("SCHEMA ") {
            if there.contains(String(entry.name.dropFirst(7))) { chosen.remove(entry.dumpID) }
        }
    }
}
