import ApexBackup
import ArgumentParser
import BackupModel

struct WALIndexCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "index",
        abstract: "Roll up what the archived WAL says, so that plans and 'wal status' need not ask every segment.",
        discussion: """
            Every whole log folder (4 GiB of WAL) that has no roll-up yet gets one. Backups and prune do a little of it \
            each time; this does all. It may be killed, repeated, and run beside anything else. The server is not asked.

            EXAMPLE
              apex-backup wal index

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    func execute(on console: Console) async throws -> Int32 {
        let results = try WALIndexing(repository: try common.settings(console).repository()).run()
        if console.isJSON {
            console.print(json: results)
        } else {
            if results.isEmpty { console.print("There is no physical backup, to which WAL could be applied.") }
            for result in results {
                console.print(
                    "System identifier \(result.systemIdentifier): rolled up \(result.logs) log folders of "
                        + "\(result.segments) segments.")
            }
        }
        return 0
    }
}
