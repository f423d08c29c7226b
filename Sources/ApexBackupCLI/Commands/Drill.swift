import ApexBackup
import ArgumentParser
import BackupModel

struct Drill: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drill",
        abstract: "Prove by restoring: run a drill, and read what drills found.",
        discussion: """
            EXAMPLE
              apex-backup drill run policies/drills/quickstart.yaml

            EXIT STATUS
              0 done or PASS   1 failed or FAIL   2 NOT VERIFIED   3 clean-up failed
              64 wrong usage   78 wrong settings
            """,
        subcommands: [DrillRunCommand.self, DrillPlan.self, DrillList.self, DrillShow.self])
}

struct DrillRunCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the drill that a policy describes, and report the measured RTA and RPA.",
        discussion: """
            A server of its own is made in a scratch directory, listens on a Unix socket only, and is removed afterwards \
            on every path. The report is kept in the repository. Whatever keeps the drill from proving anything, no \
            repository included, is NOT VERIFIED.

            EXAMPLE
              apex-backup drill run policies/drills/quickstart.yaml

            EXIT STATUS
              0 PASS   1 FAIL   2 NOT VERIFIED   3 clean-up failed
              64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "What the choice of a random target begins with: the same seed and window give the same moment.")
    var seed: UInt32?

    @Argument(help: "The drill policy, a YAML file.")
    var file: String

    func execute(on console: Console) async throws -> Int32 {
        var (policy, digest) = try DrillPolicyText.read(file)
        if let seed {
            guard case .random = policy.source.target else {
                throw BackupError(
                    .usage, "--seed does not go together with this policy.",
                    reason: "its target is not chosen by chance",
                    remedy: "Leave it out, or set source.target to {random_within: window}.",
                    unchanged: "No drill was run.")
            }
            policy.source.seed = seed
        }
        let outcome = try await DrillRun.run(policy, digest: digest, settings: try common.settings(console))
        console.hasDone("Drill \(outcome.report.id) ended with \(outcome.verdict.headline).")
        if console.isJSON {
            console.print(json: outcome.report)
        } else {
            console.print(outcome.report.markdown)
            console.print("Report: \(outcome.location ?? "kept nowhere; see the reasons above")")
        }
        return outcome.exitStatus
    }
}

struct DrillPlan: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Print what a drill would do; touches nothing.",
        discussion: """
            EXAMPLE
              apex-backup drill plan policies/drills/quickstart.yaml

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "The drill policy, a YAML file.")
    var file: String

    func execute(on console: Console) async throws -> Int32 {
        let (policy, digest) = try DrillPolicyText.read(file)
        let plan = DrillPlanText(policy: policy, digest: digest)
        if console.isJSON { console.print(json: plan) } else { console.print(plan.text) }
        return 0
    }
}

struct DrillList: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List all drills of the cluster from the ledger.",
        discussion: """
            EXAMPLE
              apex-backup drill list --json

            EXIT STATUS
              0 done   1 failed, or the ledger is broken   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    func execute(on console: Console) async throws -> Int32 {
        let repository = try common.settings(console).repository()
        try repository.requireRegistration()
        let entries = try DrillLedger(repository).entries()
        if console.isJSON {
            console.print(json: entries)
            return 0
        }
        var table = TextTable(header: ["NUMBER", "DRILL", "VERDICT", "AT", "POLICY"])
        for entry in entries {
            table.rows.append([
                "\(entry.number)", entry.id.text, entry.verdict.headline, entry.at.readable, entry.policy,
            ])
        }
        console.print(entries.isEmpty ? "There are no drills. Run one with 'apex-backup drill run'." : table.text)
        return 0
    }
}

struct DrillShow: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print the report of a drill, checked against the ledger.",
        discussion: """
            EXAMPLE
              apex-backup drill show latest

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "The drill's name, or latest.")
    var drill = "latest"

    func execute(on console: Console) async throws -> Int32 {
        let repository = try common.settings(console).repository()
        try repository.requireRegistration()
        let (report, _) = try DrillLedger(repository).report(drill)
        if console.isJSON { console.print(json: report) } else { console.print(report.markdown) }
        return 0
    }
}

/// What a drill policy will do, for people and as JSON.
struct DrillPlanText: Encodable {
    var policy: String
    var policySHA256: String
    var steps: [String]
    var checks: [String]

    init(policy: DrillPolicy, digest: SHA256Digest) {
        self.policy = policy.metadata.name
        policySHA256 = digest.description
        checks = policy.checks.map {
            "\($0.id) (\($0.question.kind.rawValue), \($0.isGating ? "gating" : "advisory")): "
                + $0.question.expectation.description
        }
        let kind = policy.source.kind
        let source: String =
            switch policy.source.selection {
            case .latest: "the latest \(kind.rawValue) backup"
            case .oldest: "the oldest \(kind.rawValue) backup"
            case .id(let id): "backup \(id)"
            }
        guard kind == .logical else {
            steps = Self.physicalSteps(policy, source)
            return
        }
        steps = [
            "declare the failure now; RTO \(DurationText.format(policy.objectives.rto)), RPO "
                + "\(DurationText.format(policy.objectives.rpo))",
            "select \(source)"
                + (policy.source.databases.map { ", databases \($0.joined(separator: ", "))" } ?? ", all databases"),
            "provision an own server of the same major in \(policy.target.directory ?? "a temporary directory"), socket only",
            "restore roles and databases, ANALYZE, compare row counts",
            "run the gating checks; recovery ends with the last of them",
            "run the advisory checks", "stop and remove the server, and look that it is gone",
            "write the report and the ledger entry into the repository",
        ]
    }

    private static func physicalSteps(_ policy: DrillPolicy, _ source: String) -> [String] {
        let target =
            switch policy.source.target {
            case .moment(.latest): "the end of the WAL"
            case .moment(.immediate): "where it is consistent"
            case .moment(.time(let time)): "\(time.readable)"
            case .moment(.position(let lsn)): "\(lsn)"
            case .moment(.restorePoint(let name)): "restore point '\(name)'"
            case .moment(.transaction(let number)): "transaction \(number)"
            case .random(let within):
                "a random moment that can be reached"
                    + (within.map { " of the last \(DurationText.format($0)) of WAL" } ?? "")
                    + (policy.source.seed.map { ", seed \($0)" } ?? "")
            }
        // The only thing that a drill asks of the source.
        let asked =
            policy.source.target == .moment(.latest)
            ? ", and ask the source where it has written its WAL to, if it answers" : ""
        return [
            "declare the failure now\(asked); RTO \(DurationText.format(policy.objectives.rto)), RPO "
                + "\(DurationText.format(policy.objectives.rpo))",
            "select \(source) from which \(target) is reached, and prove from the archive that all WAL up to there is stored",
            "provision a directory in \(policy.target.directory ?? "a temporary directory")",
            "restore the files, and start an own server of the same major on them, socket only",
            "replay the WAL; the server waits at the target, and is asked of the transactions on both sides of it",
            "promote the server, and see it take a write",
            "run the gating checks; recovery ends with the last of them",
            "run the advisory checks", "stop and remove the server, and look that it is gone",
            "write the report and the ledger entry into the repository",
        ]
    }

    var text: String {
        (["Drill '\(policy)' will:"] + steps.enumerated().map { "  \($0 + 1). \($1)" } + ["Checks:"]
            + checks.map { "  - \($0)" } + ["Nothing was touched."]).joined(separator: "\n")
    }
}
