import FoundationEssentials
import Testing

@testable import BackupModel

private func moment(_ hour: Int, _ minute: Int, _ second: Int = 0) -> Timestamp {
    Timestamp(Timestamp.Parts(year: 2026, month: 11, day: 21, hour: hour, minute: minute, second: second))
}

private let examplePolicy: DrillPolicy = {
    var policy = DrillPolicy(
        metadata: .init(name: "runbook|nightly"),
        objectives: .init(rto: .seconds(14_400), rpo: .seconds(900), detect: .seconds(300)),
        checks: [
            DrillCheck(id: "rows", .rows(tables: nil)),
            DrillCheck(id: "orphans", .sql("SELECT 1", .equal(.number("0")))),
            DrillCheck(id: "amcheck", .amcheck(heapAllIndexed: true)),
        ])
    policy.metadata.version = 3
    policy.metadata.owner = "platform-team"
    policy.metadata.labels = ["tier": "1"]
    policy.scenario.text = "The volume is lost.\n<b>Really</b>"
    policy.scenario.controls = ["SOC2-A1.3"]
    return policy
}()

private func report(backupAge: Duration) throws -> DrillReport {
    let t0 = moment(11, 12)
    let spans = [
        DrillSpan(.provision, start: .zero, duration: .milliseconds(1500)),
        DrillSpan(.select, start: .milliseconds(1500), duration: .milliseconds(20)),
        DrillSpan(.restore, start: .milliseconds(1520), duration: .microseconds(2_123_456), bytes: 41_943_040),
        DrillSpan(.verify, start: .microseconds(3_643_456), duration: .milliseconds(250)),
        DrillSpan(.deepVerify, start: .microseconds(3_893_456), duration: .seconds(2)),
        DrillSpan(.cleanup, start: .microseconds(5_893_456), duration: .milliseconds(400)),
    ]
    let checks = examplePolicy.checks
    let observation = DrillObservation(
        results: [
            CheckResult(checks[0], .passed, evidence: "5 tables, 1,204 rows", duration: .milliseconds(120)),
            CheckResult(checks[1], .passed, got: .number("0"), duration: .milliseconds(2)),
            CheckResult(
                checks[2], .failed("index \"a|b\" is\nbroken"), got: .number("1"), evidence: "`x`",
                duration: .seconds(2)),
        ],
        recoveryTime: RecoveryTime(
            spans: spans, recoveredAt: .microseconds(3_893_456), gaveUpAt: .microseconds(3_893_456),
            objectives: examplePolicy.objectives),
        recoveryPoint: RecoveryPoint(
            dumps: [
                .init(
                    database: "apex", at: t0.advanced(by: .zero - backupAge),
                    lsn: LogSequenceNumber(parsing: "0/3000148"), timeline: 4)
            ], declaredFailure: t0, clockUncertainty: .milliseconds(50)))
    var report = DrillReport(
        id: try #require(RunID(parsing: "20261121T111200Z-7f3a")), policy: examplePolicy,
        policySHA256: String(repeating: "a", count: 64),
        clock: .init(
            t0: t0, finishedAt: moment(11, 12, 7),
            difference: ClockDifference(
                server: moment(1, 59, 0), between: moment(1, 59, 0).advanced(by: .milliseconds(-40)),
                and: moment(1, 59, 0).advanced(by: .milliseconds(20)))),
        observation: observation)
    var backup = DrillReport.BackupRecord(
        id: try #require(RunID(parsing: "20261121T020000Z-0001")), kind: "logical",
        recoveryPoint: t0.advanced(by: .zero - backupAge), selection: "latest")
    backup.state = "verified"
    backup.databases = ["apex", "a_b"]
    backup.contentBytes = 41_943_040
    backup.storedBytes = 10_485_760
    backup.artefacts = [
        .init(
            name: "db-16384.dump.gz", sha256: String(repeating: "b", count: 64), bytes: 41_943_040,
            storedBytes: 10_485_760)
    ]
    report.backup = backup
    report.recoveryPoint?.uncertaintyBasis = "the server's clock against another"
    report.target = .init(
        systemIdentifier: "7490000000000000001", serverVersion: "15.14", isolation: ["listen_addresses = ''"],
        overrides: ["jit": "off"])
    report.cleanup = .init(isDone: true, proof: ["no process left", "directory gone"])
    report.environment.host = "drill-1"
    report.environment.operatingSystem = "Debian 12"
    report.environment.cpuCount = 2
    report.environment.memoryBytes = 8 << 30
    report.environment.versions = ["apex-backup": "0.1.0", "pg_restore": "15.14"]
    report.deviations = ["The source does not answer."]
    report.chain = .init(previousDigest: String(repeating: "c", count: 64))
    return report
}

/// A drill that found nothing to restore.
private func emptyReport() throws -> DrillReport {
    var report = DrillReport(
        id: try #require(RunID(parsing: "20261121T111200Z-7f3a")), policy: examplePolicy, policySHA256: "00",
        clock: .init(t0: moment(11, 12), finishedAt: moment(11, 12, 1)),
        observation: DrillObservation(faults: [.noTarget("no space left")]))
    report.cleanup = .init(isDone: false, proof: ["/scratch is still there"])
    return report
}

@Suite struct `Reporting a drill` {
    @Test func `writes JSON with stable names, numbers as numbers, and nothing for what has no value`() throws {
        #expect(try json(report(backupAge: .seconds(33_120))) == goldenJSON)
    }

