import ApexBackup
import ArgumentParser
import BackupModel

struct Init: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a repository, register the cluster, and say what the server still needs.",
        discussion: """
            Repeated, it changes nothing.

            EXAMPLE
              apex-backup init --repository file:///var/lib/apex-backup

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Record a new system identifier under the cluster's name, after initdb or pg_upgrade.")
    var newClusterIncarnation = false

    @Argument(help: "The server's connection URL; otherwise the policy's cluster.url or APEX_DATABASE_URL.")
    var url: String?

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console, url: url)
        let outcome = try await initialize(with: settings)
        if console.isJSON {
            console.print(json: outcome)
        } else {
            console.print(
                "\(outcome.isNew ? "Made" : "Found") the repository \(outcome.repository); cluster "
                    + "'\(outcome.cluster)' is PostgreSQL \(outcome.serverVersion), system identifier "
                    + "\(outcome.systemIdentifier).")
            for need in outcome.needs { console.print("- \(onOneLine(need))") }
        }
        return 0
    }

    private func initialize(with settings: EffectivePolicy) async throws -> Initialization.Outcome {
        do {
            let connection = try settings.connection()
            let layout = try settings.layout
            return try await Initialization(
                storage: try settings.storage(creating: true), layout: layout, environment: settings.environment,
                connection: connection, recordsNewIncarnation: newClusterIncarnation, bin: settings.policy.cluster.bin
            ).run()
        } catch {
            throw RunLog.describe(error).leaving(
                "Nothing was changed on the server and no backup was touched; 'apex-backup init' may be repeated.")
        }
    }
}
