import FoundationEssentials
import TestSupport
import Testing

@Suite struct `Wrong input` {
    /// Arguments, and the exit status and error code they end with.
    private static let cases: [(arguments: [String], status: Int32, code: String)] = [
        (["frobnicate"], 64, "usage"), (["list", "--frobnicate"], 64, "usage"), (["hold", "latest"], 64, "usage"),
        (["backup", "--kind", "physical", "--database", "a"], 64, "usage"), (["backup", "--full"], 64, "usage"),
        (["backup", "--jobs", "0"], 64, "usage"),
        (["backup", "--compression", "lz4"], 64, "usage"), (["backup", "--format", "tar"], 64, "usage"),
        (["backup", "--verify-dump", "no"], 64, "usage"), (["verify", "--all", "latest"], 64, "usage"),
        (["verify", "--level", "none"], 64, "usage"), (["prune", "--minimum", "0"], 64, "usage"),
        (["prune", "--last=-1"], 64, "usage"), (["prune", "--days", "many"], 64, "usage"),
        (["prune", "--apply", "--dry-run"], 64, "usage"), (["show", "yesterday's"], 64, "usage"),
        (["restore"], 64, "usage"), (["restore", "--to", "2025-01-27T14:30:00"], 64, "usage"),
        (["restore", "--to", "2025-01-27 14:30"], 64, "usage"), (["restore", "--to", "tomorrow"], 64, "usage"),
        (["restore", "--to", "latest", "--to", "2025-01-27T14:30:00Z"], 64, "usage"),
        (["restore", "--at", "latest", "--to", "0/3000148"], 64, "usage"),
        (["restore", "--to", "/var/lib/postgresql/15/main"], 1, "backup-missing"),
        (["restore", "--to", "/srv/new", "--database", "a"], 64, "usage"),
        (["restore", "--to", "postgresql:///a", "--into", "postgresql:///b"], 64, "usage"),
        (["restore", "--to", "mysql://h/db"], 64, "usage"),
        (["show", "20250101T000000Z-0000"], 1, "backup-missing"), (["verify"], 1, "backup-missing"),
        (["hold", "latest", "--reason", "why"], 1, "backup-missing"), (["drill", "show"], 1, "object-missing"),
        (["list", "--cluster", "other"], 1, "cluster-not-registered"),
        (["backup", "--cluster", "other"], 1, "cluster-not-registered"),
        (["prune", "--apply", "--cluster", "other"], 1, "cluster-not-registered"),
        (["list", "--cluster", "../escape"], 78, "settings"), (["list", "--policy", "/no/such.yaml"], 78, "settings"),
        (["list", "--repository", "file://relative"], 78, "settings"),
        (["list", "--repository", "file:///tmp/a#b"], 78, "settings"),
        (["list", "--repository", "file:///tmp/a?b"], 78, "settings"),
        (["list", "--repository", "file:///tmp/%00"], 78, "settings"),
        (["list", "--repository", "file:///tmp/%zz"], 78, "settings"),
        (["hold", "latest", "--reason", " "], 64, "usage"),
        (["list", "--repository", "ftp://host/"], 78, "settings"),
        (["list", "--repository", "s3://key:secret@bucket/prefix"], 78, "settings"),
        (["drill", "run", "/no/such.yaml"], 78, "settings"), (["drill", "plan", "/no/such.yaml"], 78, "settings"),
        (["list", "--repository", "file:///tmp"], 1, "repository-missing"),
        (["list", "--repository", "file:///no/such/place"], 1, "repository-missing"),
    ]

    @Test func `of a command that a server runs is neither success nor the end of the WAL`() async throws {
        let cases: [([String], Int32)] = [
            (["wal", "push", "-h", "db1", "pg_wal/x"], 64), (["wal", "push", "--version", "pg_wal/x"], 64),
            (["wal", "get", "-h", "db1", "x", "y"], 126), (["wal", "get", "--help", "x", "y"], 126),
            (["wal", "--policy", "p", "get", "x", "y"], 126), (["--policy", "p", "wal", "get", "x", "y"], 126),
        ]
        let tool = try CommandLineTool.apexBackup()
        for (arguments, status) in cases {
            let output = try await tool.run(arguments)
            #expect(output.status == status && output.standardOutput.isEmpty, "\(arguments): \(output)")
        }
    }

