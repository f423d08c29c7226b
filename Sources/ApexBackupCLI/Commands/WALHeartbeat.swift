import ApexBackup
import ArgumentParser
import BackupModel

struct WALHeartbeatCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "heartbeat",
        abstract: "Write a heartbeat on the server.",
        discussion: """
            A heartbeat is a transaction that only says when it was. It proves up to when a restored server goes, and \
            that a server at rest has lost nothing. 'wal receive', 'backup' and 'mark' write them too.

            EXAMPLE
              apex-backup wal heartbeat

            EXIT STATUS
              0 written   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let result = try await WALHeartbeat(
            repository: try settings.repository(), connection: try settings.connection()
        ).run()
        console.hasDone("Wrote a heartbeat at \(result.lsn).")
        if console.isJSON {
            console.print(json: result)
        } else {
            console.print("Wrote a heartbeat at \(result.lsn), \(result.at.readable).")
        }
        return 0
    }
}
