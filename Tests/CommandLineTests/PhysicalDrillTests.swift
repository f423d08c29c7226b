import FoundationEssentials
import TestSupport
import Testing

/// Drills of physical backups, with a server that archives.
@Suite(.serialized, .needsPhysicalBackups) struct `A drill of a physical backup` {
    /// The policy that names no system, table or application.
    private static let randomPolicy = "\(#filePath.components(before: "/Tests/"))/policies/drills/random-pitr.yaml"

    private func writePolicy(
        _ place: ArchivingCluster, target: String, checks: [String] = [], rpo: String = "1h"
    ) throws -> String {
        let path = "\(place.cluster.directory)/drill-\(target.filter(\.isLetter)).yaml"
        let text = """
            apiVersion: apex-backup/v1
            kind: DrillPolicy
            metadata: {name: physical}
            objectives: {rto: 5m, rpo: \(rpo)}
            source: {kind: physical, target: \(target)}
            checks:
              - {id: reached, type: replay_complete}
              - {id: boundary, type: boundary}
            \(checks.map { "  - \($0)" }.joined(separator: "\n"))
            """
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    private func run(
        _ place: ArchivingCluster, _ policy: String, _ arguments: String...
    ) async throws -> (status: Int32?, report: JSONValue) {
        let output = try await place.tool.run(["drill", "run", policy, "--json"] + arguments)
        let scratch = try FileManager.default.contentsOfDirectory(
            atPath: try #require(place.tool.environment["TMPDIR"]))
        #expect(scratch == [], "nothing of it stays")
        return (output.status, try output.json())
    }

    /// A cluster that archives, with two rows in `t`, a backup between them, and an ended segment behind them.
    private func withArchive(_ body: (ArchivingCluster, _ last: String) async throws -> Void) async throws {
        try await ArchivingCluster.with { given in
            var place = given
            let scratch = "\(place.cluster.directory)/scratch"
            try FileManager.default.createDirectory(
                atPath: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
            place.tool.environment["TMPDIR"] = scratch
            try await place.cluster.execute("CREATE TABLE t (n int); CREATE INDEX ON t (n); INSERT INTO t VALUES (1)")
            try await place.succeed("backup", "--kind", "physical")
            try await place.cluster.execute("INSERT INTO t VALUES (2)")
            try await place.succeed("mark", "here")
            try await place.cluster.execute("INSERT INTO t VALUES (3)")
            let last = try #require(
                try await place.cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
            try await place.cluster.execute("SELECT pg_switch_wal()")
            try await place.waitUntilArchived(last)
            try await body(place, last)
        }
    }

    @Test func `ends in PASS at a random moment, by a policy that names nothing of the cluster`() async throws {
        try await withArchive { place, _ in
            let plan = try await place.succeed("drill", "plan", Self.randomPolicy).standardOutput
            #expect(plan.contains("a random moment that can be reached") && plan.contains("Nothing was touched."))
            let (status, report) = try await run(place, Self.randomPolicy, "--seed", "7")
            #expect(status == 0 && report["verdict"]?.text == "pass", "\(report)")
            #expect(report["recovery"]?["seed"] == .number(7) && report["recovery"]?["window_start"]?.text != nil)
            #expect(report["recovery"]?["replayed_lsn"]?.text != nil && report["recovery"]?["timeline"] == .number(2))
            #expect(
                report["recovery_point"]?["basis"]?.text == "target" && report["recovery_point"]?["rpa_s"] == .number(0)
            )
            #expect(report["backup"]?["kind"]?.text == "physical")
            let phases = report["recovery_time"]?["phases"]?.elements.compactMap { $0["name"]?.text } ?? []
            #expect(Set(phases).isSuperset(of: ["select", "provision", "restore", "replay", "promote", "verify"]))
            // The seed is the whole choice: the same again leads to the same moment of the same window.
            let again = try await run(place, Self.randomPolicy, "--seed", "7")
            #expect(again.status == 0 && again.report["recovery"]?["target"] == report["recovery"]?["target"])
            let other = try await run(place, Self.randomPolicy)
            #expect(other.status == 0 && other.report["recovery"]?["seed"]?.number != nil)
            #expect(try await place.succeed("list", "--json").json().elements.first?["state"]?.text == "drilled")
            let shown = try await place.succeed("drill", "show").standardOutput
            #expect(shown.contains("## Recovery\n") && shown.contains("by chance, seed"))
            #expect(try await place.succeed("drill", "list").standardOutput.contains("random-pitr"))
        }
    }

    @Test func `asks of what is just before the target and just behind it, and finds a planted mismatch`() async throws
    {
        try await withArchive { place, _ in
            let sum = "{id: rows, type: sql, with: {sql: \"SELECT sum(n) FROM t\"}, expect: {eq: 3}}"
            let named = try await run(place, try writePolicy(place, target: "{name: here}", checks: [sum]))
            #expect(named.status == 0 && named.report["verdict"]?.text == "pass", "\(named.report)")
            #expect(named.report["recovery"]?["before"]?["status"]?.text == "committed")
            #expect(named.report["recovery"]?["behind"]?["xid"]?.number != nil)
            #expect(named.report["recovery"]?["behind"]?["status"]?.text != "committed")

            let latest = try await run(place, try writePolicy(place, target: "{latest: true}", checks: [sum]))
            #expect(latest.status == 1 && latest.report["verdict"]?.text == "fail", "the third row is there")
            let answers = latest.report["checks"]?.elements.compactMap { $0["verdict"]?.text }
            #expect(answers == ["pass", "pass", "fail"])
            #expect(latest.report["recovery"]?["behind"] == nil)
            #expect(latest.report["recovery_point"]?["basis"]?.text == "heartbeat", "mark wrote one")

            let strict = try await run(place, try writePolicy(place, target: "{latest: true}", rpo: "1ms"))
            #expect(strict.status == 1 && strict.report["objectives"]?["rpo_verdict"]?.text == "fail")
            #expect(strict.report["reasons"]?.elements.first?.text?.contains("before the declared failure") == true)
        }
    }

    @Test func `is a FAIL for a hole, which it names, for a target behind the archive, and for damage`() async throws {
        try await withArchive { place, last in
            let latest = try writePolicy(place, target: "{latest: true}")
            let later = try await place.writeSegment(rows: 1)
            try await place.waitUntilArchived(later)
            let path = try place.path(of: last)
            let away = "\(place.cluster.directory)/away"
            try FileManager.default.moveItem(atPath: path, toPath: away)
            let hole = try await run(place, latest)
            #expect(hole.status == 1 && hole.report["verdict"]?.text == "fail")
            #expect(hole.report["reasons"]?.elements.contains { $0.text?.contains(last) == true } == true)
            try FileManager.default.moveItem(atPath: away, toPath: path)

            let beyond = try await run(place, try writePolicy(place, target: "{time: '2099-01-01T00:00:00Z'}"))
            #expect(beyond.status == 1 && beyond.report["verdict"]?.text == "fail", "\(beyond.report)")

            // A segment that is damaged keeps its trailer, so that the plan believes in it.
            var bytes = try Data(contentsOf: URL(filePath: path))
            let sound = bytes
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(filePath: path))
            let damaged = try await run(place, latest)
            #expect(damaged.status == 1 && damaged.report["verdict"]?.text == "fail")
            #expect(damaged.report["reasons"]?.elements.contains { $0.text?.contains(last) == true } == true)
            try sound.write(to: URL(filePath: path))

            let files = try FileManager.default.subpathsOfDirectory(atPath: place.repository)
            let name = try #require(
                files.first { $0.contains("/packs/") && $0.split(separator: "/").count == 6 })
            let pack = "\(place.repository)/\(name)"
            var packed = try Data(contentsOf: URL(filePath: pack))
            for index in packed.indices.prefix(packed.count / 2) { packed[index] ^= 1 }
            try packed.write(to: URL(filePath: pack))
            let broken = try await run(place, latest)
            #expect(broken.status == 1 && broken.report["verdict"]?.text == "fail")
            #expect(broken.report["reasons"]?.elements.first?.text?.contains("damaged") == true)
            #expect(broken.report["cleanup"]?["done"] == .bool(true))
        }
    }
}

extension String {
    /// What is before the first `separator`.
    fileprivate func components(before separator: String) -> String {
        firstRange(of: separator).map { String(self[..<$0.lowerBound]) } ?? self
    }
}
