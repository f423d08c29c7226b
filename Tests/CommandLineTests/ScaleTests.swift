import Dispatch
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// Clusters of many files and of large ones.
///
/// `scripts/test --full` takes more and larger ones.
@Suite(.serialized, .needsPhysicalBackups) struct `A physical backup of much` {
    /// Runs the tool, which must succeed, and returns the most memory that it had, in bytes.
    private func peakMemory(_ place: Workplace, _ arguments: String...) async throws -> Int {
        let running = try await place.tool.start(arguments)
        // On a thread of its own: a task may wait behind those of other tests until the memory is gone again.
        let peak = await withCheckedContinuation { continuation in
            DispatchQueue(label: "apex-backup.tests.memory").async {
                var peak = 0
                while !running.hasEnded {
                    peak = max(peak, Self.peakMemory(of: running.processIdentifier) ?? 0)
                    usleep(5000)
                }
                continuation.resume(returning: peak)
            }
        }
        let output = try await running.output()
        guard output.status == 0 else { throw UnexpectedEnd(arguments: arguments, output: output) }
        return peak
    }

    private static func peakMemory(of process: Int32) -> Int? {
        guard let bytes = try? Data(contentsOf: URL(filePath: "/proc/\(process)/status")) else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 << 10 }
    }

    /// What a physical backup may take of memory, whatever the size of the database and the number of its files.
    private static let limit = 128 << 20

    @Test func `takes no more memory and no unbounded time for many small relations`() async throws {
        let relations = PostgresCluster.isFullRun ? 20_000 : 400
        let configuration = ["max_locks_per_transaction": "256", "autovacuum": "off"]
        try await PostgresCluster.with(configuration: configuration) { cluster in
            let place = try Workplace(cluster, database: "postgres")
            try await place.succeed("init")
            let few = try await peakMemory(place, "backup", "--kind", "physical", "--jobs", "2")
            try await cluster.execute(
                """
                DO $$ BEGIN FOR i IN 1..\(relations) LOOP
                    EXECUTE format('CREATE TABLE small_%s AS SELECT %s AS n', i, i);
                    IF i % 500 = 0 THEN COMMIT; END IF;
                END LOOP; END $$
                """)
            let many = try await peakMemory(place, "backup", "--kind", "physical", "--jobs", "2")
            #expect(many <= Self.limit && many < few + (32 << 20), "\(few) and \(many) bytes")
            let files = try await place.array("list").last?["id"]?.text
            let target = "\(cluster.directory)/restored"
            let restoring = try await peakMemory(
                place, "restore", try #require(files), "--to", "immediate", "--to", target, "--stage-wal")
            #expect(restoring <= Self.limit, "\(restoring) bytes")
            try await place.succeed("verify", "latest")
            try await cluster.withServer(on: target) { server in
                for number in [1, relations / 2, relations] {
                    let value = try await cluster.answer("SELECT n FROM small_\(number)", at: server)
                    #expect(value == "\(number)")
                }
            }
        }
    }

    @Test(.needsFullRun) func `brings back every segment file of a relation above a gigabyte`() async throws {
        try await PostgresCluster.with(configuration: ["autovacuum": "off", "max_wal_size": "4GB"]) { cluster in
            let place = try Workplace(cluster, database: "postgres")
            try await place.succeed("init")
            // A row to a page: 1.1 GB of pages, and little WAL.
            try await cluster.execute(
                """
                CREATE TABLE big (n int, text text) WITH (fillfactor = 10);
                ALTER TABLE big ALTER text SET STORAGE PLAIN;
                INSERT INTO big SELECT n, repeat('x', 900) FROM generate_series(1, 145000) AS n
                """)
            let file = try #require(try await cluster.answer("SELECT pg_relation_filepath('big')"))
            let peak = try await peakMemory(place, "backup", "--kind", "physical", "--jobs", "2")
            #expect(peak <= Self.limit, "\(peak) bytes")
            let target = "\(cluster.directory)/restored"
            _ = try await peakMemory(place, "restore", "--to", "immediate", "--to", target, "--stage-wal")
            #expect(FileManager.default.fileExists(atPath: "\(target)/\(file).1"))
            try await cluster.withServer(on: target) { server in
                let sum = try await cluster.answer("SELECT count(*) || ' ' || sum(n) FROM big", at: server)
                #expect(sum == "145000 10512572500")
            }
        }
    }
}

/// Servers of which no base backup can be taken.
@Suite struct `A physical backup of PostgreSQL 14` {
    @Test(.enabled("the server to test with is newer") { try await !PostgresCluster.takesPhysicalBackups })
    func `is refused, and says which version can`() async throws {
        try await Workplace.with { place in
            let refused = try await place.tool.run("backup", "--kind", "physical")
            #expect(refused.status == 1 && refused.standardError.contains("(server-unsupported)"), "\(refused)")
            #expect(refused.standardError.contains("since PostgreSQL 15"))
            #expect(try await place.listed().isEmpty)
            let run = try await place.runs("backup")
            #expect(run == ["refused"])
        }
    }
}
