import BackupModel
import PostgresAccess

/// Compares restored tables with the live ones of the same names.
struct TableComparison {
    /// In the database of both.
    let session: PostgresSession
    /// The schema of the restored ones.
    let schema: String

    /// The difference of a table, or why there is none.
    ///
    /// The server does it, in the memory that it has for one statement. What keeps it from that is no failure of a
    /// restore.
    func compare(_ table: RecoveredRelation) async throws -> Result<TableDifference, NoRowDifference> {
        do {
            guard let live = try await description(schema: table.schema, name: table.name) else {
                return .failure(NoRowDifference("there is no table \(table.title) now"))
            }
            guard let restored = try await description(schema: schema, name: table.name) else {
                return .failure(NoRowDifference("the restored table is gone"))
            }
            let difference: RowDifference
            do throws(NoRowDifference) {
                difference = try RowDifference(of: restored, with: live)
            } catch {
                return .failure(error)
            }
            return .success(try await ask(difference))
        } catch let error as BackupError where error.code == .queryFailed || error.code == .permissionDenied {
            return .failure(NoRowDifference(error.reason ?? error.message))
        }
    }

    private func ask(_ difference: RowDifference) async throws -> TableDifference {
        let answer = try await session.query(difference.counts)
        let counts = (0..<3).compactMap { answer.value(0, $0).flatMap { Int64($0) } }
        guard counts.count == 3 else { throw unexpectedAnswer("the difference of two tables") }
        return TableDifference(
            added: counts[0], removed: counts[1], changed: counts[2], onlyInLive: difference.onlyInLive,
            onlyInRestored: difference.onlyInRestored, ofOtherType: difference.ofOtherType, statement: difference.rows)
    }

    private func description(schema: String, name: String) async throws -> ComparedTable? {
        let table = try await session.query(
            """
            SELECT c.oid, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
            """, [schema, name])
        guard let oid = table.value(0, 0) else { return nil }
        let columns = try await session.query(Self.columnsQuery, [oid]).rows.compactMap { row in
            row[0].map { name in
                ComparedTable.Column(name, type: row[1] ?? "", isComparable: row[2] == "t", isKey: row[3] == "t")
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
            coalesce(a.attnum = ANY (k.conkey), false)
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_type e ON e.oid = CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END
        LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p'
        WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
        """
}
