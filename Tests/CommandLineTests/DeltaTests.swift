import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// `restore --delta`: over the data directory of the same cluster, which is named again to confirm it.
@Suite(.serialized, .needsPhysicalBackups) struct `Restoring over the same cluster` {
    @Test func `asks for the directory's name, is finished after SIGKILL, and no server starts in between`()
        async throws
    {
        try await ArchivingCluster.with { place in
            let cluster = place.cluster
            let directory = "\(cluster.directory)/restored"
            func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(directory)/\(name)") }
            try await cluster.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 300000) AS n")
            try await place.succeed("backup", "--kind", "physical")
            let command = ["restore", "--delta", "--to", "immediate", "--to", directory]
            // There is nothing to confirm yet.
            let plain = try await place.tool.run(command + ["--json"])
            #expect(plain.status == 0, "\(plain.standardError)")
            #expect(try plain.json()["keptBytes"] == .number(0))

            let unasked = try await place.tool.run(command)
            #expect(unasked.status == 64 && unasked.standardError.contains("--confirm '\(directory)'"))
            let wrong = try await place.tool.run(command + ["--confirm", "/srv/other"])
            #expect(wrong.status == 64)
            #expect(exists("global/pg_control") && exists("recovery.signal"))
            let dry = try await place.tool.run(command + ["--dry-run"])
            #expect(dry.status == 0 && dry.standardOutput.contains("IN PLACE"), "\(dry.standardOutput)")

            var isKilled = false
            for _ in 0..<20 where !isKilled {
                // Nearly everything has to be written again.
                for database in try FileManager.default.contentsOfDirectory(atPath: "\(directory)/base") {
                    try? FileManager.default.removeItem(atPath: "\(directory)/base/\(database)")
                }
                let running = try await place.tool.start(command + ["--confirm", directory])
                _ = await eventually { !exists("global/pg_control") || running.hasEnded }
                running.send(SIGKILL)
                isKilled = try await running.output().signal == SIGKILL && !exists("global/pg_control")
            }
            try #require(isKilled)
            let refused = try await cluster.ending(on: directory, [:])
            #expect(refused.status != 0 && refused.standardError.contains("pg_control"), "\(refused.standardError)")

            let again = try await place.tool.run(command + ["--confirm", directory])
            #expect(again.status == 0 && again.standardOutput.contains("kept"), "\(again.standardError)")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: "\(directory)/global").allSatisfy {
                    !$0.contains("apex")
                })
            try await cluster.withServer(on: directory, ["fsync": "off"]) { server in
                let rows = try await cluster.answer("SELECT count(*) FROM t", at: server)
                #expect(rows == "300000")
                // The server that runs now is not restored over.
                let output = try await place.tool.run(command + ["--confirm", directory])
                #expect(output.status == 1 && output.standardError.contains("Nothing in it was touched"))
            }
            let dumps = try await place.tool.run("restore", "--delta", "--to", cluster.url("x"))
            #expect(dumps.status == 64 && dumps.standardError.contains("--delta"))
        }
    }
}
