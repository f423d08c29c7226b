import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

/// `restore --table … --to MOMENT --to URL`, with a server that archives and takes the tables itself.
@Suite(.serialized, .needsPhysicalBackups) struct `Tables of another moment` {
    /// A server that archives, and what was done in its database `shop`: a dump, a base backup, and a mistake.
    private struct Shop {
        var place: ArchivingCluster
        /// Between the dump and the base backup.
        let early: String
        /// Just before the mistake.
        let moment: String

        /// The name of the schema for tables of that moment.
        var schema: String { "restored_\(moment.prefix(19).filter { $0 != "-" && $0 != ":" }.lowercased())z" }

        func answer(_ sql: String, in database: String = "shop") async throws -> String? {
            try await place.cluster.answer(sql, database: database)
        }

        /// Nothing of the scratch server is left.
        func expectNothingLeft() async throws {
            let scratch = try #require(place.tool.environment["TMPDIR"])
            #expect(try FileManager.default.contentsOfDirectory(atPath: scratch) == [])
            #expect(await eventually { ProcessSnapshot.all(naming: scratch).isEmpty })
        }

        /// The states of the restores, oldest first.
        func restores() async throws -> [String] {
            try await place.succeed("list", "--runs", "--json").json().elements
                .filter { $0["start"]?["operation"]?.text == "restore" }.compactMap { $0["state"]?.text }
        }
    }

    private static let orders = "Odd \"Orders\""
    private static let quoted = "\"Odd \"\"Orders\"\"\""

    private static let tables = """
        CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE DOMAIN lo AS oid; CREATE TYPE pair AS (x int, y int);
        CREATE TABLE customers (id int PRIMARY KEY, name text);
        INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(0, 4) AS n;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER touched BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE TABLE \(quoted) (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customers,
            state mood NOT NULL DEFAULT 'ok', doc json, note text, trip pair, voice lo);
        CREATE TABLE events (id bigserial, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE TABLE visits (event bigint, at date, FOREIGN KEY (event, at) REFERENCES events);
        CREATE ROLE keeper; CREATE ROLE leaver;
        ALTER TABLE customers OWNER TO leaver;
        ALTER TABLE customers ENABLE ROW LEVEL SECURITY; ALTER TABLE customers FORCE ROW LEVEL SECURITY;
        CREATE POLICY own ON customers TO leaver USING (true);
        GRANT SELECT ON events TO keeper, leaver; GRANT USAGE ON SEQUENCE events_id_seq TO keeper, leaver;
        CREATE STATISTICS names ON id, name FROM customers; ALTER STATISTICS names OWNER TO leaver;
        CREATE SCHEMA audit;
        CREATE TABLE tickets (id int GENERATED ALWAYS AS IDENTITY);
        CREATE TABLE audit.entries (
            id int DEFAULT nextval('tickets_id_seq') CONSTRAINT customers_pkey PRIMARY KEY, note text);
        CREATE INDEX customers ON audit.entries (note); CREATE STATISTICS audit.names ON id, note FROM audit.entries;
        CREATE TABLE customers_pkey_2 ();
        CREATE TABLE caught (n int);
        CREATE FUNCTION trap(oid, regclass) RETURNS boolean LANGUAGE sql
            AS 'INSERT INTO public.caught VALUES (1); SELECT true';
        CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = trap);
        CREATE FUNCTION trap(pair) RETURNS text LANGUAGE sql AS 'INSERT INTO public.caught VALUES (2); SELECT ''x''';
        CREATE CAST (pair AS text) WITH FUNCTION trap(pair);
        CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN
            IF current_setting(''cluster_name'') LIKE ''apex-backup%'' THEN RAISE ''not in a copy''; END IF; END';
        CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION forbid();
        ALTER EVENT TRIGGER forbid ENABLE ALWAYS;
        """