    @Test func `reads its own JSON`() throws {
        for original in [try report(backupAge: .seconds(60)), try emptyReport()] {
            let read = try JSONDecoder().decode(DrillReport.self, from: JSONEncoder().encode(original))
            #expect(read == original)
        }
    }

    @Test func `writes Markdown for reading`() throws {
        #expect(try report(backupAge: .seconds(33_120)).markdown == goldenMarkdown)
    }

    @Test func `says in plain words what a green drill proved`() throws {
        let text = try report(backupAge: .seconds(60)).markdown
        #expect(text.contains("> **PASS**\n"))
        #expect(
            text.contains(
                "Backup `20261121T020000Z-0001` was restored to an empty server and every gating check held. Recovery took "
                    + "5 min 4 s (RTO 4 h), and 1 min of data would have been lost (RPO 15 min)."))
        #expect(text.contains("| RPO | 15 min | 1 min | dump snapshot | ± 50 ms | 14 min | PASS |"))
    }

    @Test func `says what is missing from a drill that restored nothing, and that clean-up failed`() throws {
        let report = try emptyReport()
        let text = report.markdown
        #expect(report.verdict == .notVerified)
        #expect(text.contains("> **NOT VERIFIED**\n"))
        #expect(text.contains("there was no target to restore to: no space left"))
        #expect(text.contains("> **Clean-up failed**: /scratch is still there"))
        #expect(text.contains("## Recovery point\n\nNothing was restored."))
        #expect(text.contains("| RTO | 4 h | none | measured 0 s, assumed 0 s | – | – | NOT VERIFIED |"))
        let fields = try json(report)
        for absent in ["recovery_point\"", "total_s", "technical_s", "\"backup\"", "\"target\"", "skew"] {
            #expect(!fields.contains(absent), "\(absent)")
        }
        #expect(fields.contains("\"journal_head\" : null,\n    \"prev\" : null,"))
    }

    @Test func `has no recovery time when a gating check failed`() throws {
        let check = DrillCheck(id: "rows", .rows(tables: nil))
        let policy = DrillPolicy(
            metadata: .init(name: "d"), objectives: .init(rto: .seconds(60), rpo: .seconds(60)), checks: [check])
        let report = DrillReport(
            id: try #require(RunID(parsing: "20261121T111200Z-7f3a")), policy: policy, policySHA256: "00",
            clock: .init(t0: moment(11, 12), finishedAt: moment(11, 13)),
            observation: DrillObservation(
                results: [CheckResult(check, .failed("1 table differs"))],
                recoveryTime: RecoveryTime(
                    spans: [], recoveredAt: .seconds(5), gaveUpAt: .seconds(5), objectives: policy.objectives)))
        #expect(report.recoveryTime.total == nil)
        #expect(report.recoveryTime.notRecoveredWithin?.duration == .seconds(5))
        #expect(report.markdown.contains("none; not recovered within 5.0 s"))
    }

    @Test(arguments: [
        ("a|b", "a\\|b"), ("a\nb\r\nc", "a b  c"), ("`x`", "\\`x\\`"), ("<img src=x>&", "&lt;img src=x&gt;&amp;"),
        ("[a](b)", "\\[a\\](b)"), ("a\u{202E}b\u{0}", "a\u{FFFD}b\u{FFFD}"), ("näme", "näme"), ("a\\", "a\\\\"),
    ])
    func `escapes what others wrote`(text: String, expected: String) {
        #expect(escapedForMarkdown(text) == expected)
    }

    @Test(arguments: [
        (Duration.microseconds(1), "1e-06"), (.microseconds(1_310_400_001), "1310.400001"), (.seconds(600), "600"),
    ])
    func `writes seconds with at most six decimals`(duration: Duration, expected: String) throws {
        let data = try JSONEncoder().encode([ReportSeconds(duration)])
        #expect(String(decoding: data, as: UTF8.self) == "[\(expected)]")
        #expect(try JSONDecoder().decode([ReportSeconds].self, from: data).first?.duration == duration)
    }

    @Test func `ties each ledger entry to the one before it`() throws {
        let report = try report(backupAge: .seconds(60))
        let first = DrillLedgerEntry(of: report, sha256: "aa", after: nil)
        #expect(first.number == 1 && first.previous == nil && first.verdict == .pass)
        let second = DrillLedgerEntry(of: report, sha256: "bb", after: (first, "digest of the first"))
        #expect(second.number == 2 && second.previous == "digest of the first")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        #expect(
            String(decoding: try encoder.encode(second), as: UTF8.self)
                == #"{"at":"2026-11-21T11:12:07Z","id":"20261121T111200Z-7f3a","number":2,"policy":"runbook|nightly","#
                + #""previous":"digest of the first","report_sha256":"bb","verdict":"pass"}"#)
    }

    private func json(_ report: DrillReport) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }

    @Test func `names what the fingerprint of a schema leaves out, where a check asks for it`() {
        var policy = examplePolicy
        let isNamed = { policy.notTested.contains { $0.hasPrefix("Grants, comments, rules") } }
        #expect(!isNamed() && policy.notTested.contains("The schema against the manifest: no structure check."))
        policy.checks.append(DrillCheck(id: "structure", .structure))
        #expect(isNamed() && !policy.notTested.contains { $0.hasPrefix("The schema against") })
    }
}
