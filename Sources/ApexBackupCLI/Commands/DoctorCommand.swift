import ApexBackup
import ArgumentParser
import BackupModel

struct DoctorCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look at the server and the way of its WAL into the repository, and say what mends it.",
        discussion: """
            Each finding has the exact statement that mends it, for a superuser to run. A real WAL segment is sent \
            through the archive and read back: heartbeats are written and the segment is ended. Everything that a backup \
            relies on is tried in the repository's storage, with objects that are removed again: two writers that race \
            for one name, for example. Nothing else is changed. What the role may not see is said to be not known.

            EXAMPLE
              apex-backup doctor
              apex-backup doctor --json --no-round-trip --no-storage-check

            EXIT STATUS
              0 nothing is worse than a note   1 a warning or an error   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "How long to wait until the segment is in the repository, for example 30s.")
    var wait = "30s"

    @Flag(help: "Send no segment through the archive.")
    var noRoundTrip = false

    @Flag(help: "Do not try out whether the storage keeps what backups rely on.")
    var noStorageCheck = false

    @Argument(help: "The server's connection URL; otherwise the policy's cluster.url or APEX_DATABASE_URL.")
    var url: String?

    func validate() throws {
        guard let wait = DurationText.parse(wait), wait >= .zero else {
            throw ValidationError("--wait takes a duration such as 30s or 5m.")
        }
    }

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console, url: url)
        let findings = try await Doctor(
            settings: settings, patience: noRoundTrip ? nil : DurationText.parse(wait), checksStorage: !noStorageCheck
        ).run()
        if console.isJSON {
            console.print(json: findings.map(Row.init))
        } else {
            for finding in findings { show(finding, on: console) }
        }
        return findings.allSatisfy { $0.level >= .note } ? 0 : 1
    }

    private func show(_ finding: DoctorFinding, on console: Console) {
        let level =
            switch finding.level {
            case .error: "ERROR  "
            case .warning: "WARNING"
            case .note: "note   "
            case .ok: "ok     "
            }
        console.print("\(level)  \(finding.code.rawValue): \(onOneLine(finding.found))")
        if let why = finding.why { console.print("           why:  \(onOneLine(why))") }
        if let mend = finding.mend { console.print("           do:   \(onOneLine(mend.text))") }
    }

    /// A finding as JSON.
    private struct Row: Encodable {
        var code: DoctorFinding.Code
        var level: DoctorFinding.Level
        var found: String
        var why: String?
        /// What a superuser runs on the server.
        var statements: [String]
        var needsRestart: Bool
        /// What is to be done besides, or instead.
        var action: String?

        init(_ finding: DoctorFinding) {
            code = finding.code
            level = finding.level
            found = finding.found
            why = finding.why
            statements = finding.mend?.statements ?? []
            needsRestart = finding.mend?.needsRestart ?? false
            action = finding.mend?.action
        }
    }
}
