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
        let stopped = try await control.run("-D", directory, "-m", "fast", "-w", "stop")
        #expect(stopped.status == 0, "\(stopped.standardError)")
        let process = Int32(try #require(started["server"]?["pid"]?.number))
        #expect(await eventually { kill(process, 0) != 0 })
        try FileManager.default.removeItem(atPath: directory)
    }

    @Test func `leaves it running and proved, at its end, at a target, or shut down there`() async throws {
        try await ArchivingCluster.with { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
            try await place.succeed("backup", "--kind", "physical")
            try await cluster.execute("INSERT INTO t VALUES (2)")
            try await place.succeed("mark", "here")
            try await cluster.execute("INSERT INTO t VALUES (3)")
            let last = try #require(try await cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
            try await cluster.execute("SELECT pg_switch_wal()")
            try await place.waitUntilArchived(last)

            let latest = try await start(place)
            #expect(latest["recovery"]?["state"]?.text == "promoted" && latest["recovery"]?["timeline"] == .number(2))
            #expect((latest["recovery"]?["promoteSeconds"]?.number ?? -1) >= 0)
            #expect(latest["recovery"]?["lastTransactionAt"]?.text != nil && latest["backup"]?.text != nil)
            #expect(
                latest["recovery"]?["isolation"]?.elements.contains {
                    $0.text == "archive_mode = 'off': it archives into nobody's archive"
                } == true)
            #expect(try await rows(place, latest) == "1 2 3 false")
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

            let down = try await start(place, "--to", "name:here", "--target-action", "shutdown")
            #expect(down["recovery"]?["state"]?.text == "shut-down" && down["server"] == nil)
            let directory = "\(cluster.directory)/restored"
            #expect(ProcessSnapshot.all(naming: directory).isEmpty)
            try FileManager.default.removeItem(atPath: directory)

            let primary = try await place.tool.run("restore", "--to", directory, "--start", "--as-primary")
            #expect(primary.status == 64 && primary.standardError.contains("does not go together with --as-primary"))
            let dumps = try await place.tool.run("restore", "--to", cluster.url("x"), "--start")
            #expect(dumps.status == 64 && dumps.standardError.contains("--start"))
            let plan = try await place.succeed("restore", "--to", directory, "--start", "--dry-run").standardOutput
            #expect(plan.contains("its server is started, on a socket only"))
            #expect(!FileManager.default.fileExists(atPath: directory))

            // Of a segment that is damaged nothing is replayed, and the server does not stay.
            var bytes = try Data(contentsOf: URL(filePath: try place.path(of: last)))
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(filePath: try place.path(of: last)))
            let damaged = try await place.tool.run("restore", "--to", directory, "--start")
            #expect(damaged.status == 1 && damaged.standardError.contains(last), "\(damaged.standardError)")
            #expect(ProcessSnapshot.all(naming: directory).isEmpty)
        }
    }
}
