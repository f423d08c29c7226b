import FoundationEssentials
import TestSupport
import Testing

/// Physical backups from the command line.
@Suite(.needsPhysicalBackups) struct `A physical backup` {
    @Test func `is taken, shown, verified and restored by one command each`() async throws {
        try await PostgresCluster.with { cluster in
            let place = try Workplace(cluster, database: "postgres")
            try await place.succeed("init")
            let early = try await place.tool.run("restore", "--to", "\(cluster.directory)/restored")
            #expect(early.status == 1 && early.standardError.contains("There is no physical backup"))

            let taken = try await place.succeed("backup", "--kind", "physical", "--jobs", "2", "--json").json()
            #expect(taken["kind"]?.text == "physical" && taken["state"]?.text == "committed")
            #expect(try await place.succeed("list").standardOutput.contains(" physical "))
            #expect(try await place.succeed("show").standardOutput.contains("needed from"))
            try await place.succeed("verify", "--level", "deep")
            let restored = "\(cluster.directory)/restored"
            let plan = try await place.succeed("restore", "--to", restored, "--dry-run")
            #expect(plan.standardOutput.contains("Plan: restore backup \(taken["id"]?.text ?? "") into \(restored)"))
            #expect(!FileManager.default.fileExists(atPath: restored))
            let done = try await place.succeed("restore", "--to", "immediate", "--to", restored)
            #expect(done.standardOutput.contains("pg_ctl -D '\(restored)' start"))
            let again = try await place.tool.run("restore", "--to", restored)
            #expect(again.status == 1 && again.standardError.contains("is not empty"))
            #expect(try await place.runs("restore") == ["succeeded", "failed"])
        }
    }
}
