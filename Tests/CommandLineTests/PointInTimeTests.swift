import FoundationEssentials
import TestSupport
import Testing

/// `restore --to MOMENT --to DIRECTORY` with a server that archives.
@Suite(.serialized, .needsPhysicalBackups) struct `Point-in-time recovery` {
    private func insert(_ number: Int, _ place: ArchivingCluster) async throws -> String {
        try #require(
            try await place.cluster.answer(
                "INSERT INTO t VALUES (\(number)) RETURNING pg_current_xact_id()::text"))
    }

    @Test func `ends exactly at a time, a position, a restore point or a transaction`() async throws {
        try await ArchivingCluster.with { place in
            let cluster = place.cluster
            func ask(_ sql: String) async throws -> String { try #require(try await cluster.answer(sql)) }
            let before = try await place.now()
            try await cluster.execute("CREATE TABLE t (n int)")
            let id = try #require(
                try await place.succeed("backup", "--kind", "physical", "--json").json()["id"]?.text)
            _ = try await insert(1, place)
            let time = try await place.now()
            let mark = try await place.succeed("mark", "before migration", "--json").json()
            #expect(mark["isArchived"] == .bool(true) && mark["timeline"] == .number(1))
            let position = try await ask("SELECT pg_current_wal_insert_lsn()")
            _ = try await insert(2, place)
            let transaction = try await insert(3, place)
            _ = try await insert(4, place)
            let late = try await place.now()
            // A checkpoint tells whole seconds.
            try await cluster.execute("SELECT pg_sleep(1.1)")
            try await cluster.execute("CHECKPOINT")
            try await place.archiveAll()

            #expect(try await place.recovered("--to", time) == "1")
            #expect(try await place.recovered("--to", "name:before migration") == "1")
            #expect(try await place.recovered("--to", position, "--exclusive") == "1")
            #expect(try await place.recovered(id, "--to", "xid:\(transaction)") == "1 2 3")
            #expect(try await place.recovered(id, "--to", "xid:\(transaction)", "--exclusive") == "1 2")
            #expect(try await place.recovered("--to", "latest") == "1 2 3 4")
            #expect(try await place.recovered("--to", "immediate") == nil)
            // After the last commit nothing would end the recovery: the plan tells the server a position that does.
            #expect(try await place.recovered("--to", late) == "1 2 3 4")
            #expect(try await place.recovered("--to", late, "--stage-wal") == "1 2 3 4")

            let status = try await place.succeed("wal", "status").standardOutput
            #expect(status.contains(": ok") && status.contains("restorable   timeline 1"), "\(status)")

            // A mark that nobody archives is told of.
            try await cluster.execute("ALTER SYSTEM SET archive_command = 'false'")
            try await cluster.execute("SELECT pg_reload_conf()")
            let unarchived = try await place.tool.run("mark", "alone", "--wait", "1s")
            #expect(unarchived.status == 1 && unarchived.standardError.contains("is not archived yet"))
            try await place.startArchiving()
            let again = try await place.tool.run("mark", String(repeating: "x", count: 64))
            #expect(again.status == 64 && again.standardError.contains("1 to 63 bytes"))

            // What cannot be reached is refused before anything is written, with what can.
            let directory = "\(cluster.directory)/restored"
            for (moment, words) in [
                (before, "ended after it"), ("2099-01-01T00:00:00Z", "ends before it"),
                ("name:other", "before migration"),
            ] {
                let output = try await place.tool.run("restore", "--to", moment, "--to", directory)
                #expect(output.status == 1 && output.standardError.contains(words), "\(output.standardError)")
                #expect(output.standardError.contains("Nothing was restored"))
            }
            let unnamed = try await place.tool.run("restore", "--to", "xid:\(transaction)", "--to", directory)
            #expect(unnamed.status == 64 && unnamed.standardError.contains("apex-backup restore BACKUP"))
            #expect(!FileManager.default.fileExists(atPath: directory))
            #expect(try await place.recovered("--to", "2099-01-01T00:00:00Z", "--nearest") == "1 2 3 4")

            // A hole is named, and the moment before it that can be reached.
            let first = try await place.writeSegment(rows: 1)
            let second = try await place.writeSegment(rows: 1)
            try await place.waitUntilArchived(second)
            try FileManager.default.removeItem(atPath: try place.path(of: first))
            let hole = try await place.tool.run("restore", "--to", "latest", "--to", directory)
            #expect(hole.status == 1 && hole.standardError.contains(first), "\(hole.standardError)")
            let gap = try await place.tool.run("wal", "status", "--json")
            let report = try #require(try gap.json().elements.first)
            // It may still come.
            #expect(gap.status == 0)
            #expect(report["status"]?["gaps"]?.elements.compactMap { $0["first"]?.text } == [first])
            #expect(report["status"]?["gaps"]?.elements.compactMap { $0["state"]?.text } == ["delayed"])
            #expect(report["windows"]?.elements.last?["missing"]?.text == first)
            #expect(!FileManager.default.fileExists(atPath: directory))
        }
    }
}
