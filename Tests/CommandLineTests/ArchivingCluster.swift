import FoundationEssentials
import PostgresAccess
import TestSupport
import Testing

/// A server that archives with the tool, as the server's user, into a repository beside its data or in an object store.
struct ArchivingCluster: Sendable {
    let cluster: PostgresCluster
    /// The tool as whoever runs the tests; what root stores belongs to the repository's owner.
    var tool: CommandLineTool
    /// The object store that the repository is in, if it is in one.
    private let store: ObjectStore?

    var repository: String { "\(cluster.directory)/repository" }
    var policy: String { "\(cluster.directory)/policy.yaml" }
    var data: String { cluster.server.dataDirectory }

    /// A cluster of its own that archives; with `archives` false nothing is archived until ``startArchiving()``.
    static func with(
        archives: Bool = true, configuration: [String: String] = [:], initialization: [String] = [],
        store: ObjectStore? = nil, _ body: (ArchivingCluster) async throws -> Void
    ) async throws {
        let settings = ["archive_mode": "on", "full_page_writes": "on"].merging(configuration) { $1 }
        try await PostgresCluster.with(configuration: settings, initialization: initialization) { cluster in
            let place = try ArchivingCluster(cluster, store)
            var owner = place.tool
            owner.userName = "postgres"
            let made = try await owner.run("init")
            try #require(made.status == 0, "\(made.standardError)")
            if archives { try await place.startArchiving() }
            try await body(place)
        }
    }

    private init(_ cluster: PostgresCluster, _ store: ObjectStore?) throws {
        self.cluster = cluster
        self.store = store
        // Credentials are found where AWS's tools find them, below the home directory.
        tool = try CommandLineTool.apexBackup(environment: [
            "APEX_BACKUP_POLICY": "\(cluster.directory)/policy.yaml", "HOME": cluster.directory,
        ])
        var repository = "\(cluster.directory)/repository"
        if let store {
            repository = """
                {url: "s3://\(store.bucket)/\(cluster.directory.split(separator: "/").last ?? "")",
                  endpoint: "\(store.endpoint)", allow_plain_http: true}
                """
            try FileManager.default.createDirectory(
                atPath: "\(cluster.directory)/.aws", withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o755])
            let credentials = """
                [default]
                aws_access_key_id = \(store.accessKey)
                aws_secret_access_key = \(store.secretKey)

                """
            try Data(credentials.utf8).write(to: URL(filePath: "\(cluster.directory)/.aws/credentials"))
        }
        let policy = """
            apiVersion: apex-backup/v1
            kind: BackupPolicy
            metadata: {name: apex}
            cluster: {url: "\(cluster.url("postgres"))", bin: "\(cluster.programs)"}
            repository: \(repository)
            """
        try Data(policy.utf8).write(to: URL(filePath: "\(cluster.directory)/policy.yaml"))
    }

    /// The command for `archive_command` or `restore_command`, with what another policy or mode needs.
    func command(_ arguments: String) -> String {
        let home = store == nil ? "" : "HOME=\(cluster.directory) "
        return "\(home)LLVM_PROFILE_FILE=/dev/null \(tool.executable) \(arguments)"
    }

    func startArchiving(through wrapper: String = "") async throws {
        let command = wrapper + command("wal push --policy \(policy) %p")
        try await cluster.execute("ALTER SYSTEM SET archive_command = '\(command)'")
        try await cluster.execute("SELECT pg_reload_conf()")
    }

    @discardableResult
    func succeed(_ arguments: String...) async throws -> CommandLineTool.Output {
        let output = try await tool.run(arguments)
        try #require(output.status == 0, "\(arguments): \(output.standardError)")
        return output
    }

    /// Writes rows and ends the segment; returns its name.
    func writeSegment(rows: Int = 100) async throws -> String {
        try await cluster.execute(
            "CREATE TABLE IF NOT EXISTS t (n int); INSERT INTO t SELECT generate_series(1, \(rows))")
        return try await endSegment()
    }

    private func endSegment() async throws -> String {
        let name = try #require(try await cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
        try await cluster.execute("SELECT pg_switch_wal()")
        return name
    }

    /// Ends the segment, and waits until all that was written is archived; returns its name.
    @discardableResult
    func archiveAll() async throws -> String {
        let name = try await endSegment()
        try await waitUntilArchived(name)
        return name
    }

    /// Waits until the server has archived the segment.
    func waitUntilArchived(_ segment: String) async throws {
        let isArchived = try await eventually {
            try await cluster.answer("SELECT last_archived_wal >= '\(segment)' FROM pg_stat_archiver") == "t"
        }
        try #require(isArchived)
    }

    /// Restores and starts the server; returns what the table `t` then has, once it is promoted.
    func recovered(
        _ arguments: String..., then body: (ConnectionSettings) async throws -> Void = { _ in }
    ) async throws -> String? {
        let directory = "\(cluster.directory)/restored"
        let output = try await tool.run(["restore"] + arguments + ["--to", directory])
        try #require(output.status == 0, "\(arguments): \(output.standardError)")
        var rows: String?
        try await cluster.withServer(on: directory, ["fsync": "off"], port: 5434) { server in
            let isPromoted = try await eventually {
                try await cluster.answer("SELECT pg_is_in_recovery()", at: server) == "f"
            }
            #expect(isPromoted)
            rows = try await cluster.answer("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", at: server)
            try await body(server)
        }
        try FileManager.default.removeItem(atPath: directory)
        return rows
    }

    /// The server's clock, as a moment that a restore takes.
    func now(at server: ConnectionSettings? = nil) async throws -> String {
        try #require(
            try await cluster.answer(
                "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", at: server)
        )
    }

    /// The environment of a server whose clock ``moveClock(by:)`` moves; the program itself keeps the host's.
    var movableClock: [String: String] {
        [
            "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
            "FAKETIME_TIMESTAMP_FILE": "\(cluster.directory)/clock", "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        ]
    }

    /// Puts the clock of servers with ``movableClock`` so many seconds before the host's.
    func moveClock(by seconds: Int) throws {
        let offset = seconds < 0 ? "\(seconds)\n" : "+\(seconds)\n"
        try Data(offset.utf8).write(to: URL(filePath: "\(cluster.directory)/clock"))
    }

    /// Settings with which another server archives into the same repository.
    var archiving: [String: String] {
        [
            "archive_mode": "on", "fsync": "off",
            "archive_command": "env -u LD_PRELOAD " + command("wal push --policy \(policy) %p"),
        ]
    }

    /// The paths of the stored files of WAL in the repository.
    ///
    /// A receiver puts segments in the place of their pieces meanwhile: what two listings agree on was there at once.
    func stored() throws -> [String] {
        var last: [String]?
        for _ in 0..<100 {
            let paths = try? FileManager.default.subpathsOfDirectory(atPath: repository).filter {
                $0.contains("/wal/") && $0.hasSuffix(".zst")
            }.sorted()
            if let paths, paths == last { return paths }
            last = paths
        }
        throw StoredFilesChange()
    }

    /// The path of a stored file of WAL.
    func path(of name: String) throws -> String {
        "\(repository)/\(try #require(try stored().first { $0.hasSuffix("/\(name).zst") }))"
    }
}

private struct StoredFilesChange: Error, CustomStringConvertible {
    var description: String { "no two listings of the repository agreed" }
}
