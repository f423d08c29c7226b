import FoundationEssentials
import TestSupport
import Testing

@Suite struct `Init` {
    @Test func `makes a repository, and repeated changes nothing`() async throws {
        try await Workplace.with(initialized: false) { place in
            #expect(try await place.tool.run("list").status == 1)
            let first = try await place.succeed("init", "--json").json()
            #expect(first["isNew"] == .bool(true))
            #expect(first["cluster"]?.text == "apex")
            let before = try place.contents()
            let second = try await place.succeed("init", "--json").json()
            #expect(second["isNew"] == .bool(false))
            #expect(second["repositoryID"] == first["repositoryID"])
            #expect(try place.contents() == before)
            let text = try await place.succeed("init")
            #expect(text.standardOutput.hasPrefix("Found the repository \(place.repository)"))
            #expect(try await place.listed().isEmpty)
        }
    }

    @Test func `tries out whether the storage keeps what backups rely on`() async throws {
        try await Workplace.with(initialized: false) { place in
            let checked = try await place.succeed("init", "--check")
            #expect(checked.standardOutput.hasSuffix("The storage keeps every promise that was tried.\n"))
            #expect(try !place.contents().keys.contains { $0.hasPrefix("repository/check") })
        }
    }

    @Test func `refuses a directory that holds something else, and leaves it as it was`() async throws {
        try await Workplace.with(initialized: false) { place in
            try place.write("dear diary", to: "repository/diary.txt")
            let output = try await place.tool.run("init")
            #expect(output.status == 1)
            #expect(output.standardError.contains("is not empty and is not a repository: it holds 'diary.txt'"))
            #expect(output.standardError.contains("Nothing was written."))
            #expect(try place.directory.contents().filter { $0.hasPrefix("repository/") } == ["repository/diary.txt"])
        }
    }

    @Test func `leaves no other command a directory that is no repository`() async throws {
        try await Workplace.with(initialized: false) { place in
            try place.write("dear diary", to: "repository/clusters/apex/backups/20250101T000000Z-0000/manifest.json")
            let before = try place.contents()
            for arguments in [
                ["backup"], ["list"], ["show"], ["verify", "--all"], ["restore", "--to", place.cluster.url("other")],
                ["prune", "--apply", "--last", "1"], ["hold", "latest", "--reason", "r"], ["drill", "list"],
            ] {
                let output = try await place.tool.run(arguments + ["--json"])
                #expect(output.status == 1, "\(arguments)")
                #expect(try output.json()["error"]?["code"]?.text == "repository-missing", "\(arguments)")
            }
            #expect(try place.contents() == before)
        }
    }

    @Test func `registers a second cluster beside the first`() async throws {
        try await Workplace.with { place in
            _ = try await place.backUp()
            try await place.succeed("init", "--cluster", "staging")
            #expect(try await place.listed().count == 1)
            #expect(try await place.array("list", "--cluster", "staging").isEmpty)
        }
    }

    @Test func `says what the role lacks`() async throws {
        let guarded = try await GuardedCluster.shared()
        let directory = try TemporaryDirectory()
        let tool = try CommandLineTool.apexBackup()
        let output = try await tool.run(
            "init", "--repository", "file://\(directory.path(of: "repository"))", "--json",
            guarded.cluster.url("app", user: "modest"))
        let needs = try output.json()["needs"]?.elements.compactMap(\.text) ?? []
        #expect(output.status == 0)
        #expect(
            needs.contains {
                $0.contains("GRANT pg_read_all_data TO modest") && $0.contains("\"passwords missing\"")
            }, "\(needs)")
        #expect(needs.contains { $0.contains("ALTER ROLE modest BYPASSRLS") }, "\(needs)")
        #expect(needs.contains { $0.contains("GRANT SELECT ON LARGE OBJECT oid TO modest") }, "\(needs)")
        #expect(needs.contains { $0.contains(#"GRANT CONNECT ON DATABASE "closed" TO modest"#) }, "\(needs)")
        #expect(!needs.contains { $0.contains(#"ON DATABASE "app""#) }, "\(needs)")
        #expect(needs.contains { $0.contains("Subscriptions") }, "\(needs)")
        #expect(needs.contains { $0.contains(#"ALTER ROLE "modest" REPLICATION;"#) }, "\(needs)")
        #expect(needs.contains { $0.contains(#"GRANT pg_monitor TO "modest";"#) }, "\(needs)")
        #expect(needs.contains { $0.contains("pg_create_restore_point(text) TO") }, "\(needs)")
        let superuser = try await tool.run(
            "init", "--repository", "file://\(directory.path(of: "repository"))", "--json", guarded.cluster.url("app"))
        #expect(try superuser.json()["needs"]?.elements.isEmpty == true)
    }

    @Test(arguments: [("postgresql://h@127.0.0.1:1/app", Int32(1)), ("mysql://h/db", 78), ("", 78)])
    func `makes nothing for a server that does not answer, or is not named`(url: String, status: Int32) async throws {
        try await Workplace.with(initialized: false) { place in
            var tool = place.tool
            tool.environment["APEX_DATABASE_URL"] = url
            let output = try await tool.run("init")
            #expect(output.status == status)
            #expect(try place.contents().isEmpty)
        }
    }

    @Test func `records another system identifier only when told to`() async throws {
        let other = try await GuardedCluster.shared().cluster
        try await Workplace.with { place in
            let first = try await place.backUp()
            let url = other.url("app")
            for arguments in [["init"], ["backup", "--database", "app"]] {
                let before = try place.contents().filter { !$0.key.contains("/runs/") && !$0.key.contains("/lease/") }
                let output = try await place.tool.run(arguments + [url, "--json"])
                #expect(output.status == 1)
                let error = try output.json()["error"]
                #expect(error?["code"]?.text == "wrong-cluster")
                #expect(error?["remedy"]?.text?.contains("--new-cluster-incarnation") == true)
                let after = try place.contents().filter { !$0.key.contains("/runs/") && !$0.key.contains("/lease/") }
                #expect(after == before, "\(arguments)")
            }
            #expect(try await place.runs("backup") == ["succeeded", "refused"])
            try await place.succeed("init", "--new-cluster-incarnation", url)
            try await place.succeed("backup", "--database", "app", url)
            let identifiers = try await place.array("list").compactMap { $0["systemIdentifier"]?.text }
            #expect(Set(identifiers).count == 2)
            // Retention judges each by itself: the newest of the old cluster stays.
            let plan = try await place.succeed("prune", "--last", "1", "--minimum", "1", "--json").json()
            #expect(plan["decisions"]?.elements.allSatisfy { $0["action"]?.text == "keep" } == true)
            #expect(try await place.listed().contains(first))
        }
    }
}
