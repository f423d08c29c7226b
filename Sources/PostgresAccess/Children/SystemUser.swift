import BackupModel

/// A user of the operating system.
struct SystemUser: Sendable, Hashable {
    var userID: UInt32
    var groupID: UInt32
    var groups: [UInt32]

    /// Looks up `name` with id(1), which asks every source of users that the system has.
    static func named(_ name: String) async throws -> SystemUser {
        let command = ChildCommand("/usr/bin/id", arguments: ["--", name], environment: ["LC_ALL": "C"])
        let (outcome, text) = try await capture(command)
        guard outcome.isSuccess, let user = SystemUser(parsing: text) else {
            throw BackupError(
                .usage, "There is no user '\(name)' on this machine.", reason: outcome.standardErrorTail,
                remedy: "PostgreSQL does not run as root: create the user, or name another.",
                unchanged: "Nothing was started.")
        }
        return user
    }

    /// Reads `uid=101(postgres) gid=104(postgres) groups=104(postgres),103(ssl-cert)`.
    init?(parsing text: String) {
        guard let match = text.firstMatch(of: /^uid=(\d+)\S* gid=(\d+)\S* groups=(.*)/),
            let userID = UInt32(match.1), let groupID = UInt32(match.2)
        else { return nil }
        self.userID = userID
        self.groupID = groupID
        groups = match.3.split(separator: ",").compactMap { UInt32($0.prefix(while: \.isNumber)) }
    }
}
