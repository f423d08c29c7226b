import ApexBackup
import ArgumentParser
import BackupModel

struct Prune: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Apply retention: a dry run unless --apply.",
        discussion: """
            Removes what no rule of the policy keeps, and what runs that died left behind. Never removes a held backup, \
            the last verified one, or the newest ones that 'minimum' asks for. Refuses when this machine's clock cannot \
            be believed; after a backup ('retention.after_backup') the backup stays committed, and the command still \
            ends with 1, so that a repository which fills up does not go unnoticed.

            EXAMPLE
              apex-backup prune --days 30 --apply

            EXIT STATUS
              0 done   1 failed or refused   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Carry the plan out.")
    var apply = false

    @Flag(help: "Only plan, which is what happens without --apply.")
    var dryRun = false

    @Flag(
        help: """
            Believe a clock that is behind the newest backup or has skipped a long time; after one such run with \
            --apply, later ones believe what was skipped before it.
            """)
    var nowIsRight = false

    @Option(help: "Always keep this many of the newest.")
    var minimum: Int?

    @Option(help: "Keep this many of the newest.")
    var last: Int?

    @Option(help: "Keep what is younger than this many days.")
    var days: Int?

    @Option(help: "Keep one of each of this many days.")
    var daily: Int?

    @Option(help: "Keep one of each of this many ISO weeks.")
    var weekly: Int?

    @Option(help: "Keep one of each of this many months.")
    var monthly: Int?

    @Option(help: "Keep one of each of this many years.")
    var yearly: Int?

    func validate() throws {
        if apply, dryRun { throw ValidationError("--apply and --dry-run contradict each other.") }
        for (name, value) in [
            ("last", last), ("days", days), ("daily", daily), ("weekly", weekly), ("monthly", monthly),
            ("yearly", yearly),
        ] {
            if let value, value < 0 { throw ValidationError("--\(name) takes 0 or more.") }
        }
        if let minimum, minimum < 1 { throw ValidationError("--minimum takes 1 or more.") }
    }

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let repository = try settings.repository()
        let prune = RepositoryPrune(
            repository: repository, policy: policy(over: settings.policy.retention),
            window: settings.policy.retentionWindow, trustsClock: nowIsRight)
        guard apply else {
            let plan = try prune.plan()
            if console.isJSON { console.print(json: PrunePlanDocument(plan)) } else { show(plan, on: console) }
            return 0
        }
        let (plan, result) = try await prune.recorded()
        if console.isJSON {
            console.print(json: result)
        } else {
            show(plan, on: console)
            console.print(
                "Removed \(result.removed.count) backups, \(result.givenUp.count) leftovers, "
                    + "\(result.walFiles) files of WAL and \(result.unfinishedFiles) unfinished ones "
                    + "(\(formatBytes(result.bytes))).")
            for id in result.stillRunning { console.print("\(id) is still running and was left alone.") }
        }
        return 0
    }

    private func policy(over base: RetentionPolicy) -> RetentionPolicy {
        let overridden = [last, days, daily, weekly, monthly, yearly].contains { $0 != nil }
        guard overridden || minimum != nil else { return base }
        guard overridden else {
            var policy = base
            policy.minimum = minimum ?? base.minimum
            return policy
        }
        return RetentionPolicy(
            minimum: minimum ?? base.minimum, keepLast: last, days: days, daily: daily ?? 0, weekly: weekly ?? 0,
            monthly: monthly ?? 0, yearly: yearly ?? 0)
    }

    private func show(_ plan: RepositoryPrune.Plan, on console: Console) {
        for kept in plan.retention.kept {
            console.print("keep    \(kept.candidate.id)  \(kept.reasons.map(\.description).joined(separator: ", "))")
        }
        for expired in plan.retention.expired { console.print("remove  \(expired.candidate.id)  \(expired.reason)") }
        for removed in PrunePlanDocument(plan).wal {
            console.print(
                "remove  WAL \(removed.first) to \(removed.last) (\(removed.count) segments)  \(removed.reason)")
        }
        for id in plan.unfinished { console.print("remove  \(id)  its removal was interrupted") }
        for id in plan.leftovers { console.print("clear   \(id)  no backup: left by a run, if its lease is stale") }
        if !plan.abandoned.isEmpty {
            console.print("clear   \(plan.abandoned.count) unfinished files of WAL, left by writers that died")
        }
        if !apply,
            !plan.retention.expired.isEmpty || !plan.leftovers.isEmpty || !plan.unfinished.isEmpty
                || !plan.abandoned.isEmpty || plan.wal.contains(where: { !$0.retention.removed.isEmpty })
        {
            console.print("Nothing was removed; add --apply.")
        }
    }
}

/// A prune plan as JSON.
struct PrunePlanDocument: Encodable {
    struct Decision: Encodable {
        var id: RunID
        var action: String
        var reasons: [String]
    }

    struct RemovedWAL: Encodable {
        var first: String
        var last: String
        var count: UInt64
        var reason: String
    }

    var decisions: [Decision]
    var wal: [RemovedWAL]
    /// How many files of WAL go that their writers had not finished when they died.
    var unfinishedFiles: Int

    init(_ plan: RepositoryPrune.Plan) {
        decisions =
            plan.retention.kept.map {
                Decision(id: $0.candidate.id, action: "keep", reasons: $0.reasons.map(\.description))
            } + plan.retention.expired.map { Decision(id: $0.candidate.id, action: "remove", reasons: [$0.reason]) }
            + plan.unfinished.map { Decision(id: $0, action: "remove", reasons: ["its removal was interrupted"]) }
            + plan.leftovers.map { Decision(id: $0, action: "clear", reasons: ["left by a run without a commit"]) }
        unfinishedFiles = plan.abandoned.count
        wal = plan.wal.flatMap { wal in
            wal.retention.removed.map { removed in
                let range = WALSegmentRange(
                    timeline: removed.timeline, numbers: removed.numbers, size: wal.segmentSize)
                return RemovedWAL(
                    first: range.first?.description ?? "", last: range.last?.description ?? "", count: range.count,
                    reason: "\(removed.reason)")
            }
        }
    }
}

struct Hold: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "hold",
        abstract: "Keep a backup whatever retention says.",
        discussion: """
            EXAMPLE
              apex-backup hold 20261121T020000Z-7f3a --reason "audit 2026"

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Why, for whoever finds it.")
    var reason: String

    @Argument(help: "The backup's name, or latest.")
    var backup: String

    func validate() throws {
        if reason.allSatisfy(\.isWhitespace) { throw ValidationError("--reason says nothing: say why, for others.") }
    }

    func execute(on console: Console) async throws -> Int32 {
        try record(.hold, reason: reason, backup: backup, common: common, console: console)
    }
}

