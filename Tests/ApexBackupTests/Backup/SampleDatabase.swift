import BackupModel
import PostgresAccess
import TestSupport

@testable import ApexBackup

/// A small database with one of everything that a dump has to carry.
enum SampleDatabase {
    /// Rows that look like what ends COPY data, and rows with every character that COPY escapes, among three thousand.
    static func fill(_ server: PostgresCluster, _ database: ConnectionSettings) async throws {
        try await server.execute(
            #"""
            CREATE EXTENSION pg_trgm;
            CREATE SCHEMA "Größe & Co";
            CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy; drop');
            CREATE DOMAIN positive AS int CHECK (VALUE > 0);
            CREATE TABLE projects (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
                slug text GENERATED ALWAYS AS (lower(name)) STORED);
            CREATE TABLE tasks (
                id serial PRIMARY KEY, project_id bigint REFERENCES projects, title text, state mood, points positive);
            CREATE INDEX ON tasks USING gin (title gin_trgm_ops);
            CREATE TABLE events (at timestamptz NOT NULL, kind text) PARTITION BY RANGE (at);
            CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
            CREATE TABLE events_rest PARTITION OF events DEFAULT;
            CREATE TABLE "Größe & Co"."odd ""name""; \." ("col ä" text, "select" int);
            CREATE TABLE parent (n int);
            CREATE TABLE child (m int) INHERITS (parent);
            CREATE TABLE nothing ();
            CREATE TABLE empty (n int);
            CREATE UNLOGGED TABLE scratch (n int);
            CREATE SEQUENCE tickets START 100 INCREMENT 5;
            CREATE VIEW busy AS SELECT p.name, count(*) FROM projects p JOIN tasks t ON t.project_id = p.id GROUP BY 1;
            CREATE MATERIALIZED VIEW titles AS SELECT title FROM tasks;
            CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $f$
            BEGIN
                -- COPY nothing FROM stdin;
                RETURN new;
            END $f$;
            CREATE TRIGGER touched BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION touch();
            ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON tasks USING (points > 1);
            INSERT INTO projects (name) SELECT 'Project ' || n FROM generate_series(1, 20) AS n;
            INSERT INTO tasks (project_id, title, state, points)
                SELECT 1 + n % 20, md5(n::text), 'ok', 1 + n % 7 FROM generate_series(1, 3000) AS n;
            INSERT INTO events SELECT timestamptz '2025-12-31 20:00Z' + n * interval '1 min', E'a\tb'
                FROM generate_series(1, 500) AS n;
            INSERT INTO "Größe & Co"."odd ""name""; \." VALUES (E'\\.', 1), (E'line\nfeed\r\n\ttab\\', NULL), (NULL, 3), ('', 4);
            INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3); INSERT INTO scratch VALUES (1);
            INSERT INTO nothing DEFAULT VALUES;
            SELECT nextval('tickets') FROM generate_series(1, 3);
            REFRESH MATERIALIZED VIEW titles;
            SELECT lo_from_bytea(0, '\x00ff0a5c2e'::bytea);
            COMMENT ON TABLE tasks IS 'what is to be done';
            """#, in: database)
    }

    /// What the database holds: its schema's fingerprint, and a digest or value for each table, sequence and large object.
    static func contents(_ server: PostgresCluster, _ database: ConnectionSettings) async throws -> [String: String] {
        let session = try await server.session(database)
        var contents = ["schema": try await session.schemaFingerprint().description]
        let tables = try await session.query(
            """
            SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
            """)
        for table in tables.rows.compactMap({ $0[0] }) {
            contents[table] = try await session.query(
                "SELECT count(*) || ':' || md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM ONLY \(table) t"
            ).firstValue
        }
        for row in try await session.query("SELECT sequencename, last_value FROM pg_sequences").rows {
            contents["sequence \(row[0] ?? "")"] = row[1] ?? "unused"
        }
        for row in try await session.query("SELECT oid, encode(lo_get(oid), 'hex') FROM pg_largeobject_metadata").rows {
            contents["large object \(row[0] ?? "")"] = row[1] ?? ""
        }
        await session.close()
        return contents
    }

    /// The rows of each table, as the server counts them.
    static func rows(_ server: PostgresCluster, _ database: ConnectionSettings) async throws -> [String: Int64] {
        let contents = try await contents(server, database)
        return contents.compactMapValues { $0.contains(":") ? Int64($0.prefix { $0 != ":" }) : nil }
    }
}
