/// The query by which a restored server itself tells which indexes have to be rebuilt, whoever started it.
enum CollationScript {
    /// Its name in the data directory.
    static let fileName = "apex-backup-collations.sql"

    /// It compares what the catalogue has with this server's libraries.
    ///
    /// What a source had beside its catalogue, it does not know. Without a search path no operator is one that a user of
    /// the source has made: a superuser runs it.
    static let text = """
        -- Prints what has to be run in a database whose indexes were built with other collations than this server has;
        -- nothing where there is nothing to do. In each database: psql -X -At -d DATABASE -f THIS-FILE
        \\set QUIET on
        SET search_path = '';
        WITH uses AS (\(CollationInquiry.uses)),
        differing AS (
            SELECT c.oid, v.actual, CASE c.collprovider
                WHEN 'd' THEN pg_catalog.format('ALTER DATABASE %I REFRESH COLLATION VERSION;', d.datname)
                ELSE pg_catalog.format('ALTER COLLATION %I.%I REFRESH VERSION;', n.nspname, c.collname) END AS refresh
            FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
                JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
                CROSS JOIN LATERAL (
                    SELECT CASE c.collprovider WHEN 'd' THEN d.datcollversion ELSE c.collversion END,
                        CASE c.collprovider WHEN 'd' THEN pg_catalog.pg_database_collation_actual_version(d.oid)
                            ELSE pg_catalog.pg_collation_actual_version(c.oid) END
                ) AS v (recorded, actual)
            WHERE (c.collprovider = 'd' OR c.oid IN (SELECT collation_oid FROM uses))
                AND v.recorded IS NOT NULL AND v.recorded IS DISTINCT FROM v.actual
        )
        SELECT statement FROM (
            SELECT DISTINCT 1, pg_catalog.format('REINDEX INDEX %I.%I;', n.nspname, r.relname)
            FROM uses u JOIN differing x ON x.oid = u.collation_oid JOIN pg_catalog.pg_class r ON r.oid = u.index_oid
                JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
            WHERE r.relkind = 'i' AND r.relpersistence <> 't'
            UNION ALL SELECT 2, refresh FROM differing WHERE actual IS NOT NULL
        ) AS s (step, statement)
        ORDER BY step, statement COLLATE pg_catalog."C";

        """
}
