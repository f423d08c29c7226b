import FoundationEssentials
import TestSupport
import Testing

/// A repository in a real object store, by the program itself.
@Suite(.serialized, .needsPhysicalBackups, .needsObjectStores, .timeLimit(.minutes(30)))
struct `A repository in an object store` {
    @Test func `serves every command as a directory does`() async throws {
        try await ArchivingCluster.with(store: try await ObjectStore.seaweedFS()) { place in
            let cluster = place.cluster
            let checked = try await place.succeed("init", "--check", "--json").json()
            #expect(checked["isNew"] == .bool(false))
            #expect(checked["storageViolations"] == .array([]))
            #expect(checked["repository"]?.text?.hasPrefix("s3://apex/") == true)

            try await cluster.execute("CREATE TABLE t (n int)")
            func backUp(_ kind: String) async throws -> String {
                try #require(try await place.succeed("backup", "--kind", kind, "--json").json()["id"]?.text)
            }
            let first = try await backUp("logical")
            let physical = try await backUp("physical")
            let segment = try await place.writeSegment(rows: 3)
            try await place.waitUntilArchived(segment)
            let second = try await backUp("logical")
            try await place.succeed("verify", "--all", "--level", "deep")
            try await place.succeed("wal", "index")
            #expect(try await place.succeed("wal", "status").standardOutput.contains(": ok"))
            try await checkDoctor(place)
            try await checkSegments(segment, place)

            #expect(try await place.recovered("--to", "latest", "--stage-wal") == "1 2 3")
            try await place.succeed(
                "restore", second, "--database", "postgres", "--to", cluster.url("copy"))
            #expect(try await cluster.answer("SELECT count(*) FROM t", database: "copy") == "3")

            let pruned = try await place.succeed(
                "prune", "--last", "1", "--minimum", "1", "--apply", "--json"
            ).json()
            #expect(pruned["removed"]?.elements.compactMap(\.text) == [first])
            let left = try await place.succeed("list", "--json").json().elements
            #expect(left.compactMap { $0["id"]?.text } == [physical, second])
        }
    }

    /// The store is one of the findings, and the promises that it keeps.
    private func checkDoctor(_ place: ArchivingCluster) async throws {
        let findings = try await place.tool.run("doctor", "--check-storage", "--no-round-trip", "--json").json()
        func level(_ code: String) -> String? {
            findings.elements.first { $0["code"]?.text == code }?["level"]?.text
        }
        #expect(level("repository") == "ok")
        #expect(level("object-store") == "ok")
        #expect(level("storage-contract") == "ok")
    }

    /// `wal get` tells what is absent from what is not known, in an object store too.
    private func checkSegments(_ segment: String, _ place: ArchivingCluster) async throws {
        let identifier = try #require(
            try await place.cluster.answer("SELECT system_identifier FROM pg_control_system()"))
        func get(
            _ name: String, with variables: [String: String] = [:], _ more: String...
        ) async throws -> CommandLineTool.Output {
            var tool = place.tool
            tool.environment.merge(variables) { $1 }
            return try await tool.run(
                ["wal", "get", "--mode", "recovery", "--prefetch", "0", "--system-identifier", identifier] + more
                    + [name, "\(place.cluster.directory)/brought"])
        }
        #expect(try await get(segment).status == 0)
        #expect(try await get("0000000100000000000000FF").status == 1)
        let stranger = ["AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "s3cret-of-nobody"]
        let refused = try await get("0000000100000000000000FF", with: stranger)
        #expect(refused.status == 126)
        #expect(refused.standardError.contains("InvalidAccessKeyId"))
        #expect(!refused.standardError.contains("s3cret-of-nobody"))
    }
}