    private static let mistake = """
        DELETE FROM \(quoted) WHERE id <= 20;
        UPDATE \(quoted) SET note = 'changed' WHERE id BETWEEN 21 AND 25;
        UPDATE \(quoted) SET doc = '{"a": 2}' WHERE id = 26;
        ALTER TABLE \(quoted) ADD COLUMN extra int DEFAULT 5;
        INSERT INTO \(quoted) (customer) VALUES (0), (1), (2);
        DELETE FROM events WHERE id <= 7;
        UPDATE events SET v = NULL WHERE id = 8;
        REASSIGN OWNED BY leaver TO CURRENT_USER; DROP OWNED BY leaver; DROP ROLE leaver;
        CREATE ROLE maker LOGIN;
        """

    private static func insertOrders(_ count: Int) -> String {
        """
        INSERT INTO \(quoted) (customer, doc, note)
            SELECT n % 5, '{"a":1}', 'note ' || n FROM generate_series(1, \(count)) AS n
        """
    }

    private func withShop(_ body: (Shop) async throws -> Void) async throws {
        try await ArchivingCluster.with(configuration: ["max_prepared_transactions": "2"]) { given in
            var place = given
            let cluster = place.cluster
            let scratch = "\(cluster.directory)/scratch"
            try FileManager.default.createDirectory(
                atPath: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
            place.tool.environment["TMPDIR"] = scratch
            for name in ["shop", "other"] { try await cluster.execute("CREATE DATABASE \(name)") }
            let voices = "UPDATE \(Self.quoted) SET voice = lo_create(0), trip = (1, 2) WHERE id IN (30, 31)"
            try await cluster.execute("\(Self.tables) \(Self.insertOrders(100)); \(voices)", database: "shop")
            try await place.succeed("backup")
            let early = try await place.now()
            try await place.succeed("backup", "--kind", "physical")
            try await cluster.execute(
                """
                \(Self.insertOrders(10));
                INSERT INTO events (at, v) SELECT date '2025-12-02' + n, 'event' FROM generate_series(1, 60) AS n;
                INSERT INTO visits SELECT id, at FROM events WHERE id = 20
                """, database: "shop")
            // It has the locks of what it changes until somebody decides it, also where it is recovered.
            try await cluster.execute(
                "BEGIN; INSERT INTO events (at, v) VALUES ('2026-05-05', 'open'); PREPARE TRANSACTION 'half done'",
                database: "shop")
            let moment = try await place.now()
            try await cluster.execute("ROLLBACK PREPARED 'half done'", database: "shop")
            try await cluster.execute(Self.mistake, database: "shop")
            try await place.archiveAll()
            try await body(Shop(place: place, early: early, moment: moment))
        }
    }

    @Test func `come into the live database in a schema of their own, with what has changed since`() async throws {
        try await withShop { shop in
            let place = shop.place
            let (schema, url) = (shop.schema, place.cluster.url("shop"))
            let command = ["restore", "--table", "public.\(Self.orders)", "--table", "events", "--to", shop.moment]
            try await place.cluster.execute("CREATE PUBLICATION everything FOR ALL TABLES", database: "shop")
            let plan = try await place.tool.run(command + ["--to", url, "--dry-run"])
            #expect(plan.status == 0 && plan.standardOutput.contains("Plan: bring public.\(Self.orders), events back"))
            #expect(plan.standardOutput.contains("'\(schema)' of 'shop'"), "\(plan.standardOutput)")
            #expect(plan.standardOutput.contains("because         a moment was named"))
            #expect(plan.standardOutput.contains("the publication 'everything' of 'shop' has every table"))
            #expect(plan.standardOutput.contains("'voice' of the live table public.\(Self.orders) may refer to large"))
            #expect(try await shop.restores().isEmpty, "a dry run is no attempt")

            let output = try await place.tool.run(command + ["--to", url, "--json"])
            try #require(output.status == 0, "\(output.standardError)")
            let result = try output.json()
            #expect(result["schema"]?.text == schema && result["sourceDatabase"]?.text == "shop")
            let (orders, events) = (result["tables"]?.elements.first, result["tables"]?.elements.last)
            func numbers(_ table: JSONValue?) -> [Double?] {
                [table?["rows"]?.number]
                    + ["added", "removed", "changed"].map { table?["difference"]?[$0]?.number }
            }
            #expect(orders?["name"]?.text == "public.\(Self.orders)" && events?["name"]?.text == "public.events")
            #expect(
                numbers(orders) == [110, 3, 20, 6] && numbers(events) == [60, 0, 7, 1], "\(output.standardOutput)")
            #expect(orders?["difference"]?["onlyInLive"]?.elements.compactMap(\.text) == ["extra"])
            var statement = try #require(orders?["difference"]?["statement"]?.text)
            statement.removeLast()
            let shown = "SELECT string_agg(DISTINCT difference, ' ') || ' ' || count(*) FROM (\(statement)) AS x"
            #expect(try await shop.answer(shown) == "added changed removed 29")
            let leftOut = result["leftOut"]?.elements.compactMap(\.text) ?? []
            #expect(leftOut.contains { $0.contains("foreign key") && $0.contains("refers to public.customers") })
            #expect(leftOut.contains("rights of 'leaver' are left out: the target has no such role"), "\(leftOut)")
            #expect(leftOut.contains { $0.hasPrefix("2 large objects that 'voice' of public.\(Self.orders) refers") })
            #expect(leftOut.contains { $0.hasPrefix("the transaction 'half done' was prepared at that moment") })

            // The copy is whole, and stands by itself.
            #expect(try await shop.answer("SELECT count(*) FROM \(schema).\(Self.quoted)") == "110")
            #expect(try await shop.answer("SELECT count(*) FROM \(schema).events_2025") == "29")
            let sequences = """
                SELECT pg_get_serial_sequence('\(schema).events', 'id') || ' '
                    || pg_get_serial_sequence('\(schema).\(Self.quoted)', 'id')
                """
            let named = "\(schema).events_id_seq \(schema).\"Odd \"\"Orders\"\"_id_seq\""
            #expect(try await shop.answer(sequences) == named)
            // After a recovery a sequence may be ahead of the last value that was taken.
            let insertion = "INSERT INTO \(schema).events (at) VALUES ('2025-02-02') RETURNING id > 60"
            #expect(try await shop.answer(insertion) == "t")
            let may = """
                SELECT has_table_privilege('keeper', '\(schema).events', 'SELECT')
                    AND has_sequence_privilege('keeper', '\(schema).events_id_seq', 'USAGE')
                """
            #expect(try await shop.answer(may) == "t")
            // The live tables are as they were.
            #expect(try await shop.answer("SELECT count(*) FROM \(Self.quoted)") == "93")
            #expect(try await shop.answer("SELECT count(*) FROM events") == "53")
            #expect(try await shop.answer("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'restored%'") == "1")
            #expect(try await shop.answer("SELECT count(*) FROM caught") == "0", "a function of its own was called")
            try await shop.expectNothingLeft()
            #expect(try await shop.restores() == ["succeeded"])
            #expect(
                try await place.succeed("list", "--json").json().elements
                    .first { $0["kind"]?.text == "physical" }?["state"]?.text == "restored")
        }
    }

    @Test func `are refused where types are missing, and come without triggers, policies and roles that are`()
        async throws
    {
        try await withShop { shop in
            let place = shop.place
            let (schema, url) = (shop.schema, place.cluster.url("other"))
            let schemas = "SELECT string_agg(nspname, ' ' ORDER BY 1) FROM pg_namespace WHERE nspname LIKE 'restored%'"
            func run(_ arguments: String..., to target: String? = nil) async throws -> CommandLineTool.Output {
                try await place.tool.run(["restore"] + arguments + ["--to", target ?? url])
            }
            let lacking = try await run(
                "--table", "events", "--table", Self.orders, "--database", "shop", "--to", shop.moment, "--json")
            let error = try lacking.json()["error"]
            #expect(lacking.status == 1 && error?["code"]?.text == "target-unsuitable", "\(lacking.standardOutput)")
            #expect(error?["reason"]?.text?.hasPrefix("type public.mood, for column state of table ") == true)
            #expect(error?["unchanged"]?.text == "Nothing was changed in 'other'.")
            #expect(try await shop.answer(schemas, in: "other") == nil)
            try await shop.expectNothingLeft()

            // The name of the schema is taken there, a live table cannot be read, and the role is no superuser.
            try await place.cluster.execute(
                """
                CREATE SCHEMA \(schema); CREATE TABLE public.customers (id int PRIMARY KEY);
                GRANT SELECT ON public.customers TO maker; GRANT CREATE ON DATABASE other TO maker
                """, database: "other")
            let customers = try await place.cluster.whileLocked("public.customers", database: "other") {
                try await run(
                    "--table", "public.customers", "--table", "events_2025", "--table", "audit.entries", "--database",
                    "shop", "--to", shop.moment, "--compare-timeout", "1s",
                    to: place.cluster.url("other", user: "maker"))
            }
            #expect(customers.status == 0, "\(customers.standardError)")
            #expect(customers.standardError.contains("Plan: bring public.customers, events_2025, audit.entries"))
            #expect(customers.standardError.contains("compared        with the live tables, for 1.0 s at most"))
            let told = customers.standardOutput
            #expect(told.contains("Restored into the schema '\(schema)_2' of 'other'"), "\(told)")
            #expect(told.contains("public.customers: not compared: it was not finished within 1.0 s (--compare-"))
            #expect(told.contains("public.events_2025: not compared: there is no table public.events_2025 now"))
            #expect(told.contains("AS restored FULL JOIN ONLY \"public\".\"customers\" AS live ON "), "\(told)")
            #expect(told.contains("trigger 'touched' of public.customers is left out: the target has no function"))
            #expect(told.contains("policy 'own' of public.customers is left out: the target has no role 'leaver'"))
            #expect(told.contains("what belonged to 'leaver' belongs to 'maker': the target has no such role"))
            #expect(told.contains("row security of public.customers is not forced on its owner 'maker'"))
            #expect(told.contains("public.events_2025 comes without public.events, which it is a part of"))
            #expect(
                told.contains("the sequence \"public\".\"tickets_id_seq\", which gives values to chosen tables, comes"))
            for (old, new) in [
                ("index audit.customers", "customers_2"), ("index public.customers_pkey", "customers_pkey_2"),
                ("statistics public.names", "names_2"),
            ] {
                #expect(
                    told.contains("Note: the \(old) is called '\(new)' in the new schema, where another"), "\(told)")
            }
            #expect(try await shop.answer("SELECT count(*) FROM \(schema)_2.events_2025", in: "other") == "29")
            #expect(try await shop.answer("SELECT count(*) FROM \(schema)_2.customers", in: "other") == "5")
            #expect(try await shop.answer("SELECT count(*) FROM pg_trigger", in: "other") == "0")
            let owner =
                "SELECT pg_get_userbyid(stxowner) = 'maker' FROM pg_statistic_ext WHERE stxname = 'names_2'"
            #expect(try await shop.answer(owner, in: "other") == "t")
            try await shop.expectNothingLeft()
            #expect(try await shop.restores() == ["refused", "succeeded"])

            // What can be known is refused before anything is recovered.
            let nowhere = try await run(
                "--table", "events", "--to", shop.moment, to: place.cluster.url("nowhere"))
            #expect(nowhere.status == 1 && nowhere.standardError.contains("no database 'nowhere'"))
            let over = try await run("--table", "events", "--to", shop.moment, "--overwrite")
            #expect(over.status == 64 && over.standardError.contains("--overwrite"))
            let late = try await run("--table", "events", "--to", "2099-01-01T00:00:00Z", "--json")
            #expect(try late.json()["error"]?["code"]?.text == "moment-unreachable")

            // A dump is taken without a moment, and with one that only a dump is near to.
            let dumped = try await run("--table", "events", "--database", "shop", "--dry-run")
            #expect(dumped.status == 0 && dumped.standardOutput.contains("Plan: restore backup "))
            let compared = try await run("--table", "events", "--database", "shop", "--compare-timeout", "1s")
            #expect(compared.status == 64 && compared.standardError.contains("--compare-timeout"))
            let early = ["--table", "events", "--database", "shop", "--to", shop.early, "--to", url, "--dry-run"]
            let refused = try await place.tool.run(["restore"] + early)
            #expect(refused.status == 1 && refused.standardError.contains("ended after it"), "\(refused.standardError)")
            let near = try await place.tool.run(["restore"] + early + ["--nearest"])
            #expect(near.status == 0 && near.standardOutput.contains("a dump is taken, as no physical backup leads to"))
        }
    }

    @Test func `leave nothing when the restore is stopped, or fails in the middle`() async throws {
        try await withShop { shop in
            let cluster = shop.place.cluster
            let command = [
                "restore", "--table", "customers", "--database", "shop", "--to", shop.moment, "--to",
                cluster.url("other"), "--json",
            ]
            // Whoever makes a schema of the same name waits for this.
            let blocking = try await cluster.session(cluster.settings.with(database: "other"))
            try await blocking.execute("BEGIN; CREATE SCHEMA \(shop.schema)")
            let stopped = try await shop.place.tool.start(command)
            #expect(try await eventually { try await cluster.isWaiting(in: "other") })
            let children = stopped.descendants()
            #expect(children.contains { $0.commandLine.first?.hasSuffix("/postgres") == true })
            // The dump is not where the user of the recovered server could have put a link in its place.
            let scratch = try #require(shop.place.tool.environment["TMPDIR"])
            let names = try FileManager.default.contentsOfDirectory(atPath: scratch).sorted()
            #expect(
                names.map { $0.split(separator: "-").prefix(2).joined(separator: " ") } == [
                    "apex backup", "apex drill",
                ])
            let own = try FileManager.default.contentsOfDirectory(atPath: "\(scratch)/\(try #require(names.last))")
            #expect(!own.contains { $0.contains("dump") }, "\(own)")
            stopped.send(SIGTERM)
            let interrupted = try await stopped.output()
            #expect(interrupted.status == 1)
            let told = try interrupted.json()["error"]
            #expect(told?["code"]?.text == "interrupted", "\(interrupted.standardOutput)")
            #expect(told?["unchanged"]?.text == "Nothing was changed in 'other'.")
            #expect(await eventually { children.allSatisfy { !$0.isAlive } })
            try await shop.expectNothingLeft()

            await blocking.close()

            // What is refused after the first statements takes these with it.
            try await cluster.execute(
                """
                CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''refused''; END';
                CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION refuse()
                """, database: "other")
            let failed = try await shop.place.tool.run(command)
            let error = try failed.json()["error"]
            #expect(failed.status == 1 && error?["code"]?.text == "restore-failed", "\(failed.standardOutput)")
            #expect(error?["reason"]?.text?.contains("refused") == true)
            #expect(error?["unchanged"]?.text == "Nothing was changed in 'other'.")
            let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'restored%'"
            #expect(try await shop.answer(schemas, in: "other") == "0")
            try await shop.expectNothingLeft()

            // A commit that waits for a standby is one, although nobody sees it yet.
            try await cluster.execute("DROP EVENT TRIGGER refuse", database: "other")
            try await cluster.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            try await cluster.execute("SELECT pg_reload_conf()")
            let recovered = try await errorOfCommit(shop, command)
            #expect(
                recovered?["unchanged"]?.text
                    == "The schema '\(shop.schema)' is in 'other', with all tables; nothing else was changed.")
            #expect(try await shop.answer("SELECT count(*) FROM \(shop.schema).customers", in: "other") == "5")
            let dumped = ["restore", "--table", "visits", "--database", "shop", "--to", cluster.url("other"), "--json"]
            let added = try await errorOfCommit(shop, dumped)
            #expect(added?["unchanged"]?.text?.contains("all of them were added, and nothing else") == true)
            #expect(try await shop.answer("SELECT count(*) FROM visits", in: "other") == "0")
            try await shop.expectNothingLeft()
            #expect(try await shop.restores() == ["interrupted", "failed", "failed", "failed"])
        }
    }

    /// The error of a restore into `other` whose pg_restore is killed while its commit waits for a standby.
    private func errorOfCommit(_ shop: Shop, _ command: [String]) async throws -> JSONValue? {
        let restore = try await shop.place.tool.start(command)
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'other' AND wait_event = 'SyncRep'"
        #expect(try await eventually { try await shop.answer(waiting) == "1" })
        for child in restore.descendants() where child.commandLine.first?.hasSuffix("/pg_restore") == true {
            kill(child.processIdentifier, SIGKILL)
        }
        let output = try await restore.output()
        #expect(output.status == 1, "\(output.standardOutput)")
        return try output.json()["error"]
    }
}
