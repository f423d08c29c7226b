import FoundationEssentials
import TestSupport

/// A repository, a policy and the tool that is pointed at them, for one test.
struct Workplace: Sendable {
    let directory: TemporaryDirectory
    let cluster: PostgresCluster
    /// The database that the policy says to back up.
    let database: String
    var tool: CommandLineTool

    var repository: String { directory.path(of: "repository") }

    /// A workplace with a new database of `rows` rows in the table `t`; the repository is made, unless left out.
    static func with<Value>(
        rows: Int = 50, retention: String? = nil, initialized: Bool = true, leaseExpiry: String = "2s",
        _ body: (Workplace) async throws -> Value
    ) async throws -> Value {
        let cluster = try await PostgresCluster.shared()
        return try await cluster.withNamedDatabase { database in
            let place = try Workplace(cluster, database: database, retention: retention, leaseExpiry: leaseExpiry)
            try await cluster.execute(
                """
                CREATE TABLE t (id int PRIMARY KEY, v text);
                INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, \(rows)) i
                """, database: database)
            if initialized { try await place.succeed("init") }
            return try await body(place)
        }
    }

    init(
        _ cluster: PostgresCluster, database: String, retention: String? = nil, leaseExpiry: String = "2s"
    ) throws {
        self.cluster = cluster
        self.database = database
        directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(
            atPath: directory.path(of: "scratch"), withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o755])
        tool = try CommandLineTool.apexBackup(environment: [
            "APEX_DATABASE_URL": cluster.url(database),
            "APEX_BACKUP_REPOSITORY": "file://\(directory.path(of: "repository"))",
            "APEX_BACKUP_POLICY": directory.path(of: "policy.yaml"), "APEX_BACKUP_LEASE_EXPIRY": leaseExpiry,
            "TMPDIR": directory.path(of: "scratch"),
        ])
        try write(
            """
            apiVersion: apex-backup/v1
            kind: BackupPolicy
            metadata: {name: apex}
            cluster: {url: "env:APEX_DATABASE_URL"}
            repository: file:///overridden-by-the-environment
            backup: {logical: {databases: ["\(database)"]}}
            \(retention.map { "retention: \($0)" } ?? "")
            """, to: "policy.yaml")
    }

    func write(_ text: String, to name: String) throws { try directory.write(Array(text.utf8), to: name) }

    /// Runs the tool and throws unless it exits with 0.
    @discardableResult
    func succeed(_ arguments: String...) async throws -> CommandLineTool.Output {
        let output = try await tool.run(arguments)
        guard output.status == 0 else {
            throw UnexpectedEnd(arguments: arguments, output: output)
        }
        return output
    }

    /// The elements of the JSON array that a command prints.
    func array(_ arguments: String...) async throws -> [JSONValue] {
        let output = try await tool.run(arguments + ["--json"])
        guard output.status == 0 else { throw UnexpectedEnd(arguments: arguments, output: output) }
        return try output.json().elements
    }

    /// Takes a backup and returns its name.
    func backUp() async throws -> String {
        try await succeed("backup", "--json").json()["id"]?.text ?? ""
    }

    /// The names of the backups that count.
    func listed() async throws -> [String] { try await array("list").compactMap { $0["id"]?.text } }

    /// The states of all runs of `operation`, oldest first.
    func runs(_ operation: String) async throws -> [String] {
        try await array("list", "--runs").filter { $0["start"]?["operation"]?.text == operation }
            .compactMap { $0["state"]?.text }
    }

    /// Everything in the repository, with what each file holds.
    func contents() throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try directory.contents() where name.hasPrefix("repository/") {
            var isDirectory = false
            _ = FileManager.default.fileExists(atPath: directory.path(of: name), isDirectory: &isDirectory)
            files[name] = isDirectory ? [] : try directory.read(name)
        }
        return files
    }

    /// What is left in the directory for temporary files.
    func scratchLeftovers() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path(of: "scratch"))
    }
}

/// A command ended otherwise than the test needs.
struct UnexpectedEnd: Error, CustomStringConvertible {
    let arguments: [String]
    let output: CommandLineTool.Output

    var description: String {
        "\(arguments) ended with \(output.status.map(String.init) ?? "a signal"): \(output.standardOutput)\n"
            + output.standardError
    }
}
