/// A table as far as its rows can be compared with another's in the same database.
package struct ComparedTable: Sendable, Hashable {
    /// A column.
    package struct Column: Sendable, Hashable {
        package var name: String
        /// The type, by any name that is the same for the same type only.
        package var type: String
        /// Whether PostgreSQL's own equality says more than a comparison as text: the type has one, whatever the search
        /// path is, and it does not depend on a collation.
        package var isComparable: Bool
        /// Whether the type is a user's, who may have made a function that converts it to text.
        package var isOfUser: Bool
        package var isKey: Bool

        package init(_ name: String, type: String, isComparable: Bool, isOfUser: Bool, isKey: Bool) {
            self.name = name
            self.type = type
            self.isComparable = isComparable
            self.isOfUser = isOfUser
            self.isKey = isKey
        }
    }

    package var schema: String
    package var name: String
    /// Whether its rows are in its partitions.
    package var isPartitioned: Bool
    package var columns: [Column]

    package init(schema: String, name: String, isPartitioned: Bool, columns: [Column]) {
        self.schema = schema
        self.name = name
        self.isPartitioned = isPartitioned
        self.columns = columns
    }

    fileprivate var key: [Column] { columns.filter(\.isKey) }
    fileprivate func column(_ name: String) -> Column? { columns.first { $0.name == name } }

    /// The rows that are its own: of a table that others inherit from, not theirs.
    fileprivate var source: String {
        "\(isPartitioned ? "" : "ONLY ")\(quoteIdentifier(schema)).\(quoteIdentifier(name))"
    }
}

/// How a restored table is compared with the live one, by the primary key that both have.
package struct RowDifference: Sendable, Hashable {
    private struct Pair: Sendable, Hashable {
        /// What is compared.
        enum Form: Sendable, Hashable {
            case value
            /// Text, byte by byte.
            case text
            /// The same, as the type itself writes it: no function of a user is called.
            case output
        }

        var name: String
        var form: Form

        func side(_ alias: String) -> String {
            let column = "\(alias).\(quoteIdentifier(name))"
            return switch form {
            case .value: column
            case .text: "\(column)::pg_catalog.text COLLATE pg_catalog.\"C\""
            case .output: "pg_catalog.format('%L', \(column)) COLLATE pg_catalog.\"C\""
            }
        }
    }

    /// Columns that only one of the two has.
    package let onlyInLive: [String]
    package let onlyInRestored: [String]
    /// Columns whose types differ, and which are compared as text.
    package let ofOtherType: [String]
    private let restored: String
    private let live: String
    private let key: [Pair]
    private let firstKey: String
    private let others: [Pair]

    /// Compares `restored` with `live`.
    ///
    /// - Throws: ``NoRowDifference`` if they have no primary key in common.
    package init(of restored: ComparedTable, with live: ComparedTable) throws(NoRowDifference) {
        let (ours, theirs) = (restored.key.map(\.name), live.key.map(\.name))
        guard let first = ours.first else { throw NoRowDifference("the restored table has no primary key") }
        guard Set(ours) == Set(theirs) else {
            throw NoRowDifference(
                "the primary key was (\(ours.joined(separator: ", "))), and "
                    + (theirs.isEmpty ? "now there is none" : "now is (\(theirs.joined(separator: ", ")))"))
        }
        func pair(_ column: ComparedTable.Column) -> Pair? {
            guard let other = live.column(column.name) else { return nil }
            let isComparable = column.isComparable && other.isComparable && column.type == other.type
            let isOfUser = column.isOfUser || other.isOfUser
            return Pair(name: column.name, form: isComparable ? .value : isOfUser ? .output : .text)
        }
        self.restored = restored.source
        self.live = live.source
        key = restored.key.compactMap(pair)
        firstKey = quoteIdentifier(first)
        others = restored.columns.filter { !$0.isKey }.compactMap(pair)
        onlyInRestored = restored.columns.map(\.name).filter { live.column($0) == nil }
        onlyInLive = live.columns.map(\.name).filter { restored.column($0) == nil }
        ofOtherType = restored.columns.filter { column in
            live.column(column.name).map { $0.type != column.type } ?? false
        }.map(\.name)
    }

    /// The statement that counts the rows that are only in the live table, only in the restored one, and in both but
    /// not the same, in this order.
    package var counts: String {
        """
        SELECT pg_catalog.count(*) FILTER (WHERE \(isAdded)), pg_catalog.count(*) FILTER (WHERE \(isRemoved)),
            pg_catalog.count(*) FILTER (WHERE NOT (\(isAdded)) AND NOT (\(isRemoved)) AND (\(isChanged)))
        \(join)
        """
    }

    /// A statement that shows these rows.
    package var rows: String {
        """
        SELECT CASE WHEN \(isAdded) THEN 'added' WHEN \(isRemoved) THEN 'removed' ELSE 'changed' END AS difference,
            pg_catalog.to_jsonb(restored.*) AS restored_row, pg_catalog.to_jsonb(live.*) AS live_row
        \(join)
        WHERE \(isAdded) OR \(isRemoved) OR \(isChanged);
        """
    }

    private var isAdded: String { "restored.\(firstKey) IS NULL" }
    private var isRemoved: String { "live.\(firstKey) IS NULL" }

    private var isChanged: String {
        guard !others.isEmpty else { return "false" }
        return others.map { "\($0.side("restored")) IS DISTINCT FROM \($0.side("live"))" }.joined(separator: " OR ")
    }

    private var join: String {
        let condition = key.map { "\($0.side("restored")) = \($0.side("live"))" }.joined(separator: " AND ")
        return "FROM \(restored) AS restored FULL JOIN \(live) AS live ON (\(condition))"
    }
}

/// Why two tables are not compared row by row.
package struct NoRowDifference: Error, Sendable, Hashable {
    package let reason: String

    package init(_ reason: String) { self.reason = reason }
}
