import ApexBackup
import ArgumentParser
import BackupModel

struct Init: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a repository, register the cluster, and say what the server still needs.",
        discussion: """
            Repeated, it changes nothing. --check tries everything that a backup relies on in the repository's \
            storage, with objects that it removes again: two writers that race for one name, for example.

            EXAMPLE
              apex-backup init --repository s3://backups/apex --check

            EXIT STATUS
              0 done   1 failed, or the storage broke a promise   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Record a new system identifier under the cluster's name, after initdb or pg_upgrade.")
    var newClusterIncarnation = false

    @Flag(help: "Try out whether the storage keeps what backups rely on.")
    var check = false

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
            if let violations = outcome.storageViolations { show(violations, on: console) }
        }
        return outcome.storageViolations?.isEmpty == false ? 1 : 0
    }

    private func show(_ violations: [String], on console: Console) {
        if violations.isEmpty { console.print("The storage keeps every promise that was tried.") }
        for violation in violations {
            console.print("- The storage is not fit for backups: \(onOneLine(violation))")
        }
    }

    private func initialize(with settings: EffectivePolicy) async throws -> Initialization.Outcome {
        do {
            let connection = try settings.connection()
            let layout = try settings.layout
            return try await Initialization(
                storage: try settings.storage(creating: true), layout: layout, environment: settings.environment,
                connection: connection, recordsNewIncarnation: newClusterIncarnation, bin: settings.policy.cluster.bin,
                checksStorage: check
            ).run()
        } catch {
            throw RunLog.describe(error).leaving(
                "Nothing was changed on the server and no backup was touched; 'apex-backup init' may be repeated.")
        }
    }
}
