import FoundationEssentials
import TestSupport
import Testing

@Suite struct `What was done` {
    @Test func `is listed with the fields that scripts rely on, and climbs the ladder`() async throws {
        try await Workplace.with { place in
            let id = try await place.backUp()
            func state() async throws -> String? { try await place.array("list").first?["state"]?.text }
            let listed = try #require(try await place.array("list").first)
            #expect(listed["id"]?.text == id)
            #expect(listed["kind"]?.text == "logical")
            #expect(listed["state"]?.text == "committed")
            for field in ["recoveryPoint", "seconds", "contentBytes", "storedBytes", "bytesPerSecond", "warnings"] {
                #expect(listed[field] != nil, "\(field)")
            }
            #expect(listed["rows"]?.number == 50)
            try await place.succeed("verify")
            #expect(try await state() == "verified")
            let copy = "\(place.database)_copy"
            try await place.succeed("restore", "--to", place.cluster.url(copy))
            try await place.cluster.execute("DROP DATABASE \(copy)")
            #expect(try await state() == "restored")
            try place.writeDrill(checks: ["{id: rows, type: rows}"])
            try await place.succeed("drill", "run", place.path("drill.yaml"))
            #expect(try await state() == "drilled")
            let told = try await place.succeed("list")
            let text = told.standardOutput
            #expect(text.hasPrefix("BACKUP ") && text.contains("\(id)  logical  drilled"))
            for word in ["RECOVERY POINT", "STORED", "TOOK", "RATE", "/s"] { #expect(text.contains(word)) }
            #expect(told.standardError.contains("A failure now would lose what was committed in the last "))
            #expect(told.standardError.contains("(RTO 4 h: met)"), "\(told.standardError)")
            let details = try await place.succeed("show").standardOutput.split(separator: "\n").map { $0.prefix(16) }
            for name in ["State", "Took", "Content", "Stored", "Rate", "Verified", "Restored", "Drilled"] {
                #expect(details.contains { $0.hasPrefix(name) }, "\(name)")
            }
            let shown = try await place.succeed("show", "--json").json()
            #expect(shown["backup"]?["id"]?.text == id)
            #expect(
                shown["facts"]?.elements.compactMap { $0["kind"]?.text } == [
                    "verified", "restored", "restored", "drilled",
                ])
            #expect(shown["manifest"]?["cluster"]?.text == "apex")
        }
    }

