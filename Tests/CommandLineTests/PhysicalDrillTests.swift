import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// Drills of physical backups, with a server that archives.
@Suite(.serialized, .needsPhysicalBackups) struct `A drill of a physical backup` {
    /// The policy that names no system, table or application.
    private static let randomPolicy = "\(checkout)/policies/drills/random-pitr.yaml"

    private func writePolicy(
        _ place: ArchivingCluster, target: String, checks: [String] = [], rpo: String = "1h", select: String = "",
        overrides: String = "{}"
    ) throws -> String {
        let path = "\(place.cluster.directory)/drill-\(target.filter(\.isLetter)).yaml"
        let text = """
            apiVersion: apex-backup/v1
            kind: DrillPolicy
            metadata: {name: physical}
            objectives: {rto: 5m, rpo: \(rpo)}
            source: {kind: physical, target: \(target)\(select)}
            target: {overrides: \(overrides)}
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
            if try await place.cluster.knowsICU {
                try await place.cluster.execute(
                    """
                    CREATE TABLE w (a text COLLATE "de-x-icu"); CREATE INDEX w_a ON w (a);
                    UPDATE pg_collation SET collversion = '1' WHERE collname = 'de-x-icu'
                    """)
            }
            try await place.succeed("backup", "--kind", "physical")
            try await place.cluster.execute("CREATE TABLE x AS SELECT pg_current_xact_id()::text AS xid")
            try await place.cluster.execute("INSERT INTO t VALUES (2)")
            try await place.succeed("mark", "here")
            try await place.cluster.execute("INSERT INTO t VALUES (3)")
            try await body(place, try await place.archiveAll())
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
            let knowsICU = try await place.cluster.knowsICU
            let sorted = report["recovery"]?["collations"]?["databases"]?.elements.first
            #expect(sorted?["indexes"]?.elements.map(\.text) == (knowsICU ? ["public.w_a"] : nil), "\(report)")
            let isTold = report["deviations"]?.elements.contains { $0.text?.contains("Rebuilding them is not") == true }
            #expect(isTold ?? false == knowsICU)
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

            // What is not archived yet is lost with the source, which says how much that is.
            try await place.cluster.execute("INSERT INTO t VALUES (4)")
            let policy = try writePolicy(place, target: "{latest: true}", checks: [sum])
            let plan = try await place.succeed("drill", "plan", policy).standardOutput
            #expect(plan.contains("ask the source where it has written its WAL to, if it answers"))
            let latest = try await run(place, policy)
            let point = latest.report["recovery_point"]
            #expect(point?["lost_bytes_basis"]?.text == "source position" && point?["lsn_at_t0"]?.text != nil)
            #expect((point?["lost_bytes"]?.number ?? 0) > 0, "\(latest.report)")
            #expect(point?["uncertainty_basis"]?.text?.contains("at the declared failure") == true)
            let phases = latest.report["recovery_time"]?["phases"]?.elements ?? []
            #expect(phases.filter { $0["name"]?.text == "promote" }.count == 1)
            #expect((phases.first { $0["name"]?.text == "replay" }?["bytes"]?.number ?? 0) > 0)
            #expect(latest.status == 1 && latest.report["verdict"]?.text == "fail", "the third row is there")
            let answers = latest.report["checks"]?.elements.compactMap { $0["verdict"]?.text }
            #expect(answers == ["pass", "pass", "fail"])
            #expect(latest.report["recovery"]?["behind"] == nil)
            #expect(latest.report["recovery_point"]?["basis"]?.text == "heartbeat", "mark wrote one")

            // Without the source the drill goes on, and compares with what is stored.
            var gone = place
            let own = try String(contentsOf: URL(filePath: place.policy), encoding: .utf8)
            let without = "cluster: {bin: \"\(place.cluster.programs)\"}"
            let lines = own.split(separator: "\n").map { $0.hasPrefix("cluster:") ? without : String($0) }
            try Data(lines.joined(separator: "\n").utf8).write(to: URL(filePath: "\(place.policy).gone"))
            gone.tool.environment["APEX_BACKUP_POLICY"] = "\(place.policy).gone"
            let strict = try await run(gone, try writePolicy(place, target: "{latest: true}", rpo: "1ms"))
            #expect(strict.report["recovery"]?["source_silence"]?.text?.contains("not known which server") == true)
            #expect(strict.report["recovery_point"]?["lost_bytes_basis"]?.text == "end of the archive")
            #expect(strict.report["recovery_point"]?["lost_bytes"] == .number(0), "\(strict.report)")
            #expect(strict.status == 1 && strict.report["objectives"]?["rpo_verdict"]?.text == "fail")
            #expect(strict.report["reasons"]?.elements.first?.text?.contains("before the declared failure") == true)

            // The transaction that made the table is the last one.
            let xid = try #require(try await place.cluster.answer("SELECT xid FROM x"))
            let id = try #require(named.report["backup"]?["id"]?.text)
            let chosen = try await run(
                place,
                try writePolicy(
                    place, target: "{xid: \(xid)}",
                    checks: [
                        "{id: rows, type: sql, with: {sql: \"SELECT sum(n) FROM t\"}, expect: {eq: 1}}",
                        "{id: own, type: sql, with: {sql: \"SELECT xid FROM x\"}, expect: {eq: '\(xid)'}}",
                    ], select: ", select: {method: id, id: \(id)}"))
            #expect(chosen.status == 0 && chosen.report["verdict"]?.text == "pass", "\(chosen.report)")
            #expect(chosen.report["recovery"]?["before"]?["xid"]?.number == Double(xid))

            // Of the end of a backup only what was written before it counts.
            let first = try await run(place, try writePolicy(place, target: "{immediate: true}"))
            let end = first.report["recovery_point"]
            #expect(end?["failure"]?.text == first.report["backup"]?["recovery_point"]?.text, "\(first.report)")
            #expect(["heartbeat", "last record"].contains(end?["basis"]?.text) && end?["lost_bytes"] == nil)
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
            let key = name.split(separator: "/").suffix(3).joined(separator: "/")
            #expect(broken.report["reasons"]?.elements.first?.text?.contains(key) == true, "\(broken.report)")
            #expect(broken.report["cleanup"]?["done"] == .bool(true))
        }
    }

    /// Runs a drill, stops it once `isThere`, and looks that nothing of it stays.
    private func stop(
        _ place: ArchivingCluster, _ policy: String, once isThere: (RunningCommand) throws -> Bool
    ) async throws -> JSONValue {
        let scratch = try #require(place.tool.environment["TMPDIR"])
        let drill = try await place.tool.start(["drill", "run", policy, "--json"])
        #expect(try await eventually { try drill.hasEnded || isThere(drill) })
        let children = drill.descendants()
        drill.send(SIGTERM)
        let output = try await drill.output()
        let report = try output.json()
        #expect(output.status == 2 && report["verdict"]?.text == "not_verified", "\(report)")
        #expect(report["reasons"]?.elements.first?.text?.hasPrefix("aborted: ") == true, "\(report)")
        #expect(report["recovery_time"]?["not_recovered_within_s"]?.number != nil)
        #expect(report["cleanup"]?["done"] == .bool(true))
        #expect(!children.isEmpty)
        #expect(await eventually { children.allSatisfy { !$0.isAlive } })
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch) == [])
        #expect(await eventually { ProcessSnapshot.all(naming: scratch).isEmpty })
        let runs = try await place.succeed("list", "--runs", "--json").json().elements.filter {
            $0["start"]?["operation"]?.text == "drill"
        }
        #expect(!runs.isEmpty && runs.allSatisfy { $0["state"]?.text == "interrupted" }, "\(runs)")
        return report
    }

    @Test func `leaves nothing when it is stopped while WAL is replayed, or while its server is promoted`() async throws
    {
        try await withArchive { place, _ in
            // A commit is replayed ten minutes after it happened, and so none for as long as this lasts.
            let delayed = try writePolicy(place, target: "{name: here}", overrides: "{recovery_min_apply_delay: 10min}")
            let replaying = try await stop(place, delayed) { drill in
                // It reads ahead meanwhile, and then says which segment it waits for.
                drill.descendants().contains {
                    $0.commandLine.first?.contains(/startup (recovering|waiting for) 0/) == true
                }
            }
            let phases = replaying["recovery_time"]?["phases"]?.elements.compactMap { $0["name"]?.text } ?? []
            #expect(phases.contains("replay") && !phases.contains("promote"), "\(phases)")
            #expect(replaying["recovery"]?["timeline"] == nil)

            // The history of the new timeline is written before its first record; a check keeps the drill from its end.
            let held = "{id: held, type: command, with: {argv: [/bin/sleep, '600']}, timeout: 10m}"
            let scratch = try #require(place.tool.environment["TMPDIR"])
            let promoted = try writePolicy(place, target: "{latest: true}", checks: [held])
            let promoting = try await stop(place, promoted) { _ in
                try FileManager.default.contentsOfDirectory(atPath: scratch).contains {
                    FileManager.default.fileExists(atPath: "\(scratch)/\($0)/data/pg_wal/00000002.history")
                }
            }
            #expect(promoting["recovery"]?["target"]?.text == "latest")
            #expect(promoting["checks"]?.elements.last?["verdict"]?.text == "not_verified")
        }
    }
}
