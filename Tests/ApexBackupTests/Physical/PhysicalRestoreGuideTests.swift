import BackupModel
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// `RESTORE.md` of base backups, with nothing on the `PATH` but the tools that it names.
///
/// One after the other: each starts servers of its own.
@Suite(.serialized, .needsPhysicalBackups) struct `RESTORE.md of a physical backup` {
    /// Those that it asks for, and `bash`.
    private static let tools = [
        "awk", "bash", "cat", "chmod", "dd", "head", "ln", "ls", "mkdir", "mktemp", "mv", "od", "rm", "sed",
        "sha256sum",
        "sleep", "sort", "sync", "tail", "tr", "truncate", "zstd",
    ]

    /// A backup of a cluster with what is awkward in it, and a copy of its repository that the servers' user may read.
    private struct Site {
        let cluster: PostgresCluster
        let manifest: BackupManifest
        let guide: String
        /// The folder of the backup in the copy.
        let folder: String
        /// The folder of the system identifier in the copy.
        let incarnation: String

        var directory: String { "\(cluster.server.directory)/restored" }
        func place(_ tablespace: PhysicalRecord.Tablespace) -> String {
            "\(cluster.server.directory)/elsewhere \(tablespace.oid)"
        }
    }

    private func withSite(_ body: (Site) async throws -> Void) async throws {
        let elsewhere = try TemporaryDirectory()
        try elsewhere.write(Array("local all all trust\nlocal replication all trust\n".utf8), to: "access.conf")
        let settings = [
            "hba_file": elsewhere.path(of: "access.conf"), "archive_mode": "on", "archive_command": "false",
        ]
        try await PostgresCluster.with(configuration: settings) { cluster in
            try await fill(cluster)
            let scratch = try await ScratchRepository(for: cluster)
            let backup = PhysicalBackup(
                repository: scratch.repository, connection: cluster.settings,
                request: .init(settings: BackupPolicy.PhysicalSettings(), jobs: 2))
            let manifest = try await onOwnThreads { try await backup.run() }
            try await cluster.execute("DELETE FROM big")
            let copy = "\(cluster.server.directory)/copy"
            try await runScript(
                """
                cp -R "$1" "$2" && chown -R postgres: "$2" && mkdir "$3" || exit
                for tool in $4; do ln -s "$(command -v "$tool")" "$3/" || exit; done
                """, scratch.directory.path(of: "repository"), copy, "\(cluster.server.directory)/tools",
                Self.tools.joined(separator: " "))
            let layout = scratch.repository.layout
            try await body(
                Site(
                    cluster: cluster, manifest: manifest,
                    guide: String(decoding: try scratch.content("RESTORE.md", of: manifest), as: UTF8.self),
                    folder: "\(copy)/\(layout.backup(manifest.id))",
                    incarnation: "\(copy)/\(layout.root)/\(manifest.systemIdentifier)"))
        }
    }

    private func fill(_ cluster: PostgresCluster) async throws {
        let place = "\(cluster.server.directory)/fast places"
        try await runScript(
            """
            mkdir "$1" && chown postgres: "$1"
            printf odd >"$2/$(printf ' "quoted"\\n and back\\134slashed \\377 ')"
            """, place, cluster.server.dataDirectory)
        try await cluster.execute("CREATE TABLESPACE fast LOCATION \(quoteLiteral(place))")
        try await cluster.execute(
            """
            CREATE TABLE big AS SELECT n, repeat(md5(n::text), 4) AS text FROM generate_series(1, 80000) AS n;
            CREATE TABLE away TABLESPACE fast AS SELECT n FROM generate_series(1, 1000) AS n;
            CREATE TABLE empty (n int);
            CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS n;
            DO $$ BEGIN
                FOR i IN 1..100 LOOP
                    EXECUTE format('CREATE TABLE small_%s AS SELECT %s AS n', i, i);
                END LOOP;
            END $$
            """)
    }

