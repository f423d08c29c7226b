package import BackupModel
package import BackupStorage
import FoundationEssentials
package import PostgresAccess

/// The settings in force: the policy file, then environment variables, then flags; later wins.
package struct EffectivePolicy: Sendable {
    /// What flags say.
    package struct Flags: Sendable {
        package var policy: String?
        package var repository: String?
        package var cluster: String?
        package var url: String?

        package init() {}
    }

    package let policy: BackupPolicy
    package let environment: BackupEnvironment

    private static let standardFile = "/etc/apex-backup/policy.yaml"

    /// Reads the file that the flags, `APEX_BACKUP_POLICY` or the standard place name, and lays the rest over it.
    package static func load(_ flags: Flags, environment: BackupEnvironment) throws(BackupError) -> EffectivePolicy {
        let variables = environment.variables
        var policy = BackupPolicy()
        if let path = flags.policy ?? nonEmpty(variables["APEX_BACKUP_POLICY"]) {
            policy = try read(path)
        } else if FileManager.default.fileExists(atPath: standardFile) {
            policy = try read(standardFile)
        }
        if let repository = flags.repository ?? nonEmpty(variables["APEX_BACKUP_REPOSITORY"]) {
            policy.repositories = [repository]
        }
        if let name = flags.cluster ?? nonEmpty(variables["APEX_BACKUP_CLUSTER"]) { policy.name = name }
        return EffectivePolicy(policy: policy, environment: environment, flagURL: flags.url)
    }

    /// What the file leaves out may come from the environment or flags; a command that needs it says so.
    private static func read(_ path: String) throws(BackupError) -> BackupPolicy {
        try BackupPolicyFile.parse(
            try StrictYAML.text(readBytes(path, what: "policy"), fileName: path), fileName: path)
    }

    private let flagURL: String?

    private init(policy: BackupPolicy, environment: BackupEnvironment, flagURL: String?) {
        self.policy = policy
        self.environment = environment
        self.flagURL = flagURL
    }

    /// The source's connection; resolved only by the commands that talk to it.
    package func connection() throws(BackupError) -> ConnectionSettings {
        if let flagURL { return try ConnectionSettings(parsing: flagURL) }
        let text: String
        if let url = policy.cluster.url {
            text = try url.resolve(from: secrets)
        } else if let url = Self.nonEmpty(environment.variables["APEX_DATABASE_URL"]) {
            text = url
        } else {
            throw BackupError(
                .settings, "It is not known which server to back up.",
                reason: "neither cluster.url in the policy nor APEX_DATABASE_URL is set",
                remedy: "Set APEX_DATABASE_URL, for example postgresql://backup@db.example.com/apex.",
                unchanged: "Nothing was done.")
        }
        return try ConnectionSettings(parsing: text)
    }

    /// What a failure now would cost beside the policy's objectives, by the backups of what the policy names.
    package func standing(of entries: [CatalogueEntry]) -> [String] {
        let scope = BackupManifest.scope(of: policy.logical.summary)
        let backups = entries.filter { $0.manifest?.scope == scope }
        let undamaged = backups.filter { $0.failedVerification == nil }
        let restores = backups.flatMap(\.facts).filter { $0.kind == .restored && $0.succeeded && $0.partial != true }
        let standing = policy.objectives.standing(
            recoveryPoint: undamaged.compactMap { $0.manifest?.recoveryPoint }.max(),
            lastRestore: restores.max { $0.at < $1.at }?.seconds.map { .seconds($0) },
            at: environment.clocks.wall())
        let others = entries.count { $0.manifest != nil } - backups.count
        guard others > 0 else { return standing }
        return standing + ["Not counted: \(others) of other databases than the policy names, or with other globals."]
    }

    /// The place named by `restore.into`, for a restore that names none.
    package func restorePlace() throws(BackupError) -> String? {
        switch policy.restoreInto {
        case .server(let reference): try reference.resolve(from: secrets)
        case .directory(let path): path
        case nil: nil
        }
    }

    /// Where secret references lead.
    var secrets: SecretSource {
        SecretSource(
            environment: { [variables = environment.variables] name in variables[name] },
            readFile: { path throws(BackupError) in
                guard let text = String(validating: try Self.readBytes(path, what: "secret"), as: UTF8.self) else {
                    throw BackupError(
                        .settings, "The secret file '\(path)' is not UTF-8 text.", remedy: "Save it as UTF-8.",
                        unchanged: "Nothing was done.")
                }
                return text
            })
    }

    package var layout: RepositoryLayout {
        get throws(BackupError) {
            guard let layout = RepositoryLayout(cluster: policy.name) else {
                throw BackupError(
                    .settings, "'\(policy.name)' cannot be the name of a cluster.",
                    remedy: "Use 1 to 100 letters, digits, dots, dashes or underscores.", unchanged: "Nothing was done."
                )
            }
            return layout
        }
    }

    /// The storage of the repository; with `creating`, its directory is made.
    package func storage(creating: Bool = false) throws(BackupError) -> any Storage {
        guard let address = policy.repositories.first else {
            throw BackupError(
                .settings, "It is not known which repository to use.",
                reason: "neither the policy, APEX_BACKUP_REPOSITORY nor --repository names one",
                remedy: "Name it: --repository file:///var/lib/apex-backup.", unchanged: "Nothing was done.")
        }
        return try openStorage(address, creating: creating)
    }

    /// The repository, opened; it must be there.
    package func repository() throws(BackupError) -> Repository {
        try Repository.open(try storage(), layout: try layout, environment: environment)
    }

    static func readBytes(_ path: String, what: String) throws(BackupError) -> [UInt8] {
        do {
            return Array(try Data(contentsOf: URL(filePath: path)))
        } catch {
            let reason = (error as? CocoaError)?.code == .fileReadNoSuchFile ? "no such file" : "\(error)"
            throw BackupError(
                .settings, "The \(what) file '\(path)' cannot be read.", reason: reason,
                remedy: "Check the path and its permissions.", unchanged: "Nothing was done.")
        }
    }

    private static func nonEmpty(_ text: String?) -> String? { text?.isEmpty == false ? text : nil }
}
