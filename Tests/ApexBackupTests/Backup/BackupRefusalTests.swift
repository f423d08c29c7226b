import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

extension `Logical backup` {
    @Suite(.timeLimit(.minutes(30))) struct `A backup is refused` {
        /// Runs `body` with a role that may log in and nothing else.
        private func withRole(
            _ server: PostgresCluster, _ body: (String, ConnectionSettings) async throws -> Void
        ) async throws {
            let role = "role_\(String(UInt64.random(in: .min ... .max), radix: 36))"
            try await server.execute("CREATE ROLE \(role) LOGIN PASSWORD 'not shown to ordinary roles'")
            let settings = try ConnectionSettings(
                parsing: "host=\(server.server.directory) user=\(role) dbname=postgres")
            let result: Result<Void, any Error>
            do { result = .success(try await body(role, settings)) } catch { result = .failure(error) }
            try await server.execute("DROP OWNED BY \(role); DROP ROLE \(role)")
            try result.get()
        }

        /// Runs `body` with such a role and a database.
        private func withRoleAndDatabase(
            _ body: (PostgresCluster, String, ConnectionSettings, ConnectionSettings) async throws -> Void
        ) async throws {
            let server = try await PostgresCluster.shared()
            try await withRole(server) { role, connection in
                try await server.withDatabase { database in try await body(server, role, connection, database) }
            }
        }

        @Test func `when the role may not read a table, and leaves nothing but a run record`() async throws {
            try await withRoleAndDatabase { server, _, connection, database in
                try await server.execute("CREATE TABLE secret AS SELECT 1 AS n", in: database)
                let scratch = try await ScratchRepository(for: server)
                let error = await #expect(throws: BackupError.self) {
                    try await scratch.backup(try #require(database.database), as: connection)
                }
                #expect(error?.reason?.contains("permission denied") == true, "\(String(describing: error))")
                #expect(error?.unchanged == "No backup was committed; earlier backups were not touched.")
                #expect(try scratch.entries().isEmpty)
                #expect(try scratch.runs().map(\.state) == [.failed])
            }
        }

        @Test func `before anything is dumped, when row security or large objects would stop the dump half-way`()
            async throws
        {
            try await withRoleAndDatabase { server, role, connection, database in
                let name = try #require(database.database)
                try await server.execute(
                    """
                    CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO \(role);
                    ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (n > 1);
                    SELECT lo_from_bytea(77, 'x')
                    """, in: database)
                let scratch = try await ScratchRepository(for: server)
                let error = try await requireFailure { try await scratch.backup(name, as: connection) }
                #expect(error.code == .permissionDenied && error.unchanged == "No backup was taken.")
                #expect(
                    error.reason
                        == "'\(name)' has row security on public.t; '\(name)' has large objects that the role may not read"
                )
                #expect(error.remedy.hasPrefix("ALTER ROLE \(role) BYPASSRLS; GRANT SELECT ON LARGE OBJECT"))
                #expect(try scratch.entries().isEmpty)

                try await server.execute(
                    "ALTER ROLE \(role) BYPASSRLS; GRANT SELECT ON LARGE OBJECT 77 TO \(role)", in: database)
                let manifest = try await scratch.backup(name, as: connection)
                #expect(manifest.totals.rows == 1 && manifest.databases?.first?.largeObjects == 1)
                #expect(manifest.warnings.isEmpty)

                try await server.execute(
                    """
                    ALTER ROLE \(role) NOBYPASSRLS;
                    DO $do$ BEGIN FOR n IN 1..6 LOOP
                        EXECUTE format('CREATE TABLE t%s (); ALTER TABLE t%s ENABLE ROW LEVEL SECURITY', n, n);
                    END LOOP; END $do$
                    """, in: database)
                let many = try await requireFailure { try await scratch.backup(name, as: connection) }
                #expect(many.reason?.hasSuffix(", and 2 others") == true, "\(many)")
            }
        }

        @Test func `not when it cannot be looked at beforehand what will be missing: the backup says so`() async throws
        {
            try await withRoleAndDatabase { server, role, connection, database in
                let name = try #require(database.database)
                try await server.execute(
                    """
                    CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO \(role);
                    REVOKE EXECUTE ON FUNCTION pg_catalog.row_security_active(oid) FROM PUBLIC
                    """, in: database)
                let scratch = try await ScratchRepository(for: server)
                let manifest = try await scratch.backup(name, as: connection)
                let warning = try #require(manifest.warnings.first)
                #expect(warning.hasPrefix("not known what is missing: '\(name)' could not be looked into: "))
                #expect(warning.contains("permission denied for function row_security_active"))
            }
        }

        @Test func `not when only user mappings cannot be read: the backup says what may be missing`() async throws {
            try await withRoleAndDatabase { server, role, connection, database in
                let name = try #require(database.database)
                try await server.execute(
                    """
                    CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
                    CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (password 'hidden')
                    """, in: database)
                let scratch = try await ScratchRepository(for: server)
                let warnings = [
                    try await scratch.backup(name, as: connection).warnings, try await scratch.backup(name).warnings,
                ]
                #expect(warnings.map(\.count) == [1, 0], "\(warnings)")
                #expect(warnings[0].first?.hasPrefix("options of user mappings may be missing") == true, "\(warnings)")
            }
        }