    /// Runs a script as the servers' user, in the backup's folder of the copy.
    private func run(
        _ script: String, at site: Site, _ settings: [String: String] = [:]
    ) async throws -> (status: ChildOutcome.Status, output: String, errors: String) {
        var environment = [
            "DATA": site.directory, "LC_ALL": "C.UTF-8",
            "PATH": "\(site.cluster.server.directory)/tools:\(site.cluster.tools.directory)",
            "LD_LIBRARY_PATH": "\(site.cluster.tools.directory)/../lib",
        ]
        for tablespace in site.manifest.physical?.tablespaces ?? [] {
            environment["TABLESPACE_\(tablespace.oid)"] = site.place(tablespace)
        }
        let command = ChildCommand(
            "/bin/bash", arguments: ["-e", "-c", script], environment: environment.merging(settings) { $1 },
            workingDirectory: site.folder, userName: "postgres")
        let (outcome, output) = try await capture(command)
        return (outcome.status, output, outcome.standardErrorTail)
    }

    /// The line that takes the commands out of the guide and runs them.
    private func command(in guide: String) throws -> String {
        let lines = guide.split(separator: "\n").filter { $0.hasPrefix("    bash -c ") }
        #expect(lines.count == 1)
        return String(try #require(lines.first))
    }

    @Test func `restores it with stock tools alone, and the server's own program finds every file right`() async throws
    {
        try await withSite { site in
            let done = try await run(try command(in: site.guide), at: site)
            #expect(done.status == .exited(0), "\(done.errors)")
            let verify = try #require(site.guide.split(separator: "\n").first { $0.hasPrefix("pg_verifybackup ") })
            let verified = try await run(String(verify), at: site)
            #expect(verified.status == .exited(0), "\(verified.output)\(verified.errors)")
            try await site.cluster.withServer(on: site.directory) { server in
                func value(_ sql: String) async throws -> String? { try await site.cluster.firstValue(sql, in: server) }
                #expect(
                    try await value("SELECT sum(n) FILTER (WHERE text = repeat(md5(n::text), 4)) FROM big")
                        == "3200040000")
                #expect(try await value("SELECT count(*) FROM away") == "1000")
                #expect(try await value("SELECT count(*) FROM empty") == "0")
                #expect(try await value("SELECT count(*) FROM unlogged") == "0")
                #expect(try await value("SELECT n FROM small_100") == "100")
                #expect(try await value("SHOW archive_mode") == "off")
                #expect(try await value("SHOW hba_file") == "\(site.directory)/pg_hba.conf")
                #expect(try await value("SELECT pg_is_in_recovery()") == "f")
                #expect(try await value("SELECT timeline_id FROM pg_control_checkpoint()") == "2")
                let tablespace = try #require(site.manifest.physical?.tablespaces.first)
                #expect(
                    try await value("SELECT pg_tablespace_location(\(tablespace.oid))") == site.place(tablespace))
            }
        }
    }

    @Test func `stops at the first damage, and leaves nothing that a server starts on`() async throws {
        try await withSite { site in
            let segment = try #require(site.manifest.physical?.neededSegments.first)
            let damages = [
                ("packs/\(site.manifest.id)/0-0", "The frame in pack \(site.manifest.id)/0-0 at "),
                ("wal/\(segment.logFolder)/\(segment).zst", "\(segment).zst' is damaged"),
                ("../backups/\(site.manifest.id)/files.jsonl.zst", "files.jsonl.zst: FAILED"),
            ]
            let command = try command(in: site.guide)
            for (name, message) in damages {
                let file = "\(site.incarnation)/\(name)"
                try await runScript(
                    """
                    cp "$1" "$1.whole"
                    printf damaged | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") / 2)) conv=notrunc status=none
                    """, file)
                let done = try await run(command, at: site)
                #expect(done.status == .exited(1) && done.errors.contains(message), "\(done)")
                #expect(!HostFacts.exists("\(site.directory)/global/pg_control"))
                try await runScript(
                    "mv \"$1.whole\" \"$1\"; chown postgres: \"$1\"; rm -rf \"$2\" \"$3/elsewhere \"*", file,
                    site.directory, site.cluster.server.directory)
            }
            let refused = try await run(command, at: site, ["DATA": site.folder])
            #expect(refused.status == .exited(1) && refused.errors.contains("is not empty"), "\(refused)")
        }
    }
}