struct Release: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "release",
        abstract: "Let retention decide about a held backup again.",
        discussion: """
            EXAMPLE
              apex-backup release 20261121T020000Z-7f3a --reason "audit closed"

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Why.")
    var reason: String

    @Argument(help: "The backup's name, or latest.")
    var backup: String

    func execute(on console: Console) async throws -> Int32 {
        try record(.release, reason: reason, backup: backup, common: common, console: console)
    }
}

private func record(
    _ kind: BackupFact.Kind, reason: String, backup: String, common: CommonOptions, console: Console
) throws -> Int32 {
    let repository = try common.settings(console).repository()
    let entry = try Catalogue(repository).backup(named: backup)
    let fact = try repository.record(
        BackupFact(kind: kind, at: repository.environment.clocks.wall(), reason: reason), of: entry.id)
    if try Catalogue(repository).entry(entry.id)?.isTombstoned ?? true {
        throw BackupError(
            .backupMissing, "Backup \(entry.id) is being removed by 'apex-backup prune'.",
            remedy: "Choose another backup.", unchanged: "Nothing keeps it any more.")
    }
    if console.isJSON {
        console.print(json: fact)
    } else {
        console.print("\(entry.id) is \(kind == .hold ? "held" : "released"): \(reason)")
    }
    return 0
}
