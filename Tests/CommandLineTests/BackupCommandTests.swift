import TestSupport
import Testing

@Suite struct `What backup is asked for` {
    @Test func `its options reach the dump and its manifest, and win over the policy`() async throws {
        try await Workplace.with { place in
            func taken(_ arguments: String...) async throws -> (
                settings: JSONValue?, databases: [String], warnings: [String]
            ) {
                let id = try await place.tool.run(["backup", "--json"] + arguments).json()["id"]?.text ?? ""
                let manifest = try await place.succeed("show", id, "--json").json()["manifest"]
                let databases = manifest?["databases"]?.elements.compactMap { $0["name"]?.text } ?? []
                let warnings = manifest?["warnings"]?.elements.compactMap(\.text) ?? []
                return (manifest?["settings"], databases, warnings)
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
                "1", "--database", place.database, "--database", "postgres", "--exclude", "postgres", "--exclude",
                "typo")
            #expect(other.databases == [place.database] && usual.warnings.isEmpty)
            #expect(
                other.warnings == ["'typo' is excluded, and the server has no such database that would be dumped"])
            let chosen = [
                "format": "plain", "compression": "zstd:3", "verify_dump": "list", "counts": "server",
                "databases": "'postgres', '\(place.database)'", "exclude": "'postgres', 'typo'",
            ]
            for (name, value) in chosen { #expect(other.settings?[name]?.text == value, "\(name)") }
            try await place.succeed("verify", "--all", "--level", "deep")
        }
    }

    @Test func `is not changed by what the caller's environment says of sessions of his own`() async throws {
        try await Workplace.with(globals: true) { place in
            try await place.cluster.execute("CREATE TABLE words AS SELECT '日本' AS word", database: place.database)
            var tool = place.tool
            tool.environment["PGOPTIONS"] = "-c statement_timeout=1 -c lock_timeout=1"
            tool.environment["PGCLIENTENCODING"] = "LATIN1"
            let output = try await tool.run("backup", "--json")
            #expect(output.status == 0, "\(output.standardOutput)")
            try await place.succeed("verify", "--level", "deep")
        }
    }

    @Test func `ends with one clear error where too few files may be open`() async throws {
        try await Workplace.with { place in
            var shell = CommandLineTool(executable: "/bin/sh", environment: place.tool.environment)
            shell.environment["TOOL"] = place.tool.executable
            let output = try await shell.run("-c", "ulimit -n 24; exec \"$TOOL\" backup")
            #expect(output.status == 78)
            #expect(output.standardError.contains("may not open enough files: 24"), "\(output.standardError)")
            #expect(try await place.listed().isEmpty)
        }
    }
}
