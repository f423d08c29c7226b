import BackupModel
import FoundationEssentials
import PostgresAccess
import TestSupport

/// A repository, a policy and the tool that is pointed at them, for one test.
struct Workplace: Sendable {
    let directory: TemporaryDirectory
    let cluster: PostgresCluster
    /// The database that the policy says to back up.
    let database: String
    /// Whether its backups hold the roles of the cluster, which other tests make and drop.
    let globals: Bool
    var tool: CommandLineTool

    var repository: String { directory.path(of: "repository") }

    /// A workplace with a new database of `rows` rows in the table `t`; the repository is made, unless left out.
    static func with<Value>(
        rows: Int = 50, retention: String? = nil, globals: Bool = false, initialized: Bool = true,
        leaseExpiry: String = "2s",
        _ body: (Workplace) async throws -> Value
    ) async throws -> Value {
        let cluster = try await PostgresCluster.shared()
        return try await cluster.withNamedDatabase { database in
            let place = try Workplace(
                cluster, database: database, retention: retention, globals: globals, leaseExpiry: leaseExpiry)
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
        _ cluster: PostgresCluster, database: String, retention: String? = nil, globals: Bool = false,
        leaseExpiry: String = "2s"
    ) throws {
        self.cluster = cluster
        self.database = database
        self.globals = globals
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
        try writePolicy(retention: retention)
    }

    func write(_ text: String, to name: String) throws { try directory.write(Array(text.utf8), to: name) }

    /// Writes the policy: this database, PostgreSQL's programs in `bin` or wherever they are found.
    func writePolicy(retention: String? = nil, bin: String = "auto") throws {
        try write(
            """
            apiVersion: apex-backup/v1
            kind: BackupPolicy
            metadata: {name: apex}
            cluster: {url: "env:APEX_DATABASE_URL", bin: "\(bin)"}
            repository: file:///overridden-by-the-environment
            backup: {logical: {databases: ["\(database)"], globals: \(globals)}}
            \(retention.map { "retention: \($0)" } ?? "")
            """, to: "policy.yaml")
    }

    /// Puts `script` before one of PostgreSQL's programs, for the tool alone; `$REAL` is the program itself.
    ///
    /// What is asked for its version answers as ever.
    func stage(_ programs: String..., script: String) throws {
        let files = FileManager.default
        let folder = directory.path(of: "bin")
        try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for program in try files.contentsOfDirectory(atPath: cluster.programs) {
            let path = "\(folder)/\(program)"
            if files.fileExists(atPath: path) { try files.removeItem(atPath: path) }
            guard programs.contains(program) else {
                try files.createSymbolicLink(atPath: path, withDestinationPath: "\(cluster.programs)/\(program)")
                continue
            }
            try directory.writeProgram(
                """
                #!/bin/sh
                REAL=\(cluster.programs)/\(program)
                case "$*" in *--version*) exec $REAL "$@" ;; esac
                \(script)
                exec $REAL "$@"
                """, to: "bin/\(program)")
        }
        try writePolicy(bin: folder)
    }

    /// Makes the programs wait, once they are started, until ``letGo()``.
    func hold(_ programs: String...) throws {
        for program in programs {
            try stage(program, script: "touch \(path("held")); while [ ! -e \(path("go")) ]; do sleep 0.05; done")
        }
    }

    func path(_ name: String) -> String { directory.path(of: name) }
    func isThere(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

    /// Waits until a program is held.
    func isHeld() async -> Bool { await eventually { isThere("held") } }
    func letGo() throws { try write("", to: "go") }

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

    /// Makes a database that holds something else: the table `precious` with one row, 7.
    func occupy(_ name: String) async throws {
        try await cluster.execute("CREATE DATABASE \(quoteIdentifier(name)) TEMPLATE template0")
        try await cluster.execute("CREATE TABLE precious AS SELECT 7 AS n", database: name)
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
