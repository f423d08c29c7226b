import BackupModel
import BackupStorage
import FoundationEssentials
import Glibc
import TestSupport
import Testing

extension Workplace {
    /// Writes `drill.yaml` with these checks.
    func writeDrill(checks: [String], rto: String = "5m", rpo: String = "1h", rest: String = "") throws {
        try write(
            """
            apiVersion: apex-backup/v1
            kind: DrillPolicy
            metadata: {name: test, owner: platform-team}
            objectives: {rto: \(rto), rpo: \(rpo)}
            checks:
            \(checks.map { "  - \($0)" }.joined(separator: "\n"))
            \(rest)
            """, to: "drill.yaml")
    }

    /// Runs the drill and returns its report.
    func drill() async throws -> (status: Int32?, report: JSONValue) {
        let output = try await tool.run("drill", "run", path("drill.yaml"), "--json")
        return (output.status, try output.json())
    }
}

@Suite struct `The drill command` {
    private static let rows = "{id: rows, type: rows}"

    @Test func `ends with 0 and PASS when all is proved, and reports what was measured`() async throws {
        try await Workplace.with { place in
            let id = try await place.backUp()
            try place.writeDrill(checks: [Self.rows, "{id: structure, type: structure}"])
            let (status, report) = try await place.drill()
            #expect(status == 0)
            #expect(report["schema"]?.text == "apex-backup/drill-report/1")
            #expect(report["verdict"]?.text == "pass")
            #expect(report["policy"]?["name"]?.text == "test")
            #expect(report["policy"]?["sha256"]?.text?.count == 64)
            #expect(report["objectives"]?["rto_s"]?.number == 300)
            #expect(report["objectives"]?["rpo_s"]?.number == 3600)
            #expect(report["clock"]?["t0"]?.text != nil)
            let time = report["recovery_time"]
            for field in ["total_s", "technical_s", "measured_s"] {
                #expect((time?[field]?.number ?? 0) > 0, "\(field)")
            }
            #expect(time?["assumed_s"]?.number == 0)
            let phases = time?["phases"]?.elements ?? []
            let names = Set(phases.compactMap { $0["name"]?.text })
            #expect(names.isSuperset(of: ["provision", "select", "restore", "verify"]))
            #expect(phases.allSatisfy { $0["s"]?.number != nil && $0["basis"]?.text == "measured" })
            let point = report["recovery_point"]
            #expect((point?["rpa_s"]?.number ?? 0) > 0 && point?["uncertainty_s"]?.number != nil)
            #expect(point?["basis"]?.text == "dump snapshot" && point?["covered"]?.text != nil)
            let check = report["checks"]?.elements.first
            #expect(check?["id"]?.text == "rows" && check?["gating"] == .bool(true))
            #expect(check?["verdict"]?.text == "pass" && check?["expect"] != nil && check?["got"] != nil)
            #expect(report["backup"]?["id"]?.text == id)
            #expect(report["target"]?["system_identifier"]?.text?.isEmpty == false)
            #expect(report["target"]?["isolation"]?.elements.isEmpty == false)
            #expect(report["cleanup"]?["done"] == .bool(true))
            #expect(report["cleanup"]?["proof"]?.elements.isEmpty == false)
            #expect(report["findings"]?.elements.isEmpty == true)
            #expect(report["chain"] != nil)
            #expect(try place.scratchLeftovers().isEmpty)
            #expect(try await place.runs("drill") == ["succeeded"])
        }
    }

