import BackupModel
import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

/// `doctor`, on servers that are set up well and badly.
@Suite(.serialized) struct `Doctor` {
    private func findings(_ output: CommandLineTool.Output) throws -> [Finding] {
        try output.json().elements.map { Finding($0) }
    }

    /// Expects a finding and executes its statements.
    private func mend(
        _ code: String, _ level: String, of found: [Finding], at place: ArchivingCluster,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let finding = try #require(
            found.first { $0.code == code && $0.level == level }, "\(found)", sourceLocation: sourceLocation)
        try #require(!finding.statements.isEmpty, sourceLocation: sourceLocation)
        for statement in finding.statements { try await place.cluster.execute(statement) }
    }

    @Test(.needsPhysicalBackups)
    func `finds nothing where WAL is archived well, and each setting that is wrong, with the statement that mends it`()
        async throws
    {
        try await ArchivingCluster.with { place in
            let server = place.cluster
            try await server.execute("ALTER SYSTEM SET archive_timeout = '60s'")
            try await server.execute("SELECT pg_reload_conf()")
            try await place.succeed("backup", "--kind", "physical", "--jobs", "1")
            func isWell() async throws -> Bool {
                try await place.tool.run("doctor", "--no-storage-check", "--wait", "5m").status == 0
            }

            let well = try await place.tool.run("doctor", "--json", "--wait", "5m")
            #expect(well.status == 0, "\(well.standardOutput)")
            #expect(try findings(well).contains { $0.code == "storage-contract" && $0.level == "ok" })
            #expect(!FileManager.default.fileExists(atPath: "\(place.repository)/check"))
            let proved = try findings(well).first { $0.code == "archive-round-trip" }
            let segment = try #require(proved?.found.firstMatch(of: /[0-9A-F]{24}/)).output
            #expect(proved?.level == "ok")
            let path = try place.path(of: String(segment))
            #expect(FileManager.default.fileExists(atPath: path))
            let text = try await place.succeed("doctor", "--no-storage-check", "--no-round-trip").standardOutput
            #expect(
                text.contains("ok       archive-command-path: archive_command names its program by its absolute path"))
            #expect(text.contains("note     archive-round-trip: No segment was sent through the archive"))

            let other = "\(server.directory)/other"
            var owner = place.tool
            owner.userName = "postgres"
            #expect(try await owner.run("init", "--repository", other).status == 0)
            try FileManager.default.createSymbolicLink(
                atPath: "\(server.directory)/linked", withDestinationPath: place.tool.executable)
            let push = "wal push --policy \(place.policy) %p"
            let cases: [(String, String, [(String, String)])] = [
                ("archive_command = '/bin/true'", "archive-command", [("archive-command", "error")]),
                (
                    "archive_command = '../linked \(push)'", "archive-command-path",
                    [("archive-command-path", "warning")]
                ),
                (
                    "archive_command = '\(place.command("\(push) --repository \(other)"))'",
                    "archive-command-repository",
                    [("archive-command-repository", "error"), ("archive-round-trip", "error"), ("archiver", "error")]
                ),
                ("archive_command = ''", "archive-command", [("archive-command", "error")]),
                ("archive_timeout = 0", "archive-timeout", [("archive-timeout", "error")]),
            ]
            for (setting, code, expected) in cases {
                try await server.execute("ALTER SYSTEM SET \(setting)")
                try await server.execute("SELECT pg_reload_conf()")
                var found: [Finding] = []
                // The archiver takes a new command a moment after the server was told.
                let isFound = try await eventually {
                    let output = try await place.tool.run("doctor", "--no-storage-check", "--json", "--wait", "20s")
                    found = try findings(output)
                    return output.status == 1
                        && expected.allSatisfy { wanted in
                            found.contains { $0.code == wanted.0 && $0.level == wanted.1 }
                        }
                }
                try #require(isFound, "\(setting): \(found)")
                let bad = try #require(expected.first { $0.0 == code })
                try await mend(code, bad.1, of: found, at: place)
                // What went elsewhere is missing here: only a new backup leads on from there.
                var wasBroken = false
                let isMended = try await eventually {
                    let output = try await place.tool.run("doctor", "--no-storage-check", "--json", "--wait", "20s")
                    let backup = try findings(output).first { $0.code == "newest-backup" }
                    if backup?.level == "error", backup?.found.contains("is missing") == true {
                        wasBroken = true
                        try await place.succeed("backup", "--kind", "physical", "--jobs", "1")
                    }
                    return output.status == 0
                }
                #expect(isMended, "\(setting)")
                if code == "archive-command-repository" { #expect(wasBroken) }
            }

            try await server.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
            let slots = try findings(try await place.tool.run("doctor", "--no-storage-check", "--json"))
            #expect(slots.first { $0.code == "slot" }?.found.contains("'forgotten' is used by nobody") == true)
            #expect(slots.first { $0.code == "slot-limit" }?.level == "warning")
            try await mend("slot", "warning", of: slots, at: place)
            #expect(try await isWell())
        }
    }

    @Test(.needsPhysicalBackups)
    func `says what a role may not see, and which statement lets it`() async throws {
        try await ArchivingCluster.with { place in
            let server = place.cluster
            try await server.execute("ALTER SYSTEM SET archive_timeout = '60s'")
            try await server.execute("SELECT pg_reload_conf()")
            try await place.succeed("backup", "--kind", "physical", "--jobs", "1")
            try await server.execute("CREATE ROLE watcher LOGIN REPLICATION")
            let url = server.url("postgres", user: "watcher")

            let blind = try await place.tool.run("doctor", "--no-storage-check", "--json", url)
            #expect(blind.status == 0, "\(blind.standardOutput)")
            let found = try findings(blind)
            let monitor = "GRANT pg_monitor TO \"watcher\";"
            #expect(found.contains { $0.code == "role-rights" && $0.statements == [monitor] })
            #expect(found.contains { $0.code == "pg-wal-space" && $0.level == "note" && $0.statements == [monitor] })
            try await mend("archive-round-trip", "note", of: found, at: place)
            try await mend("pg-wal-space", "note", of: found, at: place)
            let seen = try findings(
                try await place.tool.run("doctor", "--no-storage-check", "--json", "--wait", "5m", url))
            #expect(seen.first { $0.code == "archive-round-trip" }?.level == "ok", "\(seen)")
            #expect(seen.first { $0.code == "pg-wal-space" }?.level == "ok", "\(seen)")

            // A right that is lost again.
            try await server.execute("ALTER ROLE watcher NOREPLICATION")
            try await server.execute("REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM watcher")
            let lost = try await place.tool.run("doctor", "--no-storage-check", "--json", url)
            #expect(lost.status == 1)
            try await mend("role-rights", "warning", of: try findings(lost), at: place)
            try await mend("archive-round-trip", "note", of: try findings(lost), at: place)
            #expect(try await place.tool.run("doctor", "--no-storage-check", "--wait", "5m", url).status == 0)
        }
    }

    @Test func `states what commits wait for a receiver, and refuses remote_apply`() async throws {
        try await ArchivingCluster.with { place in
            let server = place.cluster
            try await server.execute("SELECT pg_create_physical_replication_slot('apex_backup_apex', true)")
            var receiver = CommandLineTool(
                executable: "\(server.programs)/pg_receivewal",
                environment: ["LD_LIBRARY_PATH": "\(server.programs)/../lib"])
            receiver.userName = "postgres"
            let folder = "\(server.directory)/received"
            var mkdir = CommandLineTool(executable: "/bin/mkdir")
            mkdir.userName = "postgres"
            #expect(try await mkdir.run(folder).status == 0)
            let running = try await receiver.start([
                "-D", folder, "--slot", "apex_backup_apex", "--synchronous", "-d", server.url("postgres"),
            ])
            try await server.execute("ALTER SYSTEM SET synchronous_standby_names = 'pg_receivewal'")
            try await server.execute("SELECT pg_reload_conf()")
            let isSynchronous = try await eventually {
                try await server.answer("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
            }
            try #require(isSynchronous)
            func waiting() async throws -> Finding? {
                try findings(try await place.tool.run("doctor", "--no-storage-check", "--json", "--no-round-trip"))
                    .first {
                        $0.code == "synchronous-receiver"
                    }
            }
            // It has the slot of 'wal receive', and stores elsewhere.
            let held = try findings(try await place.tool.run("doctor", "--no-storage-check", "--json", "--wait", "2s"))
            let slot = try #require(held.first { $0.code == "slot" })
            #expect(slot.level == "error" && slot.found.contains("was not in the repository after"), "\(held)")
            var stated: Finding?
            // Commits that wait for longer than ten seconds are told of in other words.
            let isStated = try await eventually {
                stated = try await waiting()
                return stated?.level == "ok"
                    && stated?.found.contains(/: \d.* m?s, against \d.* m?s without it/) == true
            }
            #expect(isStated, "\(String(describing: stated))")

            for statement in [
                "ALTER SYSTEM SET synchronous_commit = remote_apply",
                "ALTER ROLE postgres SET synchronous_commit = remote_apply",
            ] {
                try await server.execute(statement)
                try await server.execute("SELECT pg_reload_conf()")
                var seen: Finding?
                let isRefused = try await eventually {
                    seen = try await waiting()
                    return seen?.level == "error"
                }
                let refused = try #require(seen)
                #expect(isRefused && refused.found.contains("remote_apply for"), "\(statement)")
                let session = try await server.session()
                for statement in refused.statements { try await session.execute(statement) }
                await session.close()
                let isMended = try await eventually { try await waiting()?.level == "ok" }
                #expect(isMended, "\(statement)")
            }
            try await server.execute("ALTER SYSTEM RESET synchronous_standby_names")
            try await server.execute("SELECT pg_reload_conf()")
            running.send(SIGTERM)
            _ = try await running.output()
        }
    }

    @Test func `believes a receiver by what it has stored`() async throws {
        try await ReceivingPlace.with { place in
            try await place.receiving {
                try await place.waitUntilStreaming()
                try await place.archiving.succeed("backup", "--kind", "physical", "--jobs", "1")
                let found = try findings(
                    try await place.archiving.tool.run("doctor", "--no-storage-check", "--json", "--wait", "5m"))
                let slot = try #require(found.first { $0.code == "slot" })
                #expect(slot.level == "ok" && slot.found.contains("was in the repository after"), "\(found)")
                #expect(found.first { $0.code == "archive-mode" }?.level == "note", "\(found)")
                let backup = found.first { $0.code == "newest-backup" }
                #expect(backup?.level == "ok" && backup?.found.contains("WAL on from it up to") == true, "\(found)")
            }
            // Without it the WAL that is there still counts, and nothing more comes.
            try await place.waitUntilFree()
            let gone = try findings(
                try await place.archiving.tool.run("doctor", "--no-storage-check", "--json", "--no-round-trip"))
            #expect(gone.first { $0.code == "archive-mode" }?.level == "warning", "\(gone)")
            #expect(gone.first { $0.code == "newest-backup" }?.level == "ok", "\(gone)")
        }
    }

    @Test func `switches archiving on, from a server that does nothing of it`() async throws {
        try await PostgresCluster.with { cluster in
            let data = cluster.server.dataDirectory
            try await cluster.execute("ALTER SYSTEM SET wal_level = minimal")
            try await cluster.execute("ALTER SYSTEM SET max_wal_senders = 0")
            _ = try await cluster.server.stop()
            var tool = try CommandLineTool.apexBackup(environment: [
                "APEX_DATABASE_URL": cluster.url("postgres", port: 5433), "HOME": cluster.directory,
                "APEX_BACKUP_REPOSITORY": "\(cluster.directory)/repository",
            ])
            tool.userName = "postgres"
            var found: [Finding] = []
            try await cluster.withServer(on: data, ["fsync": "off"]) { server in
                #expect(try await tool.run("init").status == 0)
                let output = try await tool.run("doctor", "--no-storage-check", "--json")
                #expect(output.status == 1)
                found = try findings(output)
                for code in ["archive-mode", "wal-senders"] {
                    let finding = try #require(found.first { $0.code == code })
                    #expect(finding.needsRestart)
                    for statement in finding.statements { try await cluster.execute(statement, in: server) }
                }
                let policy = "\(cluster.directory)/archive.yaml"
                try Data(
                    """
                    apiVersion: apex-backup/v1
                    kind: BackupPolicy
                    backup: {physical: {wal: archive}}
                    """.utf8
                ).write(to: URL(filePath: policy))
                let archive = try findings(try await tool.run("doctor", "--json", "--policy", policy))
                #expect(archive.first { $0.code == "archive-mode" }?.level == "error", "\(archive)")
                let senders = archive.first { $0.code == "wal-senders" }
                #expect(senders?.found.contains("a base backup needs one") == true, "\(archive)")
            }
            #expect(found.first { $0.code == "archive-mode" }?.level == "warning")
            #expect(found.first { $0.code == "wal-level" }?.level == "error")
            #expect(found.first { $0.code == "newest-backup" }?.found == "There is no backup.")
            try await cluster.withServer(on: data, ["fsync": "off"]) { _ in
                found = try findings(try await tool.run("doctor", "--no-storage-check", "--json", "--wait", "5m"))
            }
            for code in ["archive-mode", "wal-level", "wal-senders", "archive-round-trip", "archive-command"] {
                #expect(found.first { $0.code == code }?.level == "ok", "\(code): \(found)")
            }
        }
    }

    @Test func `tells of a server that does not answer, and of the repository all the same`() async throws {
        let place = try TemporaryDirectory()
        let tool = try CommandLineTool.apexBackup(environment: ["APEX_BACKUP_REPOSITORY": place.path(of: "nowhere")])
        let output = try await tool.run(
            "doctor", "--no-storage-check", "--json", "postgresql://h:secret@127.0.0.1:1/app")
        let found = try findings(output)
        #expect(output.status == 1)
        #expect(found.map(\.code) == ["server-unreachable", "repository"])
        #expect(found.allSatisfy { $0.level == "error" && $0.action != nil })
        #expect(!output.standardOutput.contains("secret"))
        #expect(try await tool.run("doctor", "--no-storage-check").status == 78)
        #expect(try await tool.run("doctor", "--no-storage-check", "--wait", "soon").status == 64)
        let refused = try await tool.run(
            "doctor", "--no-storage-check", "--json", try await PostgresCluster.shared().url("no_such_database"))
        #expect(refused.status == 1)
        let first = try findings(refused).first
        #expect(first?.code == "server-refused")
    }

    @Test func `tells of a server that is not the cluster's`() async throws {
        let other = try await GuardedCluster.shared().cluster
        try await Workplace.with { place in
            let output = try await place.tool.run("doctor", "--no-storage-check", "--json", other.url("app"))
            let cluster = try findings(output).first { $0.code == "cluster" }
            #expect(output.status == 1 && cluster?.level == "error")
            #expect(cluster?.action?.contains("--new-cluster-incarnation") == true)
        }
    }

    @Test func `looks at a standby as one`() async throws {
        try await ArchivingCluster.with { place in
            try await place.cluster.withStandby { _ in
                let found = try findings(
                    try await place.tool.run(
                        "doctor", "--no-storage-check", "--json", place.cluster.url("postgres", port: 5433)))
                #expect(found.contains { $0.code == "standby" && $0.level == "note" })
                #expect(!found.contains { $0.code == "archive-round-trip" || $0.level == "error" }, "\(found)")
            }
        }
    }

    @Test func `has every code in the article, and the article no other`() throws {
        let article = "Sources/ApexBackup/ApexBackup.docc/Doctor.md"
        let text = String(decoding: try Data(contentsOf: URL(filePath: "\(checkout)/\(article)")), as: UTF8.self)
        let written = text.matches(of: /\n\| `([a-z-]+)` \|/).map { String($0.1) }
        #expect(written == DoctorFinding.Code.allCases.map(\.rawValue))
    }
}

/// A finding as `--json` prints it.
private struct Finding {
    var code: String
    var level: String
    var found: String
    var statements: [String]
    var needsRestart: Bool
    var action: String?

    init(_ json: JSONValue) {
        code = json["code"]?.text ?? ""
        level = json["level"]?.text ?? ""
        found = json["found"]?.text ?? ""
        statements = json["statements"]?.elements.compactMap(\.text) ?? []
        needsRestart = json["needsRestart"] == .bool(true)
        action = json["action"]?.text
    }
}
