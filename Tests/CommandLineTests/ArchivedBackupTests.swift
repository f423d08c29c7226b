import FoundationEssentials
import TestSupport
import Testing

/// Physical backups whose WAL comes from the archive.
@Suite(.needsPhysicalBackups) struct `A physical backup whose WAL is archived` {
    @Test func `is none while the archiver fails, which it tells, and else needs one connection`() async throws {
        // Two would be needed for one whose WAL is streamed.
        try await ArchivingCluster.with(archives: false, configuration: ["max_wal_senders": "1"]) { place in
            let policy = String(decoding: try Data(contentsOf: URL(filePath: place.policy)), as: UTF8.self)
            func backUp(_ settings: String) async throws -> CommandLineTool.Output {
                let path = "\(place.cluster.directory)/archived.yaml"
                try Data("\(policy)\nbackup: {physical: {wal: archive\(settings)}}\n".utf8).write(
                    to: URL(filePath: path))
                return try await place.tool.run("backup", "--kind", "physical", "--policy", path)
            }
            try await place.cluster.execute("ALTER SYSTEM SET archive_command = 'false'")
            try await place.cluster.execute("SELECT pg_reload_conf()")
            _ = try await place.writeSegment()
            let isFailing = try await eventually {
                try await place.cluster.answer("SELECT last_failed_wal IS NOT NULL FROM pg_stat_archiver") == "t"
            }
            #expect(isFailing)
            let failed = try await backUp(", wal_timeout: 1s")
            #expect(failed.status == 1 && failed.standardError.contains("(wal-missing)"), "\(failed.standardError)")
            #expect(failed.standardError.contains("did not come into the archive within 1.0 s"))
            #expect(failed.standardError.contains("archive_command failed for 0000"), "\(failed.standardError)")
            #expect(failed.standardError.contains("No backup was committed"), "\(failed.standardError)")
            #expect(try await place.succeed("list", "--json").json().elements.isEmpty)
            let left = try FileManager.default.subpathsOfDirectory(atPath: place.repository)
            #expect(!left.contains { $0.contains("/packs/") || $0.contains("/wal/") }, "\(left)")

            try await place.startArchiving()
            let isSenderFree = try await eventually {
                try await place.cluster.answer("SELECT count(*) FROM pg_stat_replication") == "0"
            }
            #expect(isSenderFree)
            let done = try await backUp("")
            #expect(done.status == 0, "\(done.standardError)")
            try await place.succeed("verify", "--level", "deep")
            #expect(try await place.recovered("--to", "immediate")?.hasPrefix("1 2 3 ") == true)
        }
    }
}
