import TestSupport
import Testing

@Suite struct `A server that cannot be used` {
    private static let secret = "hunter2-wrong"

    private struct Case: Sendable {
        var name: String
        var url: String
        var code: String
        var words: [String]
        /// The state of a backup's run record.
        var end = "failed"
    }

    private func cases() async throws -> [Case] {
        let guarded = try await GuardedCluster.shared()
        let cluster = guarded.cluster
        return [
            Case(
                name: "wrong password", url: cluster.url("app", user: "locked", password: Self.secret),
                code: "authentication-failed", words: ["28P01", "locked@"]),
            Case(
                name: "no password", url: cluster.url("app", user: "locked"), code: "authentication-failed",
                words: ["asks for a password", "PGPASSFILE"]),
            Case(
                name: "no such host", url: "postgresql://app:\(Self.secret)@no-such-host.invalid/app",
                code: "server-unreachable", words: ["no-such-host.invalid"]),
            Case(
                name: "nobody listens", url: "postgresql://app:\(Self.secret)@127.0.0.1:1/app",
                code: "server-unreachable", words: ["127.0.0.1:1"]),
            Case(
                name: "no such database", url: cluster.url("nothing", password: Self.secret), code: "server-refused",
                words: ["no such database", "3D000"]),
            Case(
                name: "may not connect", url: cluster.url("closed", user: "outsider"), code: "permission-denied",
                words: ["42501", "CONNECT"]),
            Case(
                name: "a pooler", url: guarded.pooledURL, code: "pooled-connection",
                words: ["connection pooler", "6432"], end: "refused"),
        ]
    }

    @Test func `is named with the reason and what to do, and no password is told`() async throws {
        let cases = try await cases()
        try await Workplace.with { place in
            for bad in cases {
                for command in [["init"], ["backup"]] {
                    let name = "\(bad.name), \(command[0])"
                    var tool = place.tool
                    tool.environment["APEX_DATABASE_URL"] = bad.url
                    let json = try await tool.run(command + ["--json"])
                    let error = try json.json()["error"]
                    #expect(json.status == 1, "\(name)")
                    #expect(error?["code"]?.text == bad.code, "\(name)")
                    let text = try await tool.run(command)
                    #expect(text.status == 1 && text.standardOutput.isEmpty, "\(name)")
                    for word in bad.words {
                        #expect(text.standardError.contains(word), "\(name): \(text.standardError)")
                    }
                    #expect(text.standardError.contains("  do:   "), "\(name)")
                    #expect(!(text.standardError + json.standardOutput).contains(Self.secret), "\(name)")
                }
            }
            #expect(try await place.listed().isEmpty)
            let states = try await place.runs("backup")
            #expect(states == cases.flatMap { [$0.end, $0.end] })
            for (file, bytes) in try place.contents() {
                #expect(!String(decoding: bytes, as: UTF8.self).contains(Self.secret), "\(file)")
            }
        }
    }

    @Test func `for lack of rights on a table fails the backup with the table's name`() async throws {
        let cluster = try await GuardedCluster.shared().cluster
        try await Workplace.with { place in
            let url = cluster.url("app", user: "modest")
            try await place.succeed("init", "--new-cluster-incarnation", url)
            let output = try await place.tool.run("backup", "--database", "app", url)
            #expect(output.status == 1)
            #expect(output.standardError.contains("permission denied for table t"), "\(output.standardError)")
            #expect(output.standardError.contains("GRANT pg_read_all_data TO modest;"), "\(output.standardError)")
            #expect(output.standardError.contains("No backup was committed"))
            #expect(try await place.listed().isEmpty)
        }
    }
}

@Suite struct `A password` {
    @Test func `stands in no command line, no output and no file`() async throws {
        let guarded = try await GuardedCluster.shared()
        try await Workplace.with(globals: true) { place in
            try place.stage(
                "pg_dump", "pg_dumpall", "pg_restore", "psql", "vacuumdb",
                script: "{ tr '\\0' ' ' </proc/$$/cmdline; echo; } >>\(place.path("argv"))")
            var tool = place.tool
            tool.environment["APEX_DATABASE_URL"] =
                guarded.cluster.url("app", user: "locked", password: GuardedCluster.encodedPassword)
            tool.environment["TARGET"] = guarded.cluster.url(
                "app_copy", user: "locked", password: GuardedCluster.encodedPassword)
            var told = try await tool.run("init", "--new-cluster-incarnation").standardOutput
            let backup = try await tool.start(["backup", "--database", "app", "--format", "plain"])
            var seen: Set<String> = []
            let ended = await eventually {
                seen.formUnion(backup.descendants().flatMap(\.commandLine))
                return backup.hasEnded
            }
            #expect(ended)
            let output = try await backup.output()
            #expect(output.status == 0, "\(output.standardError)")
            told += output.standardOutput + output.standardError
            try place.write(
                """
                apiVersion: apex-backup/v1
                kind: BackupPolicy
                metadata: {name: apex}
                cluster: {url: "env:APEX_DATABASE_URL", bin: "\(place.path("bin"))"}
                repository: file:///overridden
                restore: {into: "env:TARGET"}
                """, to: "policy.yaml")
            let restore = try await tool.run("restore")
            #expect(restore.status == 0, "\(restore.standardError)")
            told += restore.standardOutput + restore.standardError
            told += try await tool.run("list", "--runs", "--json").standardOutput
            told += try await tool.run("show", "--json").standardOutput

            let commandLines = String(decoding: try place.directory.read("argv"), as: UTF8.self) + seen.joined()
            for program in ["pg_dump", "pg_dumpall", "psql"] { #expect(commandLines.contains("/\(program) ")) }
            for secret in [GuardedCluster.password, GuardedCluster.encodedPassword, "geheim"] {
                #expect(!commandLines.contains(secret))
                #expect(!told.contains(secret))
                for (file, bytes) in try place.contents() {
                    #expect(!String(decoding: bytes, as: UTF8.self).contains(secret), "\(file)")
                }
            }
            #expect(try await guarded.cluster.answer("SELECT count(*) FROM t", database: "app_copy") == "50")
            try await guarded.cluster.execute("DROP DATABASE app_copy WITH (FORCE)")
        }
    }
}
