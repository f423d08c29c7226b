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
        var file = flags.policy ?? nonEmpty(variables["APEX_BACKUP_POLICY"])
        if file == nil, FileManager.default.fileExists(atPath: standardFile) { file = standardFile }
        if let file { policy = try read(file) }
        if let repository = flags.repository ?? nonEmpty(variables["APEX_BACKUP_REPOSITORY"]) {
            // What the policy says of a store is of the one whose address stands beside it.
            if policy.repositories.first != repository, place(policy.repositories.first) != place(repository) {
                policy.store = S3StoreSettings()
            }
            policy.repositories = [repository]
        }
        if let name = flags.cluster ?? nonEmpty(variables["APEX_BACKUP_CLUSTER"]) { policy.name = name }
        return EffectivePolicy(
            policy: policy, environment: environment, file: file.map { URL(filePath: $0).absoluteURL.path },
            flagURL: flags.url)
    }

    /// Where an address leads, however it is written; itself if it is none.
    private static func place(_ address: String?) -> String? {
        address.map { (try? RepositoryAddress(parsing: $0).location) ?? $0 }
    }

    /// What the file leaves out may come from the environment or flags; a command that needs it says so.
    private static func read(_ path: String) throws(BackupError) -> BackupPolicy {
        try BackupPolicyFile.parse(
            try StrictYAML.text(readBytes(path, what: "policy"), fileName: path), fileName: path)
    }

    /// The absolute path of the policy file, if one was read.
    let file: String?
    private let flagURL: String?

    private init(policy: BackupPolicy, environment: BackupEnvironment, file: String?, flagURL: String?) {
        self.file = file
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

    /// What a failure now would cost beside the policy's objectives, by the backups of `repository` that hold at least
    /// what the policy names.
    package func standing(of entries: [CatalogueEntry], in repository: Repository) -> [String] {
        var backups: [CatalogueEntry] = []
        var others: [BackupPolicy.RecoveryObjectives.Uncounted] = []
        for entry in entries.reversed() {
            guard let manifest = entry.manifest else { continue }
            guard let lack = lack(of: manifest, in: repository) else {
                backups.append(entry)
                continue
            }
            guard entry.failedVerification == nil else { continue }
            if let index = others.firstIndex(where: { $0.lack == lack }) {
                others[index].backups.append(entry.id)
            } else {
                others.append(.init(lack: lack, backups: [entry.id]))
            }
        }
        let undamaged = backups.filter { $0.failedVerification == nil }
        let restores = backups.flatMap(\.facts).filter { $0.kind == .restored && $0.succeeded && $0.partial != true }
        return policy.objectives.standing(
            recoveryPoint: undamaged.compactMap { $0.manifest?.recoveryPoint }.max(),
            lastRestore: restores.max { $0.at < $1.at }?.seconds.map { .seconds($0) }, uncounted: others,
            at: environment.clocks.wall())
    }

    /// What a backup lacks of what the policy names; `nil` when it holds at least that.
    private func lack(of manifest: BackupManifest, in repository: Repository) -> String? {
        let wanted = policy.logical
        if manifest.scope == BackupManifest.scope(of: wanted.summary) { return nil }
        var lacks: [String] = []
        switch wanted.databases {
        case .named(let names):
            do {
                let held = try Catalogue(repository).databases(of: manifest).databases.map(\.name)
                let missing = Set(names).subtracting(wanted.exclude).subtracting(held).sorted().map { "'\($0)'" }
                if let first = missing.first {
                    lacks.append(
                        "without the "
                            + (missing.count == 1 ? "database \(first)" : "databases \(missing.listingFirstThree)"))
                }
            } catch {
                lacks.append("what it holds is not known: \(error.message)")
            }
        case .all where manifest.settings["databases"] != "all": lacks.append("taken of chosen databases, not of all")
        case .all:
            // What it left out, if the policy names all of that.
            let excluded = manifest.settings["exclude"] ?? ""
            var taken = wanted
            taken.exclude.removeAll { !excluded.contains(quoteLiteral($0)) }
            if taken.summary["exclude"] != excluded {
                lacks.append("taken without databases that the policy does not exclude")
            }
        }
        if wanted.globals, manifest.settings["globals"] != "true" { lacks.append("without roles and tablespaces") }
        return lacks.isEmpty ? nil : lacks.joined(separator: ", ")
    }

    /// The place named by `restore.into`, for a restore that names none.
    package func restorePlace() throws(BackupError) -> RestorePlace? {
        switch policy.restoreInto {
        case .server(let reference): .url(try reference.resolve(from: secrets))
        case .directory(let path): .directory(path)
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
        return try RepositoryAddress(parsing: address).open(
            store: policy.store, environment: environment, creating: creating)
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