    @Test func `ends with 1 and FAIL for a false check, a missed objective, a damaged backup, and none at all`()
        async throws
    {
        try await Workplace.with { place in
            try place.writeDrill(checks: [Self.rows])
            let none = try await place.drill()
            #expect(none.status == 1 && none.report["verdict"]?.text == "fail")
            #expect(none.report["reasons"]?.elements.first?.text?.contains("nothing to restore") == true)

            let id = try await place.backUp()
            let sql = "{id: enough, type: sql, with: {sql: \"SELECT count(*) FROM t\"}, expect: {gt: 1000000}}"
            try place.writeDrill(checks: [Self.rows, sql])
            let check = try await place.drill()
            #expect(check.status == 1 && check.report["verdict"]?.text == "fail")
            let answer = check.report["checks"]?.elements.last
            #expect(answer?["verdict"]?.text == "fail" && answer?["got"]?.number == 50)

            try place.writeDrill(checks: [Self.rows], rpo: "1ms")
            let objective = try await place.drill()
            #expect(objective.status == 1 && objective.report["verdict"]?.text == "fail")
            #expect(objective.report["objectives"]?["rpo_verdict"]?.text == "fail")
            #expect(objective.report["objectives"]?["rto_verdict"]?.text == "pass")
            #expect(objective.report["reasons"]?.elements.first?.text?.contains("can not be rolled forward") == true)

            try place.writeDrill(checks: [Self.rows], rto: "1ms")
            let late = try await place.drill()
            #expect(late.status == 1 && late.report["verdict"]?.text == "fail")
            #expect(late.report["objectives"]?["rto_verdict"]?.text == "fail")
            #expect(late.report["objectives"]?["rpo_verdict"]?.text == "pass")
            #expect(late.report["reasons"]?.elements.count == 1)
            #expect(late.report["reasons"]?.elements.first?.text?.hasSuffix("more than the RTO of 1 ms") == true)
            #expect((late.report["recovery_time"]?["total_s"]?.number ?? 0) > 0)
            #expect(try await place.array("list").first?["state"]?.text == "drilled", "it was proved all the same")

            try place.stage("pg_restore", script: "case \"$*\" in *--list*) ;; *) echo broken >&2; exit 1 ;; esac")
            let policy = String(decoding: try place.directory.read("policy.yaml"), as: UTF8.self)
            try place.write(policy.replacing("backup: {", with: "backup: {jobs: 1, "), to: "policy.yaml")
            try place.writeDrill(checks: [Self.rows])
            let broken = try await place.drill()
            #expect(broken.status == 1 && broken.report["verdict"]?.text == "fail")
            #expect(broken.report["reasons"]?.elements.first?.text?.hasPrefix("the restore failed: ") == true)
            #expect(
                broken.report["deviations"]?.elements.contains {
                    $0.text?.hasPrefix("'\(place.database)' is restored by one job") == true
                } == true, "what it warned of before it failed")
            try place.writePolicy()

            let folder = "repository/clusters/apex/backups/\(id)"
            let name = try #require(try place.directory.contents().first { $0.hasPrefix("\(folder)/db-") })
            var bytes = try place.directory.read(name)
            bytes[bytes.count / 2] ^= 1
            try place.directory.write(bytes, to: name)
            try place.writeDrill(checks: [Self.rows])
            let damaged = try await place.drill()
            #expect(damaged.status == 1 && damaged.report["verdict"]?.text == "fail")
            #expect(damaged.report["reasons"]?.elements.first?.text?.contains("damaged") == true)
            #expect(damaged.report["recovery_time"]?["total_s"] == nil)
            #expect(damaged.report["recovery_point"] == nil)
            #expect(damaged.report["objectives"]?["rpo_verdict"]?.text == "not_verified")
            let shown = try await place.succeed("drill", "show").standardOutput
            #expect(shown.contains("## Recovery point\n\nNothing was restored."))
            let listed = try await place.array("list").first
            #expect(listed?["state"]?.text == "committed", "no earlier proof counts")
            #expect(
                listed?["warnings"]?.elements.contains { $0.text?.hasPrefix("verification failed") == true } == true)
            let facts = try place.contents().keys.filter { $0.contains("/facts/") && $0.contains("-verified-") }
            #expect(facts.count == 1, "\(facts)")
            #expect(try place.scratchLeftovers().isEmpty)
            #expect(
                try await place.array("drill", "list").compactMap { $0["verdict"]?.text }
                    == Array(repeating: "fail", count: 6))
        }
    }

    @Test func `ends with 2 and NOT VERIFIED when there is no server to prove with`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try FileManager.default.createDirectory(atPath: place.path("empty"), withIntermediateDirectories: false)
            try place.writePolicy(bin: place.path("empty"))
            try place.writeDrill(checks: [Self.rows])
            let (status, report) = try await place.drill()
            #expect(status == 2 && report["verdict"]?.text == "not_verified")
            #expect(report["reasons"]?.elements.first?.text?.contains("no target") == true)
            #expect(try await place.array("list").first?["state"]?.text == "committed")
        }
    }

    @Test func `of the latest backup says when an older one was taken of more`() async throws {
        try await Workplace.with { place in
            let wide = try await place.succeed(
                "backup", "--database", place.database, "--database", "postgres", "--json")
            let id = try #require(try wide.json()["id"]?.text)
            _ = try await place.backUp()
            try place.writeDrill(checks: [Self.rows])
            let words =
                "Backup \(id), which is older, was taken of more than the latest one: what only the older one holds is "
                + "not drilled."
            let output = try await place.succeed("drill", "run", place.path("drill.yaml"), "--json")
            #expect(output.standardError.contains(words), "\(output.standardError)")
            let report = try output.json()
            #expect(report["verdict"]?.text == "pass")
            #expect(report["deviations"]?.elements.contains { $0.text == words } == true, "\(report)")
            let shown = try await place.succeed("drill", "show").standardOutput
            let deviations = shown.split(separator: "## ").first { $0.hasPrefix("Deviations") }
            #expect(deviations?.contains("- \(words)") == true, "\(shown)")
        }
    }

    @Test func `needs no temporary directory but the one that its policy names`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            let policy = String(decoding: try place.directory.read("policy.yaml"), as: UTF8.self)
            try place.write(policy.replacing("backup: {", with: "backup: {jobs: 2, "), to: "policy.yaml")
            try place.writeDrill(checks: [Self.rows], rest: "target: {dir: \(place.path("scratch"))}")
            var tool = place.tool
            tool.environment["TMPDIR"] = "/no/such/directory"
            let output = try await tool.run("drill", "run", place.path("drill.yaml"), "--json")
            #expect(output.status == 0, "\(output)")
            let phases = try output.json()["recovery_time"]?["phases"]?.elements ?? []
            #expect(phases.contains { $0["name"]?.text == "fetch" }, "two jobs read a file in that directory")
            #expect(try place.scratchLeftovers().isEmpty)
        }
    }

    @Test func `ends with 3 when what it made is still there`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            // As a user who cannot remove anything from a folder that a check has closed.
            let server = place.path("server")
            try FileManager.default.createDirectory(atPath: server, withIntermediateDirectories: false)
            try place.write("", to: "server/mark")
            try place.writeDrill(
                checks: [
                    Self.rows, "{id: closed, type: command, with: {argv: [/bin/chmod, \"0555\", \(server)]}}",
                ], rest: "target: {dir: \(server)}")
            var tool = place.tool
            try await shell("cp \"$1\" \"$2\"", tool.executable, place.path("apex-backup"))
            tool.executable = place.path("apex-backup")
            tool.environment["LLVM_PROFILE_FILE"] = "/dev/null"
            if geteuid() == 0 {
                tool.userName = "postgres"
                let chown = try await CommandLineTool(executable: "/bin/chown").run(
                    "-R", "postgres", place.directory.path)
                #expect(chown.status == 0)
            }
            let output = try await tool.run("drill", "run", place.path("drill.yaml"), "--json")
            _ = try await CommandLineTool(executable: "/bin/chmod").run("0755", server)
            #expect(output.status == 3, "\(output)")
            let report = try output.json()
            #expect(report["cleanup"]?["done"] == .bool(false))
            #expect(report["cleanup"]?["proof"]?.elements.isEmpty == false)
            #expect(ProcessSnapshot.all(naming: server).isEmpty)
        }
    }

    @Test func `ends with 78 for a policy that it cannot follow, and touches nothing`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            let before = try place.contents()
            for (checks, rest, words) in [
                (["{id: a, type: sql}"], "", "with"), ([Self.rows], "tarjet: {}", "'tarjet'"),
                ([Self.rows], "target: {overrides: {archive_mode: on}}", "archive_mode"),
                (["{id: rows, type: rows, gating: false}"], "", "no check is gating"),
            ] {
                try place.writeDrill(checks: checks, rest: rest)
                for command in ["run", "plan"] {
                    let output = try await place.tool.run("drill", command, place.path("drill.yaml"))
                    #expect(output.status == 78, "\(words)")
                    #expect(output.standardError.contains(words), "\(output.standardError)")
                    #expect(output.standardError.contains("drill.yaml:"))
                }
            }
            #expect(try place.contents() == before)
        }
    }

    @Test func `plan says what would be done and does nothing`() async throws {
        try await Workplace.with { place in
            let before = try place.contents()
            try place.writeDrill(checks: [Self.rows])
            let text = try await place.succeed("drill", "plan", place.path("drill.yaml"))
            #expect(text.standardOutput.contains("rows (rows, gating)"))
            let json = try await place.succeed("drill", "plan", place.path("drill.yaml"), "--json").json()
            #expect(json["policy"]?.text == "test" && json["steps"]?.elements.isEmpty == false)
            #expect(try place.contents() == before)
        }
    }
}