        @Test func `not when only subscriptions cannot be read: the backup says that they are missing`() async throws {
            try await withRoleAndDatabase { server, role, connection, database in
                let name = try #require(database.database)
                try await server.execute(
                    "CREATE SUBSCRIPTION s_\(role) CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
                    in: database)
                let scratch = try await ScratchRepository(for: server)
                let result: Result<[BackupManifest], any Error>
                do {
                    result = .success([
                        try await scratch.backup(name, as: connection), try await scratch.backup(name),
                    ])
                } catch { result = .failure(error) }
                try await server.execute(
                    "ALTER SUBSCRIPTION s_\(role) SET (slot_name = NONE)", in: database)
                try await server.execute("DROP SUBSCRIPTION s_\(role)", in: database)
                let warnings = try result.get().map(\.warnings)
                #expect(
                    warnings.map(\.first) == [
                        "subscriptions missing: only a superuser can dump those of '\(name)'", nil,
                    ])
            }
        }

        @Test func `not when only role passwords cannot be read: it is marked, and restored roles have none`()
            async throws
        {
            let server = try await PostgresCluster.shared()
            // The role outlives the database with the grant: a role that has one cannot be dropped.
            try await withRole(server) { role, connection in
                try await server.withDatabase { database in
                    try await server.execute(
                        "CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO \(role)", in: database)
                    let scratch = try await ScratchRepository(for: server)
                    let manifest = try await scratch.backup(try #require(database.database), as: connection) {
                        $0.globals = true
                    }
                    #expect(manifest.passwordsMissing)
                    #expect(manifest.warnings.contains { $0.hasPrefix("passwords missing") })
                    let listing = BackupListing(try #require(try scratch.entries().first))
                    #expect(listing.passwordsMissing == true)
                    #expect(listing.warnings.contains { $0.contains("passwords missing") })
                    let globals = String(decoding: try scratch.content("globals.sql.gz", of: manifest), as: UTF8.self)
                    #expect(globals.contains("CREATE ROLE \(role)") && !globals.contains("SCRAM-SHA-256"))
                    try await server.withUnusedName { place in
                        let (_, prepared) = try await scratch.planRestore(to: place)
                        await prepared.close()
                        #expect(prepared.plan.warnings.contains { $0.hasPrefix("passwords missing") })
                    }
                }
            }
        }

        @Test func `when pg_dump is older than the server, naming both versions and the directory`() async throws {
            let server = try await PostgresCluster.shared()
            let scratch = try await ScratchRepository(for: server)
            let tools = try TemporaryDirectory()
            try await runScript(
                """
                for tool in pg_dump pg_restore pg_dumpall psql; do
                    printf '#!/bin/sh\\necho "%s (PostgreSQL) 13.4"\\n' $tool > "$1/$tool"; chmod +x "$1/$tool"
                done
                """, tools.path)
            let error = await #expect(throws: BackupError.self) {
                try await scratch.backup("postgres", bin: tools.path)
            }
            #expect(error?.code == .toolTooOld)
            #expect(error?.message.contains("13.4") == true && error?.message.contains(tools.path) == true)
            let version = try #require(try await server.firstValue("SHOW server_version")).prefix { $0 != " " }
            #expect(error?.message.contains(" \(version).") == true && error?.reason?.contains(tools.path) == true)
            #expect(try scratch.runs().map(\.state) == [.refused])
            #expect(try scratch.entries().isEmpty)
        }

        @Test func `of a server that is not the registered one, and under a name that is not registered`() async throws
        {
            let server = try await PostgresCluster.shared()
            let scratch = try await ScratchRepository(for: server)
            for name in try scratch.repository.storage.children(of: scratch.repository.layout.incarnations) {
                try scratch.repository.storage.remove(scratch.repository.layout.incarnations.appending(name))
            }
            try scratch.repository.recordIncarnation(
                ClusterIncarnation(
                    systemIdentifier: "7000000000000000001", major: 15, firstSeen: Timestamp(microseconds: 1)))
            let stranger = await #expect(throws: BackupError.self) { try await scratch.backup("postgres") }
            #expect(stranger?.code == .wrongCluster)
            #expect(stranger?.remedy.contains("--new-cluster-incarnation") == true)
            #expect(try scratch.runs().map(\.state) == [.refused])

            let layout = try #require(RepositoryLayout(cluster: "other"))
            let other = try Repository.open(
                scratch.repository.storage, layout: layout, environment: scratch.repository.environment)
            let unknown = await #expect(throws: BackupError.self) { try await scratch.backup("postgres", in: other) }
            #expect(unknown?.code == .clusterNotRegistered && unknown?.reason == "registered are: apex")
            #expect(try scratch.entries().isEmpty)
        }

        @Test func `while another runs, which goes on`() async throws {
            let server = try await PostgresCluster.shared()
            try await server.withDatabase { database in
                let name = try #require(database.database)
                try await server.execute("CREATE TABLE t AS SELECT 1 AS n", in: database)
                let scratch = try await ScratchRepository(for: server, leaseExpiry: .seconds(40))
                let lock = try await server.session(database)
                try await lock.execute("BEGIN; LOCK TABLE t")
                let first = Task { try await scratch.backup(name) }
                let isWaiting = try await eventually { try await server.isWaiting(in: name) }
                #expect(isWaiting)
                let error = await #expect(throws: BackupError.self) { try await scratch.backup(name) }
                #expect(error?.code == .leaseHeld)
                let holder = try #require(try scratch.runs().first)
                #expect(error?.reason?.contains(holder.id.text) == true, "\(String(describing: error))")
                try await lock.execute("COMMIT")
                await lock.close()
                #expect(try await first.value.id == holder.id)
                #expect(try scratch.runs().map(\.state) == [.succeeded, .refused])
                _ = try await scratch.backup(name)
                #expect(try scratch.entries().count == 2)
            }
        }
    }
}
