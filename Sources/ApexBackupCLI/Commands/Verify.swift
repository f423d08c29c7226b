import ApexBackup
import ArgumentParser
import BackupModel

struct Verify: OperatorCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prove what is stored.",
        discussion: """
            list: every object is there and has its size. checksum: stored bytes and content have their digests. \
            deep: PostgreSQL's own programs read all data as well.

            EXAMPLE
              apex-backup verify --all --level deep

            EXIT STATUS
              0 everything is right   1 something is not   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "list, checksum or deep.")
    var level = BackupVerification.Level.checksum

    @Flag(help: "Verify every backup.")
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
        let reports = try await verification.run(all ? nil : backup ?? "latest")
        if console.isJSON {
            console.print(json: reports)
        } else {
            for report in reports { show(report, on: console) }
            if reports.isEmpty { console.print("There are no backups.") }
        }
        return reports.allSatisfy(\.succeeded) ? 0 : 1
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