@Suite struct `The drill ledger` {
    private func ledgerEntry(_ number: Int) -> String {
        "repository/clusters/apex/drills/ledger/0000000\(number).json"
    }

    @Test func `grows by a chained entry for each drill, and shows what was tampered with`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            let bad = "{id: bad, type: sql, with: {sql: \"SELECT 1\"}, expect: {eq: 2}}"
            for check in ["{id: rows, type: rows}", bad, bad] {
                try place.writeDrill(checks: [check])
                _ = try await place.drill()
            }
            let entries = try await place.array("drill", "list")
            #expect(entries.map { $0["number"]?.number } == [1, 2, 3])
            #expect(entries.map { $0["verdict"]?.text } == ["pass", "fail", "fail"])
            #expect(entries.allSatisfy { $0["id"]?.text != nil && $0["report_sha256"]?.text != nil })
            let first = try place.directory.read(ledgerEntry(1))
            let digest = SHA256.digest(of: first.span).description
            #expect(entries[0]["previous"] == nil && entries[1]["previous"]?.text?.hasSuffix(digest) == true)
            let shown = try await place.succeed("drill", "show", "--json").json()
            #expect(shown["id"] == entries[2]["id"])
            #expect(shown["chain"]?["prev"]?.text?.hasSuffix(entries[2]["previous"]?.text ?? "none") == true)
            #expect(try await place.succeed("drill", "show").standardOutput.contains("**FAIL**"))

