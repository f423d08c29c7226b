import BackupModel

/// The table of contents of a custom-format archive, as `pg_restore --list --verbose` prints it.
struct ArchiveListing: Sendable {
    struct Entry: Sendable {
        let dumpID: Int
        /// The whole line, which `pg_restore --use-list` takes.
        let line: String
        let kind: String
        /// The schema, or `-`.
        let namespace: String
        let name: String
        var dependencies: Set<Int> = []
    }

    private(set) var entries: [Entry] = []

    /// Reads a listing; `tables` are the tables whose names are known exactly.
    ///
    /// The listing separates names by spaces and replaces line ends in them, so a name with spaces is found among the
    /// known ones first.
    init(parsing text: String, tables: [TableLine]) {
        let names = ListedNames(tables)
        for line in text.split(separator: "\n") {
            if line.hasPrefix(";\tdepends on:") {
                let numbers = line.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
                if !entries.isEmpty { entries[entries.count - 1].dependencies = Set(numbers) }
            } else if !line.hasPrefix(";"), let entry = Self.entry(line, names) {
                entries.append(entry)
            }
        }
    }

    /// `number; catalogue-oid object-oid KIND schema name owner`.
    private static func entry(_ line: Substring, _ names: ListedNames) -> Entry? {
        guard let end = line.firstIndex(of: ";"), let dumpID = Int(line[..<end]) else { return nil }
        let parts = line[end...].dropFirst(2).split(
            separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let kind = kind(of: parts[2])
        let (namespace, name) = names.split(
            parts[2].dropFirst(kind.count + 1), isTable: kind == "TABLE" || kind == "TABLE DATA")
        return Entry(dumpID: dumpID, line: String(line), kind: kind, namespace: namespace, name: name)
    }

    private static func kind(of text: Substring) -> String {
        if let known = knownKinds.first(where: { text.hasPrefix("\($0) ") }) { return known }
        return String(text.prefix { $0 != " " })
    }

    /// What pg_dump calls entries, where it takes more than one word; longer ones first.
    private static let knownKinds = [
        "ACCESS METHOD", "BLOB COMMENTS", "BLOB METADATA", "CHECK CONSTRAINT", "DATABASE PROPERTIES", "DEFAULT ACL",
        "EVENT TRIGGER", "FK CONSTRAINT", "FOREIGN DATA WRAPPER", "FOREIGN SERVER", "FOREIGN TABLE", "INDEX ATTACH",
        "LARGE OBJECT", "MATERIALIZED VIEW DATA", "MATERIALIZED VIEW", "OPERATOR CLASS", "OPERATOR FAMILY",
        "PROCEDURAL LANGUAGE", "PUBLICATION TABLES IN SCHEMA", "PUBLICATION TABLE", "ROW SECURITY", "SECURITY LABEL",
        "SEQUENCE OWNED BY", "SEQUENCE SET", "SHELL TYPE", "STATISTICS DATA", "SUBSCRIPTION TABLE", "TABLE ATTACH",
        "TABLE DATA", "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER",
        "TEXT SEARCH TEMPLATE", "USER MAPPING",
    ]

    /// A name as the listing writes it.
    static func listed(_ name: String) -> String {
        String(name.unicodeScalars.map { $0 == "\n" || $0 == "\r" ? " " : Character($0) })
    }
}

/// Tells schema, name and owner apart in `schema name owner`.
private struct ListedNames {
    private var tables: [String: (namespace: String, name: String)] = [:]
    private var spacedNamespaces: Set<String> = []

    init(_ lines: [TableLine]) {
        for line in lines {
            let namespace = ArchiveListing.listed(line.schema)
            if namespace.contains(" ") { spacedNamespaces.insert(namespace) }
            guard let name = line.table.map(ArchiveListing.listed) else { continue }
            tables["\(namespace) \(name)"] = (namespace, name)
        }
    }

    func split(_ text: Substring, isTable: Bool) -> (namespace: String, name: String) {
        var known = text
        while isTable, let space = known.lastIndex(of: " ") {
            known = known[..<space]
            if let found = tables[String(known)] { return found }
        }
        let namespace =
            spacedNamespaces.filter { text.hasPrefix("\($0) ") }.max { $0.count < $1.count }
            ?? String(text.prefix { $0 != " " })
        let rest = text.dropFirst(namespace.count + 1)
        return (namespace, String(rest.lastIndex(of: " ").map { rest[..<$0] } ?? rest))
    }
}
