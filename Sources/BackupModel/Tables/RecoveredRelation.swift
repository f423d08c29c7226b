/// A relation of a recovered database, of which tables can be chosen by their names.
package struct RecoveredRelation: Sendable, Hashable {
    /// What it is, by the letter that PostgreSQL has for it (`pg_class.relkind`).
    package enum Kind: String, Sendable, Hashable {
        case table = "r"
        case partitioned = "p"
        case foreign = "f"
        case view = "v"
        case materializedView = "m"
        case sequence = "S"

        fileprivate var words: String {
            switch self {
            case .table, .partitioned: "a table"
            case .foreign: "a foreign table"
            case .view: "a view"
            case .materializedView: "a materialized view"
            case .sequence: "a sequence"
            }
        }
    }

    package var oid: UInt32
    package var schema: String
    package var name: String
    package var kind: Kind
    /// Whether an extension made it.
    package var isOfExtension: Bool

    package init(oid: UInt32, schema: String, name: String, kind: Kind, isOfExtension: Bool) {
        self.oid = oid
        self.schema = schema
        self.name = name
        self.kind = kind
        self.isOfExtension = isOfExtension
    }

    /// `schema.name`, for people.
    package var title: String { "\(schema).\(name)" }

    /// `schema.name` as SQL needs it.
    package var sql: String { "\(quoteIdentifier(schema)).\(quoteIdentifier(name))" }

    /// What a query selects from to have its own rows, and not those of tables that inherit from it.
    package var rows: String { kind == .partitioned ? sql : "ONLY \(sql)" }
}

extension [RecoveredRelation] {
    /// The tables that are called `names`, each `schema.table` or, where there is but one, `table`; each once.
    ///
    /// Where dots make that ambiguous, a name may be written as SQL does: `"a.b"."c"`.
    ///
    /// - Throws: ``ErrorCode/usage`` for a name of none, of several, or of something else than a table.
    package func tables(named names: [String]) throws(BackupError) -> [RecoveredRelation] {
        var chosen: [RecoveredRelation] = []
        for name in names {
            let table = try table(named: name)
            guard !chosen.contains(table) else { continue }
            if let other = chosen.first(where: { $0.name == table.name }) {
                throw BackupError(
                    .usage, "Two tables called '\(table.name)' were chosen.",
                    reason: "\(other.title) and \(table.title) would both be '\(table.name)' in the new schema",
                    remedy: "Restore them one after the other.")
            }
            chosen.append(table)
        }
        return chosen
    }

    private func table(named name: String) throws(BackupError) -> RecoveredRelation {
        let found = filter { [$0.title, $0.name, $0.sql].contains(name) }
        guard let first = found.first else { throw unknown(name) }
        guard found.count == 1 else {
            throw BackupError(
                .usage, "There is more than one '\(name)' in the recovered database.",
                reason: "it has \(found.map(\.title).sorted().joined(separator: ", "))",
                remedy: found.contains { $0.title == name }
                    ? "Write it as SQL does: \(found.map(\.sql).sorted().joined(separator: " or "))."
                    : "Name it with its schema.")
        }
        guard first.kind == .table || first.kind == .partitioned else {
            throw BackupError(
                .usage, "'\(name)' was \(first.kind.words) at that moment.", reason: "tables alone are brought back",
                remedy: "Name the tables whose rows you want.")
        }
        guard !first.isOfExtension else {
            throw BackupError(
                .usage, "'\(name)' belongs to an extension.", reason: "the extension makes it, and no dump holds it",
                remedy: "Restore with --start into a directory, and copy its rows from there.")
        }
        return first
    }

    private func unknown(_ name: String) -> BackupError {
        let tables = filter { $0.kind == .table || $0.kind == .partitioned }
        let others = name.contains(".") ? tables.map(\.title) : tables.map(\.name)
        let guess = nearest(to: name, among: others).map { "Did you mean '\($0)'? " } ?? ""
        return BackupError(
            .usage, "The recovered database has no table '\(name)'.", reason: "at that moment there was none",
            remedy:
                "\(guess)Write it as schema.table, as in the database: names are case-sensitive, and are not quoted.")
    }
}
