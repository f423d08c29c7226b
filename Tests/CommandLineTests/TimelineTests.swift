import FoundationEssentials
import PostgresAccess
import TestSupport
import Testing

/// A failover in the middle of a segment, after which two servers have archived into one repository.
@Suite(.serialized, .needsPhysicalBackups) struct `A promotion in the middle of a segment` {
    @Test func `can be recovered across, to both sides of it and on both timelines`() async throws {
        try await ArchivingCluster.with { place in
            let cluster = place.cluster
            try await cluster.execute("CREATE TABLE t (n int)")
            let first = try #require(
                try await place.succeed("backup", "--kind", "physical", "--json").json()["id"]?.text)
            try await cluster.execute("INSERT INTO t VALUES (1)")
            let archiving = ["archive_mode": "on", "fsync": "off"]
            try await cluster.withStandby(archiving) { standby in
                func value(_ sql: String, _ server: ConnectionSettings? = nil) async throws -> String {
                    try #require(try await cluster.answer(sql, at: server))
                }
                let before = try await place.now()
                let beforeSwitch = try await value("SELECT pg_current_wal_insert_lsn()")
                try await cluster.execute("INSERT INTO t VALUES (2)")
                let written = try await value("SELECT pg_current_wal_flush_lsn()")
                let hasReplayed = try await eventually {
                    try await value("SELECT pg_last_wal_replay_lsn() >= '\(written)'", standby) == "t"
                }
                try #require(hasReplayed)
                let segment = try await value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
                try await cluster.execute("SELECT pg_promote(true, 300)", in: standby)
                try await cluster.execute("INSERT INTO t VALUES (30)", in: standby)
                let afterOnTwo = try await value("SELECT pg_current_wal_insert_lsn()", standby)
                try await cluster.execute("INSERT INTO t VALUES (31)", in: standby)
                // The old primary has not noticed, and its WAL goes into the repository too.
                try await cluster.execute("INSERT INTO t VALUES (40)")
                let afterOnOne = try await value("SELECT pg_current_wal_insert_lsn()")
                try await cluster.execute("INSERT INTO t VALUES (41)")
                let last = try await value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
                #expect(last == segment, "the promotion was in the middle of a segment")
                try await cluster.execute("SELECT pg_switch_wal()")
                try await place.waitUntilArchived(segment)
                let onTwo = "00000002\(segment.dropFirst(8))"
                try await cluster.execute("SELECT pg_switch_wal()", in: standby)
                let isThere = try await eventually {
                    let stored = try place.stored()
                    return stored.contains { $0.hasSuffix("/\(onTwo).zst") }
                        && stored.contains { $0.hasSuffix("/00000002.history.zst") }
                }
                try #require(isThere)

                // No backup was taken on the new timeline: it is named, and followed when that is asked for.
                let plan = try await place.succeed(
                    "restore", "--to", "latest", "--to", "\(cluster.directory)/restored", "--dry-run")
                #expect(plan.standardOutput.contains("--timeline 2"), "\(plan.standardOutput)")
                #expect(try await place.recovered("--to", "latest") == "1 2 40 41")
                #expect(try await place.recovered("--to", "latest", "--timeline", "2") == "1 2 30 31")
                for timeline in ["1", "2"] {
                    #expect(try await place.recovered("--to", before, "--timeline", timeline) == "1")
                }
                #expect(try await place.recovered("--to", beforeSwitch, "--exclusive", "--timeline", "2") == "1")
                #expect(try await place.recovered("--to", afterOnTwo, "--exclusive", "--timeline", "2") == "1 2 30")
                #expect(try await place.recovered("--to", afterOnOne, "--exclusive", "--timeline", "1") == "1 2 40")

                // With a backup on the new timeline that is production's, and the old one is the one to be named.
                let url = cluster.url("postgres", port: 5433)
                let taken = try await place.tool.run("backup", "--kind", "physical", url)
                #expect(taken.status == 0, "\(taken.standardError)")
                #expect(try await place.recovered("--to", "latest") == "1 2 30 31")
                #expect(try await place.recovered(first, "--to", "latest", "--timeline", "1") == "1 2 40 41")
            }
        }
    }
}
