import ApexBackup
import ArgumentParser
import BackupModel

struct Mark: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "mark",
        abstract: "Mark a moment to which a restore can go back, before a migration for example.",
        discussion: """
            Makes a restore point of this name on the server, ends the WAL segment, and waits until that is archived. \
            'restore --to name:NAME' goes back to it.

            EXAMPLE
              apex-backup mark before-migration-42

            EXIT STATUS
              0 marked, and archived   1 failed, or not archived in time   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "How long to wait until the mark is archived, for example 30s.")
    var wait = "60s"

    @Argument(help: "The name, of 1 to 63 bytes.")
    var name: String

    func validate() throws {
        guard let wait = DurationText.parse(wait), wait >= .zero else {
            throw ValidationError("--wait takes a duration such as 30s or 5m.")
        }
    }

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let mark = RecoveryMark(
            repository: try settings.repository(), connection: try settings.connection(),
            patience: DurationText.parse(wait) ?? .zero)
        let result = try await mark.run(name: name)
        console.hasDone("Marked '\(onOneLine(name))' at \(result.lsn).")
        if console.isJSON {
            console.print(json: result)
        } else {
            console.print(
                "Marked '\(onOneLine(name))' at \(result.lsn) on timeline \(result.timeline), \(result.at.readable).")
            console.print("Go back to it with: apex-backup restore --to 'name:\(onOneLine(name))' --to /DIRECTORY")
        }
        guard result.isArchived else {
            Console.writeError(
                "apex-backup: warning: WAL segment \(result.segment), which holds the mark, is not archived yet: see "
                    + "pg_stat_archiver on the server. Until it is, the mark cannot be restored.")
            return 1
        }
        return 0
    }
}
