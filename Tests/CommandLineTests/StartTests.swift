import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

/// `restore --to DIRECTORY --start`, with a server that archives.
@Suite(.serialized, .needsPhysicalBackups) struct `A restore that starts what it restored` {
    private func start(_ place: ArchivingCluster, _ arguments: String...) async throws -> JSONValue {
        let output = try await place.tool.run(
            ["restore"] + arguments + ["--to", "\(place.cluster.directory)/restored", "--start", "--json"])
        try #require(output.status == 0, "\(arguments): \(output.standardError)")
        return try output.json()
    }

    /// What the table `t` has on the server that goes on.
    private func rows(_ place: ArchivingCluster, _ started: JSONValue) async throws -> String? {
        let url = try #require(started["server"]?["url"]?.text)
        return try await place.cluster.answer(
            "SELECT string_agg(n::text, ' ' ORDER BY n) || ' ' || pg_is_in_recovery() FROM t",
            at: try ConnectionSettings(parsing: url))
    }

    /// Ends the server as an operator does, and removes the directory.
    private func end(_ place: ArchivingCluster, _ started: JSONValue) async throws {
        let directory = "\(place.cluster.directory)/restored"
        var control = CommandLineTool(executable: "\(place.cluster.programs)/pg_ctl")
        control.userName = "postgres"
        let stopped = try await control.run("-D", directory, "-m", "fast", "-w", "-t", "300", "stop")
        #expect(stopped.status == 0, "\(stopped.standardError)")
        let process = Int32(try #require(started["server"]?["pid"]?.number))
        #expect(await eventually { kill(process, 0) != 0 })
        try FileManager.default.removeItem(atPath: directory)
    }

    /// A database with a collation of ICU whose version in the catalogue is none that ICU ever had.
    private func makeStaleDatabase(_ cluster: PostgresCluster) async throws {
        try await cluster.execute("CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'")
        try await cluster.execute(
            """
            CREATE TABLE w (a text PRIMARY KEY, b text COLLATE "de-x-icu", c text COLLATE "C", r int, j jsonb);
            CREATE INDEX w_b ON w (b); CREATE INDEX w_c ON w (c); CREATE INDEX w_r ON w (r); CREATE INDEX w_j ON w (j);
            CREATE INDEX w_pattern ON w (a text_pattern_ops); CREATE INDEX w_hash ON w USING hash (a);
            UPDATE pg_collation SET collversion = '1' WHERE collname = 'de-x-icu';
            CREATE SCHEMA own;
            CREATE FUNCTION own.same(oid, oid) RETURNS boolean LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'run by %', current_user; END $$;
            CREATE OPERATOR own.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = own.same)
            """, database: "sorted")
        // Its owner could have a superuser run what it likes, who does not keep the path off.
        try await cluster.execute("ALTER DATABASE sorted SET search_path = own, pg_catalog, public")
        try await cluster.execute("UPDATE pg_database SET datcollversion = '1' WHERE datname = 'sorted'")
    }

    /// What mends ``makeStaleDatabase(_:)``, and nothing else.
    private static let mending = [
        "REINDEX INDEX public.w_b;", "REINDEX INDEX public.w_j;", "REINDEX INDEX public.w_pkey;",
        "ALTER DATABASE \"sorted\" REFRESH COLLATION VERSION;",
        "ALTER COLLATION pg_catalog.\"de-x-icu\" REFRESH VERSION;",
    ]

    /// What psql prints of the query that a restore leaves in the directory, for the database `sorted`.
    private func collationScript(_ place: ArchivingCluster, _ server: ConnectionSettings) async throws -> [String] {
        let psql = CommandLineTool(executable: "\(place.cluster.programs)/psql")
        let output = try await psql.run(
            "-X", "-At", "-h", server.host ?? "", "-p", server.port ?? "5432", "-U", server.user ?? "", "-d", "sorted",
            "-f", "\(place.cluster.directory)/restored/apex-backup-collations.sql")
        #expect(output.status == 0, "\(output.standardError)")
        return output.standardOutput.split(separator: "\n").map(String.init)
    }

    @Test func `leaves it running and proved, at its end, at a target, or shut down there`() async throws {
        try await ArchivingCluster.with { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
            let knowsICU = try await cluster.knowsICU
            if knowsICU { try await makeStaleDatabase(cluster) }
            // As a server of another build or host may have them; this one reads its file no more.
            let settings = "\(place.data)/postgresql.conf"
            let text = try String(contentsOf: URL(filePath: settings), encoding: .utf8)
            let strange = "bonjour = on\nwal_sync_method = fsync_writethrough\nunix_socket_group = 'no-such-group'\n"
            try Data("\(text)\n\(strange)".utf8).write(to: URL(filePath: settings))
            try await place.succeed("backup", "--kind", "physical")
            let shown = try await place.succeed("show", "latest", "--json").json()
            let versions = shown["manifest"]?["physical"]?["collations"]?["versions"]?.elements ?? []
            #expect(
                versions.contains { $0["provider"]?.text == "icu" && $0["recorded"]?.text == "1" } == knowsICU,
                "\(shown)")
            try await cluster.execute("INSERT INTO t VALUES (2)")
            try await place.succeed("mark", "here")
            try await cluster.execute("INSERT INTO t VALUES (3)")
            let last = try await place.archiveAll()

            let latest = try await start(place)
            #expect(latest["recovery"]?["state"]?.text == "promoted" && latest["recovery"]?["timeline"] == .number(2))
            #expect((latest["recovery"]?["promoteSeconds"]?.number ?? -1) >= 0)
            #expect(latest["recovery"]?["lastTransactionAt"]?.text != nil && latest["backup"]?.text != nil)
            #expect(
                latest["recovery"]?["isolation"]?.elements.contains {
                    $0.text == "archive_mode = 'off': it archives into nobody's archive"
                } == true)
            #expect(try await rows(place, latest) == "1 2 3 false")
            let collations = latest["recovery"]?["collations"]
            let sorted = collations?["databases"]?.elements.compactMap { $0["name"]?.text } ?? []
            #expect(sorted == (knowsICU ? ["sorted"] : []), "\(latest)")
            let statements = collations?["databases"]?.elements.first?["statements"]?.elements.compactMap(\.text) ?? []
            #expect(statements == (knowsICU ? Self.mending : []))
            // They are what the server itself takes, and then it has nothing to warn of.
            let restored = try ConnectionSettings(parsing: try #require(latest["server"]?["url"]?.text))
            // A server that somebody else started tells the same.
            let told = ["ALTER COLLATION pg_catalog.\"de-x-icu\"", "ALTER DATABASE sorted"]
            let all =
                Self.mending.filter { $0.hasPrefix("REINDEX") }
                + ["\(told[0]) REFRESH VERSION;", "\(told[1]) REFRESH COLLATION VERSION;"]
            if knowsICU { #expect(try await collationScript(place, restored) == all) }
            for statement in statements { try await cluster.execute(statement, in: restored.with(database: "sorted")) }
            if knowsICU { #expect(try await collationScript(place, restored).isEmpty) }
            let stale = """
                SELECT count(*) FROM pg_database WHERE datcollversion <> pg_database_collation_actual_version(oid)
                """
            #expect(try await cluster.answer(stale, at: restored) == "0")
            try await end(place, latest)
            #expect(try await place.succeed("list", "--json").json().elements.first?["state"]?.text == "restored")

            let paused = try await start(place, "--to", "name:here", "--target-action", "pause")
            #expect(paused["recovery"]?["state"]?.text == "paused" && paused["recovery"]?["timeline"] == .number(1))
            #expect(try await rows(place, paused) == "1 2 true")
            try await end(place, paused)

            let promoted = try await start(place, "--to", "name:here", "--stage-wal")
            #expect(promoted["recovery"]?["state"]?.text == "promoted")
            #expect(try await rows(place, promoted) == "1 2 false")
            try await end(place, promoted)

            let directory = "\(cluster.directory)/restored"
            let down = try await place.succeed(
                "restore", "--to", "name:here", "--target-action", "shutdown", "--to", directory, "--start"
            ).standardOutput
            #expect(down.contains("was shut down at its target") && !down.contains("Connect as"), "\(down)")
            for statement in statements { #expect(down.contains("  in sorted: \(statement)\n")) }
            #expect(ProcessSnapshot.all(naming: directory).isEmpty)
            try FileManager.default.removeItem(atPath: directory)

            let primary = try await place.tool.run("restore", "--to", directory, "--start", "--as-primary")
            #expect(primary.status == 64 && primary.standardError.contains("does not go together with --as-primary"))
            let dumps = try await place.tool.run("restore", "--to", cluster.url("x"), "--start")
            #expect(dumps.status == 64 && dumps.standardError.contains("--start"))
            let plan = try await place.succeed("restore", "--to", directory, "--start", "--dry-run").standardOutput
            #expect(plan.contains("its server is started, on a socket only"))
            #expect(plan.contains("  collations      icu ") == knowsICU)
            #expect(plan.contains("compared with the server's once"))
            let unstarted = try await place.succeed("restore", "--to", directory, "--dry-run").standardOutput
            #expect(unstarted.contains("psql -X -At -d DATABASE -f '\(directory)/apex-backup-collations.sql', in each"))
            #expect(!FileManager.default.fileExists(atPath: directory))

            // Of a segment that is damaged nothing is replayed, and the server does not stay.
            var bytes = try Data(contentsOf: URL(filePath: try place.path(of: last)))
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(filePath: try place.path(of: last)))
            let damaged = try await place.tool.run("restore", "--to", directory, "--start")
            #expect(damaged.status == 1 && damaged.standardError.contains(last), "\(damaged.standardError)")
            // The files were restored, and the command failed all the same.
            let runs = try await place.succeed("list", "--runs", "--json").json().elements.filter {
                $0["start"]?["operation"]?.text == "restore"
            }
            #expect(runs.map { $0["state"]?.text } == Array(repeating: "succeeded", count: 4) + ["failed"])
            #expect(runs.last?["end"]?["error"]?["message"]?.text?.contains(last) == true, "\(runs)")
            #expect(ProcessSnapshot.all(naming: directory).isEmpty)
        }
    }
}