            // An entry that somebody changed, with a proof that fits it.
            let text = String(decoding: first, as: UTF8.self)
            let body = try #require(text.firstRange(of: "sha256:")).lowerBound
            let changed = String(text[..<body]).replacing("\"pass\"", with: "\"fail\"")
            try place.directory.write(SelfProof.seal(Array(changed.utf8)), to: ledgerEntry(1))
            try await expectRefused(place, ["drill", "list"], code: "object-damaged")
            try place.directory.write(Array(changed.utf8), to: ledgerEntry(1))
            try await expectRefused(place, ["drill", "list"], code: "object-damaged")
            // One that is gone.
            try FileManager.default.removeItem(atPath: place.path(ledgerEntry(1)))
            try await expectRefused(place, ["drill", "list"], code: "object-damaged")
            try place.directory.write(first, to: ledgerEntry(1))
            try await place.succeed("drill", "list")

            // A report that somebody improved.
            let id = try #require(entries[2]["id"]?.text)
            let name = "repository/clusters/apex/drills/\(id)/report-3.json"
            let report = String(decoding: try place.directory.read(name), as: UTF8.self)
            let end = try #require(report.ranges(of: "sha256:").last).lowerBound
            let better = String(report[..<end]).replacing("\"fail\"", with: "\"pass\"")
            try place.directory.write(SelfProof.seal(Array(better.utf8)), to: name)
            try await expectRefused(place, ["drill", "show", id], code: "object-damaged")
        }
    }

    private func expectRefused(_ place: Workplace, _ arguments: [String], code: String) async throws {
        let output = try await place.tool.run(arguments + ["--json"])
        #expect(output.status == 1, "\(arguments)")
        #expect(try output.json()["error"]?["code"]?.text == code, "\(arguments)")
    }

    @Test func `and its reports hold no secret, whatever a check prints`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try place.writeDrill(checks: [
                "{id: rows, type: rows}",
                "{id: leak, type: command, with: {argv: [/bin/sh, -c, 'echo token $TOKEN >&2; exit 1'], env: {TOKEN: 'env:DRILL_TOKEN'}}}",
            ])
            var tool = place.tool
            tool.environment["DRILL_TOKEN"] = "tok-5f0c-geheim"
            let output = try await tool.run("drill", "run", place.path("drill.yaml"))
            #expect(output.status == 1)
            #expect(output.standardOutput.contains("token"))
            #expect(!output.standardOutput.contains("tok-5f0c"))
            #expect(!output.standardError.contains("tok-5f0c"))
            for (file, bytes) in try place.contents() {
                #expect(!String(decoding: bytes, as: UTF8.self).contains("tok-5f0c"), "\(file)")
            }
        }
    }
}
