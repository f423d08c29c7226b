import BackupModel
import PostgresAccess

/// Compares restored tables with the live ones of the same names, for a limited time.
///
/// What keeps it from that is no failure of a restore: the tables are there.
struct TableComparison: Sendable {
    /// What came of a table.
    enum Outcome: Sendable {
        case found(TableDifference)
        /// There is no difference, and why; the statement would tell it, if there can be one.
        case none(reason: String, statement: String?)
    }

    let target: TargetServer
    /// The database of both.
    let database: String
    /// The schema of the restored ones.
    let schema: String
    /// The longest time for all tables together.
    let limit: Duration
    let clocks: Clocks

    /// What came of each of `tables`, in their order.
    func compare(_ tables: [RecoveredRelation]) async throws -> [Outcome] {
        let end = clocks.monotonic() + limit
        var outcomes: [Outcome] = []
        for table in tables { outcomes.append(try await compare(table, until: end)) }
        return outcomes
    }

    /// One process of the server does it, in the memory that it has for one statement.
    private func compare(_ table: RecoveredRelation, until end: Duration) async throws -> Outcome {
        var begun: RowDifference?
        do {
            return try await target.withSession(in: database) { session in
                try await session.execute(
                    "SET lock_timeout = '30s'; SET row_security = off; SET max_parallel_workers_per_gather = 0")
                let difference = try await difference(of: table, in: session)
                begun = difference
                return .found(try await ask(difference, until: end, in: session))
            }
        } catch {
            try Task.checkNotCancelled()
            return .none(reason: reason(of: error, end), statement: begun.map { "\($0.counts);" })
        }
    }

    private func reason(of error: any Error, _ end: Duration) -> String {
        if let none = error as? NoRowDifference { return none.reason }
        let known = RunLog.describe(error)
        if known.sqlstate == "57014", clocks.monotonic() >= end { return unfinished }
        return known.reason ?? known.message
    }

    private var unfinished: String {
        limit > .zero
            ? "it was not finished within \(DurationText.format(limit)) (--compare-timeout, or restore.compare_timeout of "
                + "the policy)"
            : "it was not to be (--compare-timeout, or restore.compare_timeout of the policy, is 0)"
    }

    private func difference(of table: RecoveredRelation, in session: PostgresSession) async throws -> RowDifference {
        guard let live = try await description(schema: table.schema, name: table.name, in: session) else {
            throw NoRowDifference("there is no table \(table.title) now")
        }
        guard let restored = try await description(schema: schema, name: table.name, in: session) else {
            throw NoRowDifference("the restored table is gone")
        }
        return try RowDifference(of: restored, with: live)
    }

    private func ask(
        _ difference: RowDifference, until end: Duration, in session: PostgresSession
    ) async throws -> TableDifference {
        let left = end - clocks.monotonic()
        guard left > .zero else { throw NoRowDifference(unfinished) }
        let milliseconds = min(left.seconds * 1000 + 1, Double(Int32.max))
        try await session.execute("SET statement_timeout = \(Int(milliseconds))")
        let answer = try await session.query(difference.counts)
        let counts = (0..<3).compactMap { answer.value(0, $0).flatMap { Int64($0) } }
        guard counts.count == 3 else { throw unexpectedAnswer("the difference of two tables") }
        return TableDifference(
            added: counts[0], removed: counts[1], changed: counts[2], onlyInLive: difference.onlyInLive,
            onlyInRestored: difference.onlyInRestored, ofOtherType: difference.ofOtherType, statement: difference.rows)
    }

    private func description(
        schema: String, name: String, in session: PostgresSession
    ) async throws -> ComparedTable? {
        let table = try await session.query(
            """
            SELECT c.oid, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
            """, [schema, name])
        guard let oid = table.value(0, 0) else { return nil }
        let columns = try await session.query(Self.columnsQuery, [oid]).rows.compactMap { row in
            row[0].map { name in
                ComparedTable.Column(
                    name, type: row[1] ?? "", isComparable: row[2] == "t", isOfUser: row[3] == "t", isKey: row[4] == "t"
                )
            }
        }
        return ComparedTable(schema: schema, name: name, isPartitioned: table.value(0, 1) == "t", columns: columns)
    }

    /// A type is comparable if it, or what an array is of, is an enumeration, or a type of PostgreSQL's own with a
    /// class of operators for B-trees or hashes.
    private static let columnsQuery = """
        SELECT a.attname, a.atttypid::text,
            a.attcollation = 0 AND (e.typtype = 'e'
                OR e.typtype = 'b' AND e.typcategory <> 'A' AND e.typnamespace = 'pg_catalog'::regnamespace AND EXISTS (
                    SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                    WHERE m.amname IN ('btree', 'hash') AND o.opcdefault
                        AND o.opcnamespace = 'pg_catalog'::regnamespace
                        AND (o.opcintype = e.oid OR EXISTS (
                            SELECT FROM pg_cast k WHERE k.castsource = e.oid AND k.casttarget = o.opcintype
                                AND k.castmethod = 'b' AND k.castcontext = 'i')))),
            t.typnamespace <> 'pg_catalog'::regnamespace OR e.typnamespace <> 'pg_catalog'::regnamespace,
            coalesce(a.attnum = ANY (k.conkey), false)
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_type e ON e.oid = CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END
        LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p'
        WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
        """
}
