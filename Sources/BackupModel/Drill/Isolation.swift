/// A setting that keeps a drill's server from touching anything but itself.
///
/// ``all`` is the one table of them: the server is started with it, a policy cannot override it, and the running server
/// is asked for it.
package struct IsolationSetting: Sendable, Hashable {
    /// A value that may depend on where the server is.
    package enum Value: Sendable, Hashable {
        case text(String)
        /// The server's scratch directory.
        case directory
        /// A path in the scratch directory.
        case within(String)
    }

    /// The setting's name.
    package var name: String
    /// The value it must have.
    package var value: Value
    /// What could happen with another value.
    package var why: String
    /// The first major version that knows the setting.
    package var since = 0

    private init(_ name: String, _ value: Value, why: String, since: Int = 0) {
        self.name = name
        self.value = value
        self.why = why
        self.since = since
    }

    /// All of them.
    package static let all = [
        IsolationSetting("listen_addresses", .text(""), why: "nobody reaches it over a network"),
        IsolationSetting("port", .text("5432"), why: "its socket has the name that is looked for"),
        IsolationSetting("unix_socket_directories", .directory, why: "its socket is in its own directory"),
        IsolationSetting("data_directory", .within("data"), why: "it runs on data of its own"),
        IsolationSetting("config_file", .within("data/postgresql.conf"), why: "it reads settings of its own"),
        IsolationSetting("hba_file", .within("data/pg_hba.conf"), why: "it lets in whom it says itself"),
        IsolationSetting("ident_file", .within("data/pg_ident.conf"), why: "it lets in whom it says itself"),
        IsolationSetting("external_pid_file", .text(""), why: "it writes no file elsewhere"),
        IsolationSetting("archive_mode", .text("off"), why: "it archives into nobody's archive"),
        IsolationSetting("archive_command", .text(""), why: "it runs no command of the source"),
        IsolationSetting("archive_library", .text(""), why: "it archives into nobody's archive", since: 15),
        IsolationSetting("restore_command", .text(""), why: "it runs no command of the source"),
        IsolationSetting("archive_cleanup_command", .text(""), why: "it runs no command of the source"),
        IsolationSetting("recovery_end_command", .text(""), why: "it runs no command of the source"),
        IsolationSetting("ssl_passphrase_command", .text(""), why: "it runs no command of the source"),
        IsolationSetting("primary_conninfo", .text(""), why: "it follows no other server"),
        IsolationSetting("max_logical_replication_workers", .text("0"), why: "its subscriptions do not run"),
        IsolationSetting("shared_preload_libraries", .text(""), why: "no job or worker of a library runs"),
        IsolationSetting("session_preload_libraries", .text(""), why: "no library runs in its sessions"),
        IsolationSetting("local_preload_libraries", .text(""), why: "no library runs in its sessions"),
    ]

    /// The settings that a server of `major` knows.
    package static func all(ofMajor major: Int) -> [IsolationSetting] { all.filter { $0.since <= major } }

    /// The value for a server whose scratch directory is `directory`.
    package func value(in directory: String) -> String {
        switch value {
        case .text(let text): text
        case .directory: directory
        case .within(let path): "\(directory)/\(path)"
        }
    }

    /// Whether a server in `directory` that answers `answer` is isolated in this respect; `nil` is no answer.
    package func holds(_ answer: String?, in directory: String) -> Bool {
        // While nothing is archived, the server shows no command, whatever it is.
        answer == value(in: directory) || (name == "archive_command" && answer == "(disabled)")
    }
}

extension DrillPolicy.Target {
    /// How far a policy may set the setting `name`, or `nil` if it may freely.
    ///
    /// What isolates the drill's server is set by the drill whatever a policy says.
    package static func isolation(ofSetting name: String) -> DrillPolicy.Isolation? {
        guard let setting = IsolationSetting.all.first(where: { $0.name == name }) else { return nil }
        guard case .text(let value) = setting.value, !value.isEmpty else { return .never }
        return .only(value)
    }
}
