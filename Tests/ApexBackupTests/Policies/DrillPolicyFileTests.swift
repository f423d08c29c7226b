import BackupModel
import FoundationEssentials
import Testing

@testable import ApexBackup

/// A drill of one check, with `extra` lines at the root and `check` in place of the check.
private func drill(_ extra: String = "", check: String = "{id: rows, type: rows}") -> String {
    """
    apiVersion: apex-backup/v1
    kind: DrillPolicy
    metadata: {name: d}
    objectives: {rto: 4h, rpo: 15m}
    checks:
      - \(check)
    \(extra)
    """
}

private func problem(_ text: String) -> String? {
    do {
        _ = try DrillPolicyFile.parse(text, fileName: "d.yaml")
        return nil
    } catch {
        return error.message
    }
}

private let plain = DrillPolicy(
    metadata: .init(name: "d"), objectives: .init(rto: .seconds(14_400), rpo: .seconds(900)),
    checks: [DrillCheck(id: "rows", .rows(tables: nil))])

@Suite struct `Reading a drill policy` {
    @Test func `needs a name, objectives and a check`() throws {
        #expect(try DrillPolicyFile.parse(drill(), fileName: "d.yaml") == plain)
        for key in ["metadata", "objectives", "apiVersion", "kind"] {
            let lines = drill().split(separator: "\n").filter { !$0.hasPrefix(key) }.joined(separator: "\n")
            #expect(problem(lines) == "d.yaml:1:1: key '\(key)' is missing")
        }
    }

    private static let accepted: [(String, @Sendable (inout DrillPolicy) -> Void)] = [
        (
            "scenario: {type: restore, text: T, controls: [A, B]}",
            {
                $0.scenario.text = "T"
                $0.scenario.controls = ["A", "B"]
            }
        ),
        ("source: {kind: logical, select: {method: oldest}}", { $0.source.selection = .oldest }),
        (
            "source: {select: {method: id, id: 20261121T020000Z-7f3a}, databases: [a]}",
            {
                $0.source.selection = RunID(parsing: "20261121T020000Z-7f3a").map { .id($0) } ?? .latest
                $0.source.databases = ["a"]
            }
        ),
        ("target: {type: local_instance, pg_major: same, dir: /scratch}", { $0.target.directory = "/scratch" }),
        (
            "target: {overrides: {archive_mode: off, max_logical_replication_workers: 0, jit: 'on', work_mem: 8MB}}",
            {
                $0.target.overrides = [
                    "archive_mode": "off", "max_logical_replication_workers": "0", "jit": "on", "work_mem": "8MB",
                ]
            }
        ),
        ("report: {formats: [json]}", { $0.reportFormats = [.json] }),
    ]

    @Test func `reads what a physical backup is recovered to`() throws {
        func source(_ target: String) throws -> DrillPolicy.Source {
            let text = drill("source: {kind: physical, target: \(target)}").replacing(
                "{id: rows, type: rows}", with: "{id: a, type: boundary}")
            return try DrillPolicyFile.parse(text, fileName: "d.yaml").source
        }
        #expect(try source("{latest: true}").target == .moment(.latest))
        #expect(try source("{immediate: true}").target == .moment(.immediate))
        #expect(try source("{name: here}").target == .moment(.restorePoint("here")))
        #expect(try source("{lsn: 0/3000148}").target == .moment(.position(LogSequenceNumber(position: 0x300_0148))))
        let time = Timestamp(microseconds: 1_737_988_200_000_000)
        #expect(try source("{time: '2025-01-27T14:30:00Z'}").target == .moment(.time(time)))
        #expect(try source("{random_within: window}").target == .random(within: nil))
        let xid = try source("{xid: 48213}, select: {method: id, id: 20260101T000000Z-0001}")
        #expect(xid.target == .moment(.transaction(48213)))
        let random = try source("{random_within: 7d, seed: 42}")
        #expect(random.kind == .physical && random.target == .random(within: .seconds(604_800)) && random.seed == 42)
    }

    @Test(arguments: accepted.indices) func `reads every setting`(index: Int) throws {
        let (text, change) = Self.accepted[index]
        var expected = plain
        change(&expected)
        #expect(expected != plain)
        #expect(try DrillPolicyFile.parse(drill(text), fileName: "d.yaml") == expected, "\(text)")
    }

