import BackupModel
import PostgresAccess

extension WALCommands {
    /// Refuses an archive that the server's user cannot read, before a server asks it in vain.
    ///
    /// It is asked as the server will ask, for a file that certainly is not there. `userName` is the server's user when
    /// this program is root, and `variables` are given to the server.
    func requireAccess(
        to systemIdentifier: String, as userName: String?, having variables: [String: String] = [:], probe: String
    ) async throws {
        let arguments = ["wal", "get", "--mode", "recovery", "--system-identifier", systemIdentifier] + options
        var environment = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]
        environment.merge(access?.variables ?? [:]) { $1 }
        environment.merge(variables) { $1 }
        let command = ChildCommand(
            executable, arguments: arguments + ["FFFFFFFF.history", "/tmp/\(probe)"], environment: environment,
            workingDirectory: "/", userName: userName, secrets: Array(variables.values))
        let (outcome, _) = try await capture(command)
        guard outcome.status != .exited(1) else { return }
        throw BackupError(
            .permissionDenied, "The server that is to be started cannot read the archive.",
            reason: outcome.standardErrorTail,
            remedy: "Let the server's user read the repository, the policy and this program"
                + (access.map { ", and get the credentials from \($0.credentials)" } ?? "")
                + "; or add --stage-wal, which puts the WAL beside the data.", unchanged: "Nothing was restored.")
    }
}
