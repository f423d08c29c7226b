import ApexBackup
import ArgumentParser
import BackupModel

struct Verify: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Prove what is stored.",
        discussion: """
            list: every object is there and has its size. checksum: stored bytes and content have their digests. \
            deep: PostgreSQL's own programs read all data as well. --all verifies the archived WAL too, also what no \
            backup needs for itself; it tells each hole in it, which is wrong if WAL behind it is reached from no backup. \
            And it compares the index of the WAL with the segments: that they are there, their sizes, or what they say.

            EXAMPLE
              apex-backup verify --all --level deep

            EXIT STATUS
              0 everything is right   1 something is not   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "list, checksum or deep.")
    var level = BackupVerification.Level.checksum

    @Flag(help: "Verify every backup, and the archived WAL.")
    var all = false

    @Argument(help: "The backup's name, or latest.")
    var backup: String?

    func validate() throws {
        if all, backup != nil { throw ValidationError("Name one backup, or --all.") }
    }

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let repository = try settings.repository()
        let verification = BackupVerification(
            repository: repository, level: level, bin: settings.policy.cluster.bin)
        let outcome = try await verification.run(all ? nil : backup ?? "latest")
        let archive = WALVerification(
            repository: repository, level: level, window: settings.policy.retentionWindow)
        let archived = all ? try await archive.run() : []
        if console.isJSON {
            console.print(
                json: outcome.backups.map(Verified.backup) + archived.map(Verified.wal)
                    + outcome.indexes.map(Verified.index))
        } else {
            for report in outcome.backups { show(report, on: console) }
            if outcome.backups.isEmpty { console.print("There are no backups.") }
            for report in archived { show(report, on: console) }
            for report in outcome.indexes { show(report, on: console) }
        }
        return outcome.succeeded && archived.allSatisfy(\.succeeded) ? 0 : 1
    }

    /// An element of the JSON.
    private enum Verified: Encodable {
        case backup(BackupVerification.Report)
        case wal(WALVerification.Report)
        case index(WALIndexVerification.Report)

        func encode(to encoder: any Encoder) throws {
            switch self {
            case .backup(let report): try report.encode(to: encoder)
            case .wal(let report): try report.encode(to: encoder)
            case .index(let report): try report.encode(to: encoder)
            }
        }
    }

    private func show(_ report: WALVerification.Report, on console: Console) {
        let isDamaged = report.problems.contains { $0.code != .walMissing }
        console.print(
            "WAL of \(report.systemIdentifier): \(report.succeeded ? "right" : isDamaged ? "DAMAGED" : "INCOMPLETE") (\(report.level.rawValue), "
                + "\(report.objects) objects, \(formatBytes(report.bytes)), "
                + "\(DurationText.format(.seconds(report.seconds))))")
        for hole in report.holes {
            let meaning =
                hole.isBeingFilled
                ? "something is being stored there"
                : hole.neededBy.map { "backup \($0) does not get past it" } ?? "nothing that is promised is lost"
            console.print("  missing      \(hole.first) to \(hole.last), \(hole.count) segments: \(meaning)")
        }
        for problem in report.problems { console.report(problem) }
    }

    private func show(_ report: WALIndexVerification.Report, on console: Console) {
        console.print(
            "index of the WAL of \(report.systemIdentifier): \(report.succeeded ? "right" : "WRONG") "
                + "(\(report.level.rawValue), \(report.logs) log folders, "
                + "\(DurationText.format(.seconds(report.seconds))))")
        for problem in report.problems { console.report(problem) }
    }

    private func show(_ report: BackupVerification.Report, on console: Console) {
        let result = report.succeeded ? "right" : report.isDamaged ? "DAMAGED" : "NOT VERIFIED"
        console.print(
            "\(report.id): \(result) (\(report.level.rawValue), \(report.objects) objects, "
                + "\(formatBytes(report.bytes)), \(DurationText.format(.seconds(report.seconds))))")
        for problem in report.problems { console.report(problem) }
    }
}

extension BackupVerification.Level: ExpressibleByArgument {}
