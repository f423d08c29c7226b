import BackupModel
import PostgresAccess

/// Columns of numbers that large objects may have: these are in no table, and no dump of a schema holds them.
///
/// They are of the type `oid`, or of a domain over it, such as `lo`.
enum LargeObjectColumns {
    private static let query = """
        WITH RECURSIVE number (type) AS (
            SELECT 'oid'::regtype::oid
            UNION SELECT t.oid FROM pg_type t JOIN number n ON t.typbasetype = n.type
        )
        SELECT n.nspname || '.' || c.relname, a.attname, c.oid
        FROM pg_attribute a JOIN number ON a.atttypid = number.type
            JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
        """

    /// What has to be known before tables called `names` are recovered, by those of these names that are there now.
    static func warnings(ofTables names: [String], in session: PostgresSession) async throws -> [String] {
        let columns = try await session.query(
            """
            \(query) AND (c.relname = ANY ($1::text[]) OR n.nspname || '.' || c.relname = ANY ($1::text[]))
            ORDER BY 1, a.attnum
            """, [textArray(names)])
        return columns.rows.map {
            "'\($0[1] ?? "")' of the live table \($0[0] ?? "") may refer to large objects: these do not come along, only "
                + "their numbers do"
        }
    }

    /// What does not come along with `tables`.
    static func remarks(on tables: [RecoveredRelation], in session: PostgresSession) async throws -> [String] {
        var remarks: [String] = []
        for table in tables {
            let columns = try await session.query("\(query) AND c.oid = $1::oid ORDER BY a.attnum", ["\(table.oid)"])
            for column in columns.rows.compactMap({ $0[1] }) {
                let count = try await session.query(
                    """
                    SELECT count(*) FROM pg_largeobject_metadata m WHERE EXISTS (
                        SELECT FROM \(table.rows) AS t WHERE t.\(quoteIdentifier(column)) = m.oid)
                    """
                ).firstValue
                guard let count, count != "0" else { continue }
                remarks.append(
                    "\(count) large objects that '\(column)' of \(table.title) refers to are left out: their numbers come "
                        + "along, and what the target has under these may be others. A restore with --start into a "
                        + "directory has them")
            }
        }
        return remarks
    }
}