    @Test func `takes settings that say what holds anyway`() throws {
        let text = drill(
            "source: {databases: all, select: {method: latest}}\ntarget: {dir: scratch}\ncleanup: {strategy: always}\n"
                + "report: {formats: [json, md]}")
        #expect(try DrillPolicyFile.parse(text, fileName: "d.yaml") == plain)
    }

    @Test func `reads the metadata and the objectives`() throws {
        let metadata =
            "{name: d, version: 3, owner: o, function: f, criticality: important, plan_ref: 'r #1', labels: {tier: '1'}}"
        let text = drill().replacing("{name: d}", with: metadata).replacing(
            "rpo: 15m}", with: "rpo: 15m, rta_ends_at: verified, assume: {detect: 5m, declare: 0s}}")
        let policy = try DrillPolicyFile.parse(text, fileName: "d.yaml")
        var expected = DrillPolicy.Metadata(name: "d")
        expected.version = 3
        expected.owner = "o"
        expected.function = "f"
        expected.criticality = .important
        expected.planReference = "r #1"
        expected.labels = ["tier": "1"]
        #expect(policy.metadata == expected)
        #expect(policy.objectives.detect == .seconds(300))
        #expect(policy.objectives.declare == .zero)
    }

    private static let checks: [(String, DrillCheck)] = [
        (
            "{id: c, type: rows, with: {tables: [projects, tasks], database: apex}, expect: {vs: manifest}}",
            DrillCheck(id: "c", .rows(tables: ["projects", "tasks"]), database: "apex")
        ),
        (
            "{id: c, type: rows, with: {tables: all}, gating: false, timeout: 90s}",
            DrillCheck(id: "c", .rows(tables: nil), isGating: false, timeout: .seconds(90))
        ),
        (
            "{id: c, type: sql, with: {sql: 'select 1', database: apex}, expect: {eq: 1}}",
            DrillCheck(id: "c", .sql("select 1", .equal(.number("1"))), database: "apex")
        ),
        ("{id: c, type: sql, with: {sql: q}, expect: {eq: '1'}}", DrillCheck(id: "c", .sql("q", .equal(.text("1"))))),
        (
            "{id: c, type: sql, with: {sql: q}, expect: {eq: true}}",
            DrillCheck(id: "c", .sql("q", .equal(.boolean(true))))
        ),
        ("{id: c, type: sql, with: {sql: q}, expect: {ne: null}}", DrillCheck(id: "c", .sql("q", .different(.null)))),
        ("{id: c, type: sql, with: {sql: q}, expect: {lt: 9}}", DrillCheck(id: "c", .sql("q", .less(.number("9"))))),
        ("{id: c, type: sql, with: {sql: q}, expect: {le: 9}}", DrillCheck(id: "c", .sql("q", .atMost(.number("9"))))),
        ("{id: c, type: sql, with: {sql: q}, expect: {gt: 9}}", DrillCheck(id: "c", .sql("q", .greater(.number("9"))))),
        ("{id: c, type: sql, with: {sql: q}, expect: {ge: 9}}", DrillCheck(id: "c", .sql("q", .atLeast(.number("9"))))),
        (
            "{id: c, type: sql, with: {sql: q}, expect: {between: [1, 9.5]}}",
            DrillCheck(id: "c", .sql("q", .between(.number("1"), .number("9.5"))))
        ),
        (
            "{id: c, type: sql, with: {sql: q}, expect: {in: [a, 2]}}",
            DrillCheck(id: "c", .sql("q", .oneOf([.text("a"), .number("2")])))
        ),
        (
            "{id: c, type: sql, with: {sql: q}, expect: {matches: '^9f'}}",
            DrillCheck(id: "c", .sql("q", .matches("^9f")))
        ),
        ("{id: c, type: structure}", DrillCheck(id: "c", .structure)),
        ("{id: c, type: roles, expect: {vs: manifest}}", DrillCheck(id: "c", .roles)),
        ("{id: c, type: extensions}", DrillCheck(id: "c", .extensions)),
        ("{id: c, type: sequences, with: {database: apex}}", DrillCheck(id: "c", .sequences, database: "apex")),
        (
            "{id: c, type: amcheck, gating: true, with: {heapallindexed: true}}",
            DrillCheck(id: "c", .amcheck(heapAllIndexed: true), isGating: true)
        ),
        (
            "{id: c, type: http, with: {url: 'http://localhost:8000/health'}}",
            DrillCheck(id: "c", .http(url: "http://localhost:8000/health", status: 200))
        ),
        (
            "{id: c, type: http, with: {url: 'https://h/ready'}, expect: {status: 503}}",
            DrillCheck(id: "c", .http(url: "https://h/ready", status: 503))
        ),
        (
            "{id: c, type: command, with: {argv: [pytest, tests/e2e/, -v]}}",
            DrillCheck(id: "c", .command(DrillCommand(arguments: ["pytest", "tests/e2e/", "-v"]), exitStatus: 0))
        ),
        (
            "{id: c, type: command, with: {argv: [p], database: apex}}",
            DrillCheck(id: "c", .command(DrillCommand(arguments: ["p"]), exitStatus: 0), database: "apex")
        ),
        (
            "{id: c, type: command, with: {argv: [p], env: {A: 'x{{target.url}}', B: 'env:C', D: 1}}, expect: {exit: 3}}",
            DrillCheck(
                id: "c",
                .command(
                    DrillCommand(
                        arguments: ["p"],
                        environment: ["A": .text("x{{target.url}}"), "B": .secret(.environment("C")), "D": .text("1")]),
                    exitStatus: 3))
        ),
    ]