    @Test func `counts for the objectives only if it holds what the policy says`() async throws {
        let place = try Workplace(try await PostgresCluster.shared(), database: "orders")
        let crafted = try CraftedRepository(at: place.repository)
        func settings(_ databases: String) -> [String: String] {
            ["databases": databases, "exclude": "", "globals": "\(place.globals)"]
        }
        try crafted.addBackup(age: .seconds(20), chance: 1, settings: settings("'audit'"))
        let none = try await place.succeed("list").standardError
        #expect(
            none.contains("A failure now would lose what no backup holds: there is no undamaged backup of all that"))
        try crafted.addBackup(age: .seconds(2 * 86_400), chance: 2, settings: settings("'orders'"))
        let old = try await place.succeed("list").standardError
        #expect(old.contains("in the last 2 d (RPO 15 min: missed)"), "\(old)")
        try crafted.addBackup(age: .seconds(10), chance: 3, settings: settings("'orders'"))
        let new = try await place.succeed("list").standardError
        #expect(new.contains("(RPO 15 min: met)"), "\(new)")
    }

    /// What a policy names, what a backup was taken of and holds, and what it lacks.
    private struct Choice {
        var policy: String
        var taken: (databases: String, exclude: String, globals: Bool)
        var holds: [String]?
        var lack: String?
    }

    private static let choices = [
        Choice(policy: "{databases: [orders], globals: false}", taken: ("'audit', 'orders'", "", true), holds: both),
        Choice(policy: "{databases: [audit, orders], globals: false}", taken: ("all", "'crm'", false), holds: both),
        Choice(
            policy: "{databases: [audit, orders], exclude: [audit], globals: false}", taken: ("'orders'", "", false),
            holds: ["orders"]),
        Choice(policy: "{exclude: [audit, \"it's\", crm]}", taken: ("all", "'crm', 'it''s'", true), holds: both),
        Choice(policy: "{globals: false}", taken: ("all", "", true), holds: both),
        Choice(
            policy: "{databases: [audit, crm, orders]}", taken: ("'audit', 'orders'", "", false), holds: both,
            lack: "without the database 'crm', without roles and tablespaces"),
        Choice(
            policy: "{databases: [a, b, c, d, orders]}", taken: ("all", "", true), holds: both,
            lack: "without the databases 'a', 'b', 'c' and 1 more"),
        Choice(
            policy: "{databases: [audit]}", taken: ("all", "", true), holds: nil,
            lack: "what it holds is not known: The manifest of backup "),
        Choice(
            policy: "{databases: all}", taken: ("'audit', 'orders'", "", true), holds: both,
            lack: "taken of chosen databases, not of all"),
        Choice(
            policy: "{exclude: [audit]}", taken: ("all", "'crm'", true), holds: both,
            lack: "taken without databases that the policy does not exclude"),
    ]
    private static let both = ["audit", "orders"]

    @Test(arguments: choices.indices)
    func `counts for the objectives if it holds at least what the policy says, and else is named`(
        index: Int
    ) async throws {
        let choice = Self.choices[index]
        let place = try Workplace(try await PostgresCluster.shared(), database: "unused")
        try place.write(
            """
            apiVersion: apex-backup/v1
            kind: BackupPolicy
            metadata: {name: apex}
            backup: {logical: \(choice.policy)}
            """, to: "policy.yaml")
        let id = try CraftedRepository(at: place.repository).addBackup(
            age: .seconds(20),
            settings: [
                "databases": choice.taken.databases, "exclude": choice.taken.exclude,
                "globals": "\(choice.taken.globals)",
            ], databases: choice.holds)
        let told = try await place.succeed("list").standardError
        #expect(told.contains("(RPO 15 min: met)") == (choice.lack == nil), "\(told)")
        #expect(told.contains("Not counted") == (choice.lack != nil), "\(told)")
        if let lack = choice.lack { #expect(told.contains("Not counted: \(id) (\(lack)"), "\(told)") }
    }

    @Test func `and what failed, was refused or was damaged stays visible`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            _ = try await place.tool.run("backup", "--database", "no such database")
            let folder = "repository/clusters/apex/backups/\(try await place.listed()[0])"
            let name = try #require(
                try place.directory.contents().first { $0.hasPrefix("\(folder)/db-") })
            var bytes = try place.directory.read(name)
            bytes[bytes.count / 2] ^= 1
            try place.directory.write(bytes, to: name)
            let verified = try await place.tool.run("verify", "--all", "--json")
            #expect(verified.status == 1)
            let problems = try verified.json().elements.first?["problems"]?.elements ?? []
            #expect(problems.first?["code"]?.text == "object-damaged")
            let runs = try await place.array("list", "--runs")
            #expect(runs.map { $0["state"]?.text } == ["succeeded", "failed", "failed"])
            #expect(runs.map { $0["start"]?["operation"]?.text } == ["backup", "backup", "verify"])
            #expect(runs[1]["end"]?["error"]?["message"]?.text?.contains("no such database") == true)
            #expect(runs.allSatisfy { $0["id"]?.text != nil && $0["end"]?["exitStatus"]?.number != nil })
            let text = try await place.succeed("list", "--runs").standardOutput
            #expect(text.contains("  failed"))
            let listed = try await place.array("list").first
            #expect(listed?["warnings"]?.elements.first?.text?.contains("verification failed") == true)
        }
    }

    private static let names = [
        "-rf", "a/b", "it's \"quoted\"", "line\nfeed", "red\u{1B}[31m", "bell\u{7}\r", "Größe", "app", "App",
        "app_test",
    ]

    @Test func `is printed so that no name can pass for anything else`() async throws {
        let cluster = try await PostgresCluster.shared()
        let directory = try TemporaryDirectory()
        let suffix = " \(directory.path.suffix(6))"
        let names = Self.names.map { $0 + suffix }
        let place = try Workplace(cluster, database: "postgres")
        try await place.succeed("init")
        var failure: (any Error)?
        do {
            for name in names {
                try await cluster.execute("CREATE DATABASE \(quoted(name)) TEMPLATE template0")
            }
            let arguments = ["backup"] + names.map { "--database=\($0)" }
            let backup = try await place.tool.run(arguments)
            #expect(backup.status == 0, "\(backup.standardError)")
            let shown = try await place.succeed("show").standardOutput
            #expect(shown.split(separator: "\n").count { $0.hasPrefix("Database ") } == names.count)
            #expect(!shown.contains("\nfeed"))
            let missing = try await place.tool.run("backup", "--database", "no\u{1B}[2Jsuch\ndatabase")
            for text in [shown, backup.standardOutput, missing.standardError] {
                let controls = text.unicodeScalars.filter { $0.properties.generalCategory == .control && $0 != "\n" }
                #expect(controls.isEmpty, "\(text.debugDescription)")
            }
            let json = try await place.succeed("show", "--json").json()
            let printed = json["manifest"]?["databases"]?.elements.compactMap { $0["name"]?.text } ?? []
            #expect(Set(printed) == Set(names))
            try await place.succeed("verify", "--all", "--level", "deep")
        } catch {
            failure = error
        }
        for name in names { try await cluster.execute("DROP DATABASE IF EXISTS \(quoted(name)) WITH (FORCE)") }
        if let failure { throw failure }
    }

    private func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }
}
