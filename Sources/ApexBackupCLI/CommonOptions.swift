import ApexBackup
import ArgumentParser
import BackupModel
import FoundationEssentials

/// The options of every command.
struct CommonOptions: ParsableArguments, Sendable {
    @Option(help: "The policy file.")
    var policy: String?

    @Option(help: "The repository's address, file:///path or s3://bucket/prefix.")
    var repository: String?

    @Option(help: "The name of the cluster in the repository.")
    var cluster: String?

    @Flag(help: "Print the result, or the error, as JSON on standard output.")
    var json = false

    @Flag(help: "Print no progress.")
    var quiet = false

    /// The environment that operations run in.
    func environment(_ console: Console) throws(BackupError) -> BackupEnvironment {
        let variables = ProcessInfo.processInfo.environment
        var expiry = Duration.seconds(60)
        if let text = variables["APEX_BACKUP_LEASE_EXPIRY"], !text.isEmpty {
            guard let value = DurationText.parse(text), value > .zero else {
                throw BackupError(
                    .settings, "APEX_BACKUP_LEASE_EXPIRY is '\(text)', which is no duration.",
                    remedy: "Write it with a unit: 60s.", unchanged: "Nothing was done.")
            }
            expiry = value
        }
        var environment = BackupEnvironment(
            variables: variables, leaseExpiry: expiry, events: { console.show($0) })
        environment.isEnding = { EntryPoint.isEnding }
        return environment
    }

    /// The settings in force.
    func settings(_ console: Console, url: String? = nil) throws(BackupError) -> EffectivePolicy {
        var flags = EffectivePolicy.Flags()
        flags.policy = policy
        flags.repository = repository
        flags.cluster = cluster
        flags.url = url
        return try EffectivePolicy.load(flags, environment: try environment(console))
    }
}
