import ApexBackup
import BackupModel
import BackupStorage
import FoundationEssentials
import TestSupport
import Testing

@Suite struct `The prune command` {
    private static let day = 86_400

    /// A place with backups that are so many days old.
    private func place(days: [Int]) async throws -> (place: Workplace, ids: [Int: String]) {
        let place = try Workplace(try await PostgresCluster.shared(), database: "unused")
        let crafted = try CraftedRepository(at: place.repository)
        var ids: [Int: String] = [:]
        for age in days { ids[age] = try crafted.addBackup(secondsAgo: age * Self.day) }
        return (place, ids)
    }

    /// What the backups of the place have in their manifests about what they hold.
    private func settings(of place: Workplace) -> [String: String] {
        ["databases": "'\(place.database)'", "exclude": "", "globals": "\(place.globals)"]
    }

    private func repository(of place: Workplace) throws -> Repository {
        try Repository.open(
            PosixStorage(root: place.repository), layout: #require(RepositoryLayout(cluster: "apex")),
            environment: BackupEnvironment())
    }

    @Test func `is a dry run that prints the very plan that --apply carries out`() async throws {
        let (place, ids) = try await place(days: [12, 8, 5, 3, 1])
        let before = try place.contents()
        let arguments = ["prune", "--days", "4", "--minimum", "1"]
        let plan = try await place.tool.run(arguments + ["--json"]).json()["decisions"]?.elements ?? []
        let removed = plan.filter { $0["action"]?.text == "remove" }.compactMap { $0["id"]?.text }
        #expect(removed == [ids[12], ids[8], ids[5]])
        #expect(plan.count == 5 && plan.allSatisfy { $0["reasons"]?.elements.isEmpty == false })
        let text = try await place.tool.run(arguments + ["--dry-run"])
        #expect(text.standardOutput.contains("remove  \(ids[12] ?? "")  older than 4 days"))
        #expect(text.standardOutput.contains("Nothing was removed; add --apply."))
        #expect(try place.contents() == before)

        let applied = try await place.tool.run(arguments + ["--apply", "--json"])
        #expect(applied.status == 0)
        #expect(try applied.json()["removed"]?.elements.compactMap(\.text) == removed)
        #expect(try await place.listed() == [ids[3], ids[1]])
        #expect(try await place.runs("prune") == ["succeeded"])
    }

    @Test func `keeps what is held until it is released`() async throws {
        let (place, ids) = try await place(days: [30, 20, 1])
        let held = try #require(ids[30])
        try await place.succeed("hold", held, "--reason", "audit 2026")
        #expect(try await place.array("list").first?["held"]?.text == "audit 2026")
        try await place.succeed("prune", "--last", "1", "--minimum", "1", "--apply")
        #expect(try await place.listed() == [held, ids[1]])
        try await place.succeed("release", held, "--reason", "audit closed")
        #expect(try await place.array("list").first?["held"] == nil)
        try await place.succeed("prune", "--last", "1", "--minimum", "1", "--apply")
        #expect(try await place.listed() == [ids[1]])

        // The last word counts, also when the one before was stamped by a clock that was ahead.
        let left = try #require(RunID(parsing: ids[1] ?? ""))
        let ahead = Timestamp(microseconds: Int64(Date().timeIntervalSince1970 + 86_400) * 1_000_000)
        try repository(of: place).record(BackupFact(kind: .release, at: ahead), of: left)
        let printed = try await place.succeed("hold", left.text, "--reason", "again", "--json").json()["at"]
        let shown = try await place.succeed("show", "--json").json()["facts"]?.elements.last
        #expect(printed?.text != nil && shown?["at"] == printed)
        #expect(try await place.array("list").first?["held"]?.text == "again")
    }

    @Test(arguments: ["daily", "weekly", "monthly", "yearly"])
    func `keeps one of each period that its options name`(period: String) async throws {
        // More than a year apart, so that no two are in one period whatever today is.
        let (place, ids) = try await place(days: [800, 400, 1])
        let plan = try await place.succeed("prune", "--\(period)", "2", "--minimum", "1", "--json").json()
        let decisions = plan["decisions"]?.elements ?? []
        #expect(decisions.filter { $0["action"]?.text == "remove" }.map { $0["id"]?.text } == [ids[800]])
        let reasons = decisions.first { $0["id"]?.text == ids[400] }?["reasons"]?.elements.compactMap(\.text) ?? []
        #expect(reasons.count == 1 && reasons.allSatisfy { $0.hasPrefix(period) }, "\(reasons)")
    }

