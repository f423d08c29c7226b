package import BackupModel
import FoundationEssentials

/// The shell commands by which a server reaches the archive: with absolute paths, and with the variables that name where
/// credentials are; what else must be in its environment, ``needed`` says.
package struct WALCommands: Sendable, Hashable {
    /// The absolute path of this program.
    let executable: String
    /// The options that name the repository, before they are quoted.
    let options: [String]
    /// By what an object store is reached; `nil` for a directory.
    let access: StoreAccess?

    /// What reads and writes the archive that `settings` lead to.
    package init(_ settings: EffectivePolicy) throws(BackupError) {
        let executable = try ownExecutable()
        var options: [String] = []
        if let policy = settings.file { options += ["--policy", policy] }
        options += settings.policy.repositories.prefix(1).flatMap { ["--repository", $0] }
        options += ["--cluster", settings.policy.name]
        let address = try settings.policy.repositories.first.map { (text) throws(BackupError) in
            try RepositoryAddress(parsing: text)
        }
        self.init(
            executable: executable, options: options,
            access: try address?.access(store: settings.policy.store, environment: settings.environment))
    }

    init(executable: String, options: [String], access: StoreAccess? = nil) {
        self.executable = executable
        self.options = options
        self.access = access
    }

    /// The variables that a server must have in its environment for them to work: none of them can stand in a command.
    var needed: [String] { access?.needed ?? [] }

    /// The `restore_command` of a server that recovers to a target.
    func recovery(of systemIdentifier: String, pieces: WALGet.Pieces?) -> String {
        command(
            ["wal", "get", "--mode", "recovery"]
                + (pieces.map { [$0.atEndOnly ? "--partial-at-end" : "--partial", $0.segment] } ?? [])
                + ["--system-identifier", systemIdentifier] + options, "%f %p")
    }

    /// The `archive_command` of a server.
    var push: String { command(["wal", "push"] + options, "%p") }

    /// PostgreSQL puts names for `%f` and `%p`, and a percent sign for two.
    private func command(_ words: [String], _ names: String) -> String {
        func quoted(_ word: String) -> String { RestoreGuide.shellQuoted(word).escaping(["%": "%%"]) }
        let variables = (access?.variables ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\(quoted($0.value))" }
        return (variables + ([executable] + words).map(quoted) + [names]).joined(separator: " ")
    }
}

/// The absolute path of this program.
func ownExecutable() throws(BackupError) -> String {
    guard let executable = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else {
        throw BackupError(
            .storageFailed, "The path of this program cannot be found out.",
            reason: "/proc/self/exe cannot be read",
            remedy: "Mount /proc.", unchanged: "Nothing was done.")
    }
    return executable
}
