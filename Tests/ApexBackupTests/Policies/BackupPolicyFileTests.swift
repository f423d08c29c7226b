import BackupModel
import FoundationEssentials
import TestSupport
import Testing

@testable import ApexBackup

private let least = """
    apiVersion: apex-backup/v1
    kind: BackupPolicy
    cluster: {url: "env:APEX_DATABASE_URL"}
    repository: /backups
    """

private func problem(_ text: String) -> String? {
    do {
        _ = try BackupPolicyFile.parse(text, fileName: "p.yaml")
        return nil
    } catch {
        return error.message
    }
}

@Suite struct `Reading a backup policy` {
    @Test func `takes the whole file of the article as it stands, and it says nothing but the defaults`() throws {
        let article = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../Sources/ApexBackup/ApexBackup.docc/Policy.md")
        let text = String(decoding: try Data(contentsOf: article), as: UTF8.self)
        let block = try #require(
            text.split(separator: "<<'YAML'\n", maxSplits: 1).last?.split(separator: "\nYAML\n").first)
        var expected = BackupPolicy()
        expected.cluster.url = .secret(.environment("APEX_DATABASE_URL"))
        expected.repositories = ["/var/lib/apex-backup"]
        #expect(try BackupPolicyFile.parse(String(block), fileName: "p.yaml") == expected)
    }

    @Test func `needs only cluster and repository`() throws {
        var expected = BackupPolicy()
        expected.cluster.url = .secret(.environment("APEX_DATABASE_URL"))
        expected.repositories = ["/backups"]
        #expect(try BackupPolicyFile.parse(least, fileName: "p.yaml") == expected)
    }

    @Test(arguments: ["cluster", "repository"])
    func `may lack what is given elsewhere`(key: String) throws {
        let lines = least.split(separator: "\n").filter { !$0.hasPrefix(key) }.joined(separator: "\n")
        let policy = try BackupPolicyFile.parse(lines, fileName: "p.yaml")
        #expect(key == "cluster" ? policy.cluster.url == nil : policy.repositories.isEmpty)
    }

    private static let accepted: [(String, @Sendable (BackupPolicy) -> Bool)] = [
        ("metadata: {name: Prod-1}", { $0.name == "Prod-1" }),
        (
            "backup: {logical: {databases: [a, b], exclude: [c]}}",
            {
                $0.logical.databases == .named(["a", "b"]) && $0.logical.exclude == ["c"]
            }
        ),
        (
            "backup: {logical: {format: plain, compression: 'zstd:7'}}",
            {
                $0.logical.format == .plain && $0.logical.compression == .zstd(level: 7)
            }
        ),
        (
            "backup: {logical: {verify_dump: list, counts: server, globals: false}}",
            {
                $0.logical.verifyDump == .list && $0.logical.counts == .server && !$0.logical.globals
            }
        ),
        ("backup: {logical: {compression: none}}", { $0.logical.compression == .none }),
        ("backup: {jobs: 64, memory: 64MiB}", { $0.jobs == 64 && $0.memory == 64 << 20 }),
        (
            "retention: {minimum: 5, last: 7, days: null, daily: 1, weekly: 2, monthly: 3, yearly: 4}",
            {
                $0.retention
                    == RetentionPolicy(minimum: 5, keepLast: 7, days: nil, daily: 1, weekly: 2, monthly: 3, yearly: 4)
            }
        ),
        ("retention: {last: 7}", { $0.retention == RetentionPolicy(minimum: 2, keepLast: 7, days: 30) }),
        ("retention: {window: 7d, after_backup: true}", { $0.prunesAfterBackup }),
        ("retention: {window: 14d}", { $0.retentionWindow == .seconds(14 * 86_400) }),
        ("retention: {window: 0s}", { $0.retentionWindow == .zero }),
        ("objectives: {rto: 1h}", { $0.objectives.rto == .seconds(3600) && $0.objectives.rpo == .seconds(900) }),
        ("restore: {into: /restore}", { $0.restoreInto == .directory("/restore") }),
        ("restore: {compare_timeout: 1h}", { $0.compareTimeout == .seconds(3600) }),
        ("restore: {compare_timeout: 0s}", { $0.compareTimeout == .zero }),
        ("backup: {physical: {wal: archive}}", { $0.physical.wal == .archive }),
        ("backup: {physical: {wal_timeout: 90s}}", { $0.physical.walTimeout == .seconds(90) }),
        ("restore: {into: 'postgresql://u@h/db'}", { $0.restoreInto == .server(.url("postgresql://u@h/db")) }),
        ("restore: {into: 'file:/run/url'}", { $0.restoreInto == .server(.secret(.file("/run/url"))) }),
    ]

    @Test(arguments: accepted.indices) func `reads every setting`(index: Int) throws {
        let (text, holds) = Self.accepted[index]
        #expect(holds(try BackupPolicyFile.parse(least + "\n" + text, fileName: "p.yaml")), "\(text)")
        #expect(!holds(BackupPolicy()), "the default must differ, or the test proves nothing: \(text)")
    }

    @Test(arguments: [
        ("retension: {}", "unknown key 'retension'; did you mean 'retention'?"),
        ("metadata: {name: a/b}", "'metadata.name' can not be 'a/b'"),
        ("metadata: {name: .hidden}", "'metadata.name' can not be '.hidden'"),
        ("backup: {logical: {formt: plain}}", "unknown key 'formt' in 'backup.logical'; did you mean 'format'?"),
        ("backup: {logical: {databases: some}}", "'backup.logical.databases' must be 'all', not 'some'"),
        (
            "backup: {logical: {databases: []}}",
            "'backup.logical.databases' is an empty list; write all for all of them"
        ),
        ("backup: {logical: {compression: 'zstd:99'}}", "'backup.logical.compression' can not be 'zstd:99'"),
        ("backup: {logical: {compression: lz4}}", "'backup.logical.compression' can not be 'lz4'"),
        (
            "backup: {physical: {wal: archived}}",
            "'backup.physical.wal' can not be 'archived'; did you mean 'archive'?"
        ),
        (
            "backup: {physical: {wal_timeout: 5}}",
            "'backup.physical.wal_timeout': '5' has no unit; write 5s, 5m, 5h or 5d"
        ),
        ("backup: {physical: {wall: stream}}", "unknown key 'wall' in 'backup.physical'; did you mean 'wal'?"),
        ("backup: {jobs: 0}", "'backup.jobs' must be a whole number from 1 to 64, not '0'"),
        ("backup: {jobs: 65}", "'backup.jobs' must be a whole number from 1 to 64, not '65'"),
        ("backup: {memory: 64}", "'backup.memory' must be a size, not '64'"),
        ("backup: {memory: 32MiB}", "'backup.memory' must be at least 46.0 MiB, not '32MiB'"),
        ("retention: {minimum: 0}", "'retention.minimum' must be a whole number from 1 to 100000, not '0'"),
        ("retention: {window: 7}", "'retention.window': '7' has no unit; write 7s, 7m, 7h or 7d"),
        ("retention: {keep_last: 7}", "unknown key 'keep_last' in 'retention'"),
        ("encryption: {passphrase: 'env:P'}", "encryption ('encryption.passphrase') is not supported by this version"),
        ("encryption: {key_file: secret}", "'encryption.key_file' must be a reference: env:NAME or file:/PATH"),
        ("notify: [{to: x}]", "an entry in 'notify' is not supported by this version"),
        ("restore: {into: 'postgresql://u:p@h/db'}", "'restore.into' holds a password"),
        ("restore: {compare_timeout: 5}", "'restore.compare_timeout': '5' has no unit; write 5s, 5m, 5h or 5d"),
        (
            "restore: {into: relative}",
            "'restore.into' must be a connection URL (postgresql://…) or a reference (env:NAME, file:/PATH)"
        ),
    ])
    func `refuses what it does not know or would ignore`(text: String, expected: String) {
        #expect(
            problem(least + "\n" + text)?.hasSuffix(": " + expected) == true, "\(problem(least + "\n" + text) ?? "")")
    }

    @Test(arguments: [
        ("[/a, /b]", "p.yaml:4:18: a second repository is not supported by this version"),
        ("s3://key:secret@bucket/prefix", "p.yaml:4:13: 'repository' names no bucket and prefix"),
        (
            "https://key:secret@store/bucket",
            "p.yaml:4:13: 'repository' must be a file:/// URL, an absolute path or s3://bucket/prefix"
        ),
        (
            "backups",
            "p.yaml:4:13: 'repository' must be a file:/// URL, an absolute path or s3://bucket/prefix, not 'backups'"
        ),
        ("[]", "p.yaml:4:13: 'repository' is an empty list"),
        ("{region: r}", "p.yaml:4:13: key 'url' is missing in 'repository'"),
        (
            "{url: /backups, region: r}",
            "p.yaml:4:37: 'repository.region' is of an object store, and '/backups' is none"
        ),
        (
            "{url: 's3://bucket', ca_file: ca.pem}",
            "p.yaml:4:43: 'repository.ca_file' must be an absolute path, not 'ca.pem'"
        ),
        (
            "{url: 's3://bucket', server_side_encryption: on}",
            "p.yaml:4:58: 'repository.server_side_encryption' can not be 'on'"
        ),
        (
            "{url: 's3://bucket', endpoint: 'http://store:9000'}",
            "p.yaml:4:44: 'repository.endpoint': The store at http://store:9000 would be talked to without TLS. "
                + "(whoever is on the way could read and change what is stored, and nothing allows that)"
        ),
        ("{url: 's3://bucket', bucket: b}", "p.yaml:4:34: unknown key 'bucket' in 'repository'"),
    ])
    func `takes one repository`(value: String, expected: String) throws {
        #expect(problem(least.replacing("/backups", with: value)) == expected)
        let list = try BackupPolicyFile.parse(least.replacing("/backups", with: "[/backups]"), fileName: "p")
        #expect(list.repositories == ["/backups"])
    }

    @Test func `takes an object store by its address, or with all that there is to say of it`() throws {
        let short = try BackupPolicyFile.parse(
            least.replacing("/backups", with: "s3://bucket/apex"), fileName: "p")
        #expect(short.repositories == ["s3://bucket/apex"])
        #expect(short.store == S3StoreSettings())
        let full = try BackupPolicyFile.parse(
            least.replacing(
                "/backups",
                with: """
                    {url: "s3://bucket/apex", endpoint: "http://store:9000", region: eu-1, path_style: true,
                      ca_file: /etc/ca.pem, allow_plain_http: true, storage_class: STANDARD_IA,
                      server_side_encryption: "aws:kms:key", capacity: 2TiB}
                    """), fileName: "p")
        var expected = S3StoreSettings()
        expected.endpoint = "http://store:9000"
        expected.region = "eu-1"
        expected.pathStyle = true
        expected.caFile = "/etc/ca.pem"
        expected.allowsPlainHTTP = true
        expected.storageClass = "STANDARD_IA"
        expected.serverSideEncryption = "aws:kms:key"
        expected.capacity = 2 << 40
        #expect(full.repositories == ["s3://bucket/apex"])
        #expect(full.store == expected)
    }

    @Test func `keeps what it says of a store for that store, however its address is written`() throws {
        let files = try TemporaryDirectory()
        let store = least.replacing("/backups", with: "{url: \"s3://bucket/apex\", region: eu-1}")
        try files.write(Array(store.utf8), to: "p.yaml")
        var flags = EffectivePolicy.Flags()
        flags.policy = files.path(of: "p.yaml")
        for (address, region) in [("s3://bucket/apex", "eu-1"), ("s3://bucket/apex/", "eu-1"), ("s3://bucket/b", nil)] {
            let environment = BackupEnvironment(variables: ["APEX_BACKUP_REPOSITORY": address])
            #expect(try EffectivePolicy.load(flags, environment: environment).policy.store.region == region)
        }
    }

    @Test func `repeats no password of an address that is none`() {
        for address in ["https://key:hunter2@store/bucket", "S3://key:hunter2@bucket/a", "s3://key:hunter2@bucket/a"] {
            let error = #expect(throws: BackupError.self) { try RepositoryAddress(parsing: address) }
            #expect(error?.message.contains("hunter2") == false)
        }
    }

    @Test func `refuses another kind or version of file`() {
        #expect(
            problem(least.replacing("BackupPolicy", with: "DrillPolicy"))
                == "p.yaml:2:7: 'kind' must be 'BackupPolicy', not 'DrillPolicy'")
        #expect(
            problem(least.replacing("/v1", with: "/v2"))
                == "p.yaml:1:13: 'apiVersion' must be 'apex-backup/v1', not 'apex-backup/v2'")
    }

    @Test func `takes a URL without a password as it stands, and refuses one with it`() throws {
        let open = least.replacing("\"env:APEX_DATABASE_URL\"", with: "'postgresql+asyncpg://backup@db:5432/apex'")
        #expect(
            try BackupPolicyFile.parse(open, fileName: "p").cluster.url
                == .url("postgresql+asyncpg://backup@db:5432/apex"))
        let closed = least.replacing("\"env:APEX_DATABASE_URL\"", with: "'postgresql://backup:x@db/apex'")
        #expect(problem(closed) == "p.yaml:3:16: 'cluster.url' holds a password")
    }
}
