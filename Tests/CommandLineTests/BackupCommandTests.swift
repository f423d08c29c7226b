import TestSupport
import Testing

@Suite struct `What backup is asked for` {
    @Test func `its options reach the dump and its manifest, and win over the policy`() async throws {
        try await Workplace.with { place in
            func taken(_ arguments: String...) async throws -> (settings: JSONValue?, databases: [String]) {
                let id = try await place.tool.run(["backup", "--json"] + arguments).json()["id"]?.text ?? ""
                let manifest = try await place.succeed("show", id, "--json").json()["manifest"]
                return (manifest?["settings"], manifest?["databases"]?.elements.compactMap { $0["name"]?.text } ?? [])
            }
            let usual = try await taken()
            #expect(usual.databases == [place.database])
            let defaults = [
                "format": "custom", "compression": "gzip:2", "verify_dump": "full", "counts": "stream",
                "globals": "false", "databases": "'\(place.database)'", "exclude": "",
            ]
            for (name, value) in defaults { #expect(usual.settings?[name]?.text == value, "\(name)") }

            let other = try await taken(
                "--format", "plain", "--compression", "zstd:3", "--verify-dump", "list", "--counts", "server", "--jobs",
                "1", "--database", place.database, "--database", "postgres", "--exclude", "postgres")
            #expect(other.databases == [place.database])
            let chosen = [
                "format": "plain", "compression": "zstd:3", "verify_dump": "list", "counts": "server",
                "databases": "'postgres', '\(place.database)'", "exclude": "'postgres'",
            ]
            for (name, value) in chosen { #expect(other.settings?[name]?.text == value, "\(name)") }
            try await place.succeed("verify", "--all", "--level", "deep")
        }
    }
}