    @Test func `of backups of one database lets those of all be`() async throws {
        try await Workplace.with { place in
            let all = try await place.backUp()
            var ofOne: [String] = []
            for _ in 0..<3 {
                let output = try await place.succeed("backup", "--exclude", "postgres", "--json")
                ofOne.append(try #require(output.json()["id"]?.text))
            }
            try await place.succeed("prune", "--last", "1", "--minimum", "1", "--apply")
            #expect(try await place.listed() == [all, ofOne[2]])
        }
    }

    @Test func `keeps the last verified backup and the minimum`() async throws {
        let (place, ids) = try await place(days: [30, 20, 3, 1])
        try await place.succeed("verify", ids[30] ?? "")
        try await place.succeed("prune", "--last", "1", "--minimum", "2", "--apply")
        #expect(try await place.listed() == [ids[30], ids[3], ids[1]])
    }

    @Test(arguments: [[-1, 2, 3], [100, 101, 102]])
    func `refuses a clock that cannot be right, unless told that it is`(days: [Int]) async throws {
        let (place, _) = try await place(days: days)
        let before = try place.contents()
        for arguments in [["prune", "--days", "1"], ["prune", "--days", "1", "--apply"]] {
            let output = try await place.tool.run(arguments + ["--json"])
            #expect(output.status == 1)
            let error = try output.json()["error"]
            #expect(error?["code"]?.text == "clock-implausible")
            #expect(error?["remedy"]?.text?.contains("--now-is-right") == true)
        }
        #expect(try await place.runs("prune") == ["refused"])
        #expect(try place.contents().filter { !$0.key.contains("/runs") } == before)
        try await place.succeed("prune", "--days", "1", "--minimum", "1", "--apply", "--now-is-right")
        #expect(try await place.listed().count < 3)
    }

    @Test func `after a pause is refused until somebody says once that the clock is right`() async throws {
        try await Workplace.with(retention: "{days: 60, minimum: 1, after_backup: true}") { place in
            let identifier = try #require(try await place.succeed("init", "--json").json()["systemIdentifier"]?.text)
            let crafted = try CraftedRepository(at: place.repository)
            for age in [90, 89, 16, 15, 14] {
                _ = try crafted.addBackup(
                    age: .seconds(age * Self.day), systemIdentifier: identifier, settings: settings(of: place))
            }
            let refused = try await place.tool.run("backup")
            #expect(refused.status == 1)
            #expect(refused.standardError.contains("(clock-implausible)"))
            #expect(refused.standardError.contains("run 'apex-backup prune --apply --now-is-right' once"))
            #expect(refused.standardError.contains(" is committed."))
            #expect(try await place.runs("backup") == ["succeeded"])
            #expect(try await place.runs("prune") == ["refused"])
            #expect(try await place.listed().count == 6)
            try await place.succeed("prune", "--apply", "--now-is-right")
            #expect(try await place.listed().count == 4)
            try await place.succeed("backup")
            #expect(try await place.runs("prune") == ["refused", "succeeded", "succeeded"])
        }
    }

    @Test func `runs after a backup when the policy says so, and only after one that succeeded`() async throws {
        try await Workplace.with(retention: "{days: 5, minimum: 1, after_backup: true}") { place in
            let identifier = try await place.succeed("init", "--json").json()["systemIdentifier"]?.text
            let crafted = try CraftedRepository(at: place.repository)
            // Not so long ago that the clock would seem to have jumped.
            let old = try [8, 7, 6].map { age in
                try crafted.addBackup(
                    age: .seconds(age * Self.day), systemIdentifier: #require(identifier), settings: settings(of: place)
                ).text
            }
            let failed = try await place.tool.run("backup", "--database", "no such database")
            #expect(failed.status == 1)
            #expect(try await place.listed() == old)
            #expect(try await place.runs("prune").isEmpty)
            let output = try await place.succeed("backup")
            #expect(output.standardOutput.contains("Removed 3 expired backups"))
            #expect(try await place.listed().count == 1)
            #expect(try await place.runs("prune") == ["succeeded"])
        }
    }
}
