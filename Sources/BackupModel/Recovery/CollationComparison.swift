/// A collation on a server that has a restored cluster.
package struct FoundCollation: Sendable, Hashable {
    /// Its quoted name with its schema; `nil` for the database's own.
    package var name: String?
    package var provider: String
    package var locale: String
    /// The version in the catalogue, which came with the backup.
    package var recorded: String?
    /// The version that this server's library has; `nil` if it has none.
    package var actual: String?

    package init(name: String?, provider: String, locale: String, recorded: String?, actual: String?) {
        self.name = name
        self.provider = provider
        self.locale = locale
        self.recorded = recorded
        self.actual = actual
    }

    /// What PostgreSQL calls the provider of the letter `code`.
    package static func provider(code: String) -> String {
        switch code {
        case "c": "libc"
        case "i": "icu"
        case "b": "builtin"
        default: code
        }
    }
}

/// Compares the collations of a restored cluster with those that its indexes were built with.
package struct CollationComparison: Sendable {
    /// What the backup says of its source; `nil` if it is too old to say anything.
    package var source: CollationRecord?

    package init(source: CollationRecord?) { self.source = source }

    /// What the comparison of one collation comes to.
    package enum Result: Sendable, Hashable {
        case same
        case differs(CollationReport.Difference)
        /// Nothing tells the version it had.
        case unknown
    }

    package func compare(_ found: FoundCollation) -> Result {
        // What had no version and has none, as C, orders alike everywhere.
        if found.recorded == nil, found.actual == nil { return .same }
        let actual = source?.actual(provider: found.provider, locale: found.locale)
        let earlier = [found.recorded, actual].compactMap(\.self)
        guard !earlier.isEmpty else { return .unknown }
        guard earlier.contains(where: { $0 != found.actual }) else { return .same }
        return .differs(
            CollationReport.Difference(
                collation: found.name ?? "default", provider: found.provider, locale: found.locale,
                recorded: found.recorded, source: actual, here: found.actual))
    }
}

/// Which collations of a restored cluster are other ones than those that its indexes were built with, and what is to be
/// done about it.
package struct CollationReport: Sendable, Hashable, Codable {
    /// A collation of which the library has another version.
    package struct Difference: Sendable, Hashable, Codable {
        /// Its quoted name with its schema, or `default` for the database's own.
        package var collation: String
        package var provider: String
        package var locale: String
        /// The version in the catalogue.
        package var recorded: String?
        /// The version that the source's library had when the backup was taken.
        package var source: String?
        /// The version of this server's library; absent if it has none.
        package var here: String?

        package init(
            collation: String, provider: String, locale: String, recorded: String?, source: String?, here: String?
        ) {
            self.collation = collation
            self.provider = provider
            self.locale = locale
            self.recorded = recorded
            self.source = source
            self.here = here
        }
    }

    /// A database with such collations.
    package struct Database: Sendable, Hashable, Codable {
        package var name: String
        package var differences: [Difference]
        /// The indexes that depend on them, quoted and with their schemas.
        package var indexes: [String]
        /// What rebuilds them, and takes the new versions for right then; to be run in this database, in this order.
        package var statements: [String]

        package init(name: String, differences: [Difference], indexes: [String]) {
            self.name = name
            self.differences = differences
            self.indexes = indexes
            statements =
                indexes.map { "REINDEX INDEX \($0);" }
                + differences.filter { $0.here != nil && $0.recorded != $0.here }.map {
                    $0.collation == "default"
                        ? "ALTER DATABASE \(quoteIdentifier(name)) REFRESH COLLATION VERSION;"
                        : "ALTER COLLATION \($0.collation) REFRESH VERSION;"
                }
        }
    }

    /// How many databases were looked into.
    package var compared: Int
    /// Those with differences.
    package var databases: [Database]
    /// What could not be compared, and why.
    package var unknown: [String]

    package init(compared: Int = 0, databases: [Database] = [], unknown: [String] = []) {
        self.compared = compared
        self.databases = databases
        self.unknown = unknown
    }
}

extension CollationReport {
    /// The report in a line; `nil` if nothing is to be said.
    package var summary: String? {
        var parts: [String] = []
        if !databases.isEmpty {
            let count = databases.reduce(0) { $0 + $1.indexes.count }
            let versions = Set(databases.flatMap(\.differences).map(\.text)).sorted()
            parts.append(
                "The collations of this server are not those of the source: \(few(versions)). \(count) indexes of "
                    + "\(databases.count) databases may be in the wrong order.")
        }
        if !unknown.isEmpty { parts.append("Not compared: \(few(unknown)).") }
        return parts.isEmpty ? nil : parts.joined(separator: " ")
    }

    /// The report for people who only read, with the first of its statements.
    package var text: String {
        let (first, further) = statements(most: 10)
        return
            ([summary ?? "those of the source, in \(compared) databases"]
            + first.map { "In \($0.database): \($0.statement)" } + (further > 0 ? ["And \(further) more."] : []))
            .joined(separator: " ")
    }

    /// The statements with the database in which each must be run, as many as people read, and how many there are more.
    package func statements(most: Int) -> (first: [(database: String, statement: String)], further: Int) {
        var first: [(database: String, statement: String)] = []
        for database in databases {
            for statement in database.statements.prefix(most - first.count) { first.append((database.name, statement)) }
        }
        return (first, databases.reduce(0) { $0 + $1.statements.count } - first.count)
    }

    private func few(_ texts: [String]) -> String {
        let shown = texts.prefix(5).joined(separator: "; ")
        return texts.count > 5 ? "\(shown) and \(texts.count - 5) more" : shown
    }
}

extension CollationReport.Difference {
    /// The difference without the collation's name: many have the same.
    fileprivate var text: String {
        let earlier = source ?? recorded ?? "unknown"
        let stale = recorded.flatMap { $0 == earlier ? nil : " (\($0) in the catalogue)" } ?? ""
        return "\(provider) has version \(here ?? "none"), and had \(earlier)\(stale)"
    }
}

extension CollationRecord {
    /// What shows, in any database of a started server, whose own collation has another version than the catalogue says.
    package static let question =
        "SELECT datname, datcollversion, pg_database_collation_actual_version(oid) FROM pg_database"
}