    @Test func `gives one clear error with the right exit status, and changes nothing`() async throws {
        try await Workplace.with { place in
            // An attempt that is refused leaves its record, and nothing else.
            func contents() throws -> [String: [UInt8]] { try place.contents().filter { !$0.key.contains("/runs") } }
            let before = try contents()
            for (arguments, status, code) in Self.cases {
                let json = try await place.tool.run(arguments + ["--json"])
                #expect(json.status == status, "\(arguments)")
                #expect(json.standardError.isEmpty, "\(arguments): \(json.standardError)")
                let error = try json.json()["error"]
                #expect(error?["code"]?.text == code, "\(arguments)")
                #expect(error?["exitStatus"]?.number == Double(status), "\(arguments)")
                #expect(error?["message"]?.text?.isEmpty == false, "\(arguments)")
                #expect(error?["remedy"]?.text?.isEmpty == false, "\(arguments)")

                let text = try await place.tool.run(arguments)
                #expect(text.status == status, "\(arguments)")
                #expect(text.standardOutput.isEmpty, "\(arguments): \(text.standardOutput)")
                #expect(!text.standardError.isEmpty, "\(arguments)")
                let message = error?["message"]?.text ?? ""
                if code == "usage" && text.standardError.hasPrefix("Error: ") {
                    #expect(text.standardError.contains("Usage: apex-backup"), "\(arguments)")
                } else {
                    #expect(text.standardError.contains("apex-backup: error: \(message)"), "\(arguments)")
                    #expect(text.standardError.contains("(\(code))"), "\(arguments)")
                    #expect(text.standardError.contains("\n  do:   "), "\(arguments)")
                }
            }
            let after = try contents()
            #expect(Set(after.keys) == Set(before.keys))
            for (name, bytes) in before { #expect(after[name] == bytes, "\(name)") }
        }
    }

    @Test func `of a time without an offset shows what it could mean`() async throws {
        try await Workplace.with { place in
            let output = try await place.tool.run("restore", "--to", "2025-01-27T14:30:00")
            #expect(output.standardError.contains("2025-01-27T14:30:00Z"))
            #expect(output.standardError.contains("+02:00"))
        }
    }

    private static let policies: [(line: String, words: [String])] = [
        ("retension: {days: 3}", ["policy.yaml:4:1", "'retension'", "retention"]),
        ("retention: {dayz: 3}", ["policy.yaml:4:", "'dayz'", "days"]),
        ("objectives: {rto: 240, rpo: 15m}", ["policy.yaml:4:", "240"]),
        ("objectives: {rto: 4 hours}", ["policy.yaml:4:"]),
        ("retention: {days: soon}", ["policy.yaml:4:"]),
        ("cluster: {url: \"postgresql://u:geheimnis@h/db\"}", ["policy.yaml:4:", "env:"]),
        ("repository: [", ["policy.yaml:"]),
    ]

    @Test func `in a policy is shown with line, column and what was meant`() async throws {
        try await Workplace.with { place in
            for (line, words) in Self.policies {
                try place.write(
                    "apiVersion: apex-backup/v1\nkind: BackupPolicy\nmetadata: {name: apex}\n\(line)\n",
                    to: "policy.yaml")
                let output = try await place.tool.run("list")
                #expect(output.status == 78, "\(line)")
                for word in words { #expect(output.standardError.contains(word), "\(line): \(output.standardError)") }
                #expect(!output.standardError.contains("geheimnis"))
                #expect(output.standardOutput.isEmpty)
            }
        }
    }

    @Test func `in a variable is shown as a wrong setting`() async throws {
        try await Workplace.with { place in
            for expiry in ["60", "0s", "soon"] {
                var tool = place.tool
                tool.environment["APEX_BACKUP_LEASE_EXPIRY"] = expiry
                let output = try await tool.run("backup", "--json")
                #expect(output.status == 78)
                #expect(try output.json()["error"]?["message"]?.text?.contains("APEX_BACKUP_LEASE_EXPIRY") == true)
            }
            var tool = place.tool
            tool.environment["APEX_BACKUP_LEASE_EXPIRY"] = ""
            #expect(try await tool.run("list").status == 0)
            tool.environment["APEX_DATABASE_URL"] = ""
            tool.environment["APEX_BACKUP_POLICY"] = ""
            #expect(try await tool.run("backup").status == 78)
            tool.environment["APEX_DATABASE_URL"] = "mysql://h/db"
            #expect(try await tool.run("backup").status == 78)
            #expect(try await place.runs("backup") == ["refused", "refused"])
            tool.environment["APEX_BACKUP_REPOSITORY"] = ""
            #expect(try await tool.run("list").status == 78)
        }
    }
}