    @Test(arguments: checks.indices) func `reads every kind of check`(index: Int) throws {
        let (text, expected) = Self.checks[index]
        let gate = "{id: gate, type: roles}"
        let policy = try DrillPolicyFile.parse(drill(check: "\(gate)\n  - \(text)"), fileName: "d.yaml")
        #expect(policy.checks == [DrillCheck(id: "gate", .roles), expected], "\(text)")
    }

    @Test func `lets every kind of check gate but amcheck, with two minutes each`() {
        #expect(DrillCheck.Kind.allCases.filter { !$0.gatesByDefault } == [.amcheck])
        #expect(DrillCheck(id: "c", .roles).timeout == .seconds(120))
    }

    @Test(arguments: [
        ("chekcs: []", "unknown key 'chekcs'; did you mean 'checks'?"),
        ("steps: []", "key 'steps' is not supported by this version"),
        ("schedule: {cron: x}", "key 'schedule' is not supported by this version"),
        ("guards: {}", "key 'guards' is not supported by this version"),
        ("hypothesis: []", "key 'hypothesis' is not supported by this version"),
        ("notify: []", "key 'notify' is not supported by this version"),
        ("ignore: []", "key 'ignore' is not supported by this version"),
        ("scenario: {type: pitr}", "'scenario.type: pitr' is not supported by this version"),
        ("scenario: {kind: restore}", "unknown key 'kind' in 'scenario'"),
        ("source: {kind: any}", "'source.kind: any' is not supported by this version"),
        ("source: {kind: physical, databases: [a]}", "'source.databases' can not name databases of a physical backup"),
        ("source: {kind: physical, target: {latest: true, name: a}}", "'source.target' must have one target"),
        ("source: {kind: physical, target: {latest: false}}", "'source.target.latest' can only be true"),
        ("source: {kind: physical, target: {time: yesterday}}", "'source.target.time' can not be 'yesterday'"),
        (
            "source: {kind: physical, target: {xid: 0}}",
            "'source.target.xid' must be a whole number from 1 to 9223372036854775807, not '0'"
        ),
        ("source: {kind: physical, target: {xid: 7}}", "'source.target.xid' needs the backup to begin with"),
        (
            "source: {kind: physical, target: {xid: 7}, select: {method: oldest}}",
            "'source.target.xid' needs the backup to begin with"
        ),
        ("source: {kind: physical, target: {lsn: 12}}", "'source.target.lsn' can not be '12'"),
        (
            "source: {kind: physical, target: {latest: true, seed: 1}}",
            "'source.target.seed' is given, but the target is not random"
        ),
        ("source: {system: s}", "key 'system' in 'source' is not supported by this version"),
        (
            "source: {target: {latest: true}}",
            "'source.target' is given, but a logical backup has one recovery point"
        ),
        ("source: {select: {method: random}}", "'source.select.method: random' is not supported by this version"),
        ("source: {select: {method: newest}}", "'source.select.method' can not be 'newest'"),
        ("source: {select: {method: latest, id: x}}", "'source.select.id' is given, but the method is 'latest'"),
        ("source: {select: {method: id}}", "key 'id' is missing in 'source.select'"),
        ("source: {select: {method: id, id: x}}", "'source.select.id' can not be 'x'"),
        (
            "source: {select: {method: latest, store: primary}}",
            "key 'store' in 'source.select' is not supported by this version"
        ),
        ("target: {type: kubernetes}", "'target.type: kubernetes' is not supported by this version"),
        ("target: {pg_major: 16}", "'target.pg_major: 16' is not supported by this version"),
        ("target: {dir: relative}", "'target.dir' must be scratch or an absolute path, not 'relative'"),
        ("target: {listen: loopback}", "key 'listen' in 'target' is not supported by this version"),
        ("target: {overrides: {archive_mode: on}}", "'archive_mode' isolates the drill's server and can only be 'off'"),
        (
            "target: {overrides: {listen_addresses: '*'}}",
            "'listen_addresses' isolates the drill's server and can not be overridden"
        ),
        ("target: {overrides: {Listen_Addresses: '*'}}", "'Listen_Addresses' can not be the name of a setting"),
        (
            "cleanup: {strategy: hold_on_failure}",
            "'cleanup.strategy: hold_on_failure' is not supported by this version"
        ),
        ("cleanup: {hold_for: 1h}", "key 'hold_for' in 'cleanup' is not supported by this version"),
        ("report: {formats: [html]}", "'report.formats[0]: html' is not supported by this version"),
        ("report: {formats: [md]}", "'report.formats' must have json"),
        ("report: {keep: 7d}", "key 'keep' in 'report' is not supported by this version"),
    ])
    func `refuses what it does not know or would ignore`(text: String, expected: String) {
        let message = problem(drill(text))
        #expect(
            message?.hasPrefix("d.yaml:7:") == true && message?.hasSuffix(": " + expected) == true, "\(message ?? "")")
    }

    @Test func `refuses a check that a physical backup cannot answer`() {
        let message = problem(drill("source: {kind: physical}"))
        #expect(
            message?.hasSuffix(": a rows check can not be asked of a physical backup") == true, "\(message ?? "")")
    }

    @Test(arguments: [
        ("{type: rows}", "key 'id' is missing in 'checks[0]'"), ("{id: a}", "key 'type' is missing in 'checks[0]'"),
        ("{id: a b, type: rows}", "'checks[0].id' can not be 'a b'"),
        ("{id: a, type: row}", "'checks[0].type' can not be 'row'; did you mean 'rows'?"),
        ("{id: a, type: rows_vs_manifest}", "'checks[0].type: rows_vs_manifest' is not supported by this version"),
        ("{id: a, type: rows, when: x}", "key 'when' in 'checks[0]' is not supported by this version"),
        ("{id: a, type: rows, with: {table: t}}", "key 'table' in 'checks[0].with' is not supported by this version"),
        ("{id: a, type: rows, with: {sql: q}}", "unknown key 'sql' in 'checks[0].with'"),
        (
            "{id: a, type: rows, expect: {between: [1, 2]}}",
            "key 'between' in 'checks[0].expect' is not supported by this version"
        ),
        (
            "{id: a, type: rows, expect: {vs: previous}}",
            "'checks[0].expect.vs: previous' is not supported by this version"
        ),
        ("{id: a, type: rows, timeout: 30}", "'checks[0].timeout': '30' has no unit; write 30s, 30m, 30h or 30d"),
        ("{id: a, type: rows, timeout: 0s}", "'checks[0].timeout' must be at least 1 ms, not '0s'"),
        ("{id: a, type: rows, gating: yes}", "'checks[0].gating' must be true or false, not 'yes'"),
        ("{id: a, type: sql, sql: q, expect: {eq: 1}}", "key 'sql' in 'checks[0]' is not supported by this version"),
        ("{id: a, type: sql, expect: {eq: 1}}", "key 'with' is missing in 'checks[0]'"),
        ("{id: a, type: sql, with: {sql: q}}", "key 'expect' is missing in 'checks[0]'"),
        ("{id: a, type: sql, with: {sql: q}, expect: {eq: 1, ne: 2}}", "'checks[0].expect' must have one key"),
        (
            "{id: a, type: sql, with: {sql: q}, expect: {is: 1}}",
            "unknown key 'is' in 'checks[0].expect'; did you mean 'in'?"
        ),
        (
            "{id: a, type: sql, with: {sql: q}, expect: {between: [9, 1]}}",
            "'checks[0].expect.between' is empty: 9 is greater than 1"
        ),
        (
            "{id: a, type: sql, with: {sql: q}, expect: {between: [9]}}",
            "'checks[0].expect.between' must be a list of two values: [1, 9]"
        ),
        (
            "{id: a, type: sql, with: {sql: q}, expect: {lt: null}}",
            "'checks[0].expect.lt' must be a number or a text, not NULL"
        ),
        ("{id: a, type: roles, with: {database: d}}", "unknown key 'database' in 'checks[0].with'"),
        (
            "{id: a, type: rows, with: {database: d}}\nsource: {databases: [b, c]}",
            "'checks[0].with.database' can not be 'd', which 'source.databases' leaves out"
        ),
        ("{id: a, type: amcheck, expect: {eq: 0}}", "an amcheck has no 'expect'"),
        (
            "{id: a, type: amcheck, with: {sample: 10%}}",
            "key 'sample' in 'checks[0].with' is not supported by this version"
        ),
        (
            "{id: a, type: http, with: {url: 'ftp://h'}}",
            "'checks[0].with.url' must be an http:// or https:// URL, not 'ftp://h'"
        ),
        ("{id: a, type: http, with: {url: 'http://u:p@h/'}}", "'checks[0].with.url' holds a password"),
        (
            "{id: a, type: http, with: {url: 'http://h/', prove: nonce}}",
            "key 'prove' in 'checks[0].with' is not supported by this version"
        ),
        (
            "{id: a, type: command, with: {argv: [./check]}}",
            "'checks[0].with.argv[0]' can not be './check'; a drill has no working directory of its own"
        ),
        ("{id: a, type: command, with: {argv: pytest -v}}", "'checks[0].with.argv' must be a list, not a single value"),
        (
            "{id: a, type: command, with: {argv: [p, '{{target.url}}']}}",
            "'checks[0].with.argv[1]' has a placeholder; they are replaced in 'env' only"
        ),
        (
            "{id: a, type: command, with: {argv: [p], env: {A: '{{evidence}}'}}}",
            "'checks[0].with.env.A' has an unknown placeholder"
        ),
        (
            "{id: a, type: command, with: {argv: [p], env: {'A=B': x}}}",
            "'A=B' can not be the name of an environment variable"
        ),
        (
            "{id: a, type: command, with: {argv: [p]}, expect: {exit: 256}}",
            "'checks[0].expect.exit' must be a whole number from 0 to 255, not '256'"
        ),
        ("{id: a, type: amcheck}", "no check is gating; such a drill proves nothing"),
        ("{id: a, type: rows}\n  - {id: a, type: roles}", "a second check has the id 'a'"),
    ])
    func `refuses a check that could not be run as it is written`(check: String, expected: String) {
        let message = problem(drill(check: check))
        #expect(
            message?.hasPrefix("d.yaml:") == true && message?.hasSuffix(": " + expected) == true, "\(message ?? "")")
    }

    @Test(arguments: [
        ("{rpo: 15m}", "d.yaml:4:13: key 'rto' is missing in 'objectives'"),
        ("{rto: 4, rpo: 15m}", "d.yaml:4:19: 'objectives.rto': '4' has no unit; write 4s, 4m, 4h or 4d"),
        ("{rto: 4h, rpo: 15m, mtd: 1d}", "d.yaml:4:33: key 'mtd' in 'objectives' is not supported by this version"),
        (
            "{rto: 4h, rpo: 15m, rta_ends_at: app_ready}",
            "d.yaml:4:46: 'objectives.rta_ends_at: app_ready' is not supported by this version"
        ),
        (
            "{rto: 4h, rpo: 15m, assume: {detekt: 1m}}",
            "d.yaml:4:42: unknown key 'detekt' in 'objectives.assume'; did you mean 'detect'?"
        ),
    ])
    func `refuses objectives it could not judge by`(objectives: String, expected: String) {
        #expect(problem(drill().replacing("{rto: 4h, rpo: 15m}", with: objectives)) == expected)
    }

    @Test(arguments: ["quickstart", "runbook-nightly"])
    func `reads the policies that come with the program`(name: String) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../..")
        let file = root.appending(path: "policies/drills/\(name).yaml")
        let text = try StrictYAML.text(Array(Data(contentsOf: file)), fileName: name)
        let policy = try DrillPolicyFile.parse(text, fileName: name)
        #expect(policy.metadata.name == name)
        #expect(
            policy.checks.map(\.question.kind) == [
                .rows, .sql, .sql, .structure, .roles, .extensions, .sequences, .amcheck,
            ])
        let isQuick = name == "quickstart"
        #expect(policy.objectives.rto == (isQuick ? .seconds(300) : .seconds(14_400)))
        #expect(policy.objectives.rpo == (isQuick ? .seconds(3600) : .seconds(900)))
    }
}
