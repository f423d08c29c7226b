/// A setting that keeps a server which apex-backup starts from touching anything but itself.
///
/// ``all`` is the one table of them: the server is started with it (`-c name=value`, which wins over both configuration
/// files), and the running server is asked for it.
package struct OverlaySetting: Sendable, Hashable {
    /// A value, or what it depends on.
    package enum Value: Sendable, Hashable {
        case text(String)
        case dataDirectory
        /// A file in the data directory.
        case file(String)
        /// A file that says who is let in.
        case access(String)
        case socketDirectory
        case port
        case clusterName
        case sharedBuffers
        case preloadLibraries
        case hotStandby(HotStandbyParameters.Name)
    }

    /// Where the data of a server that apex-backup starts comes from.
    package enum Origin: Sendable, Hashable, CaseIterable {
        /// initdb made it, and dumps are restored into it.
        case initialised
        /// It was restored from a physical backup, with the configuration of its source.
        case restored
    }

    /// The setting's name.
    package var name: String
    /// The value it must have.
    package var value: Value
    /// What it achieves.
    package var why: String
    /// The first and the last major version that know the setting.
    package var majors = 0...Int.max
    /// The servers it is for.
    package var origins: Set<Origin> = Set(Origin.allCases)
    /// Whether a restored configuration has it too unless the server is to become the primary, so that a server started
    /// by others without the overlay does no harm either.
    package var isWritten = false

    private init(_ name: String, _ value: Value, why: String) {
        self.name = name
        self.value = value
        self.why = why
    }

    private func since(_ major: Int) -> Self { with { $0.majors = major...$0.majors.upperBound } }
    private func until(_ major: Int) -> Self { with { $0.majors = $0.majors.lowerBound...major } }
    private func only(_ origin: Origin) -> Self { with { $0.origins = [origin] } }
    private var written: Self { with { $0.isWritten = true } }

    private func with(_ change: (inout Self) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }

    /// All of them; the paths come first, and in this order the server is asked.
    package static let all: [OverlaySetting] =
        [
            OverlaySetting("data_directory", .dataDirectory, why: "it runs on data of its own"),
            OverlaySetting("config_file", .file("postgresql.conf"), why: "it reads settings of its own"),
            OverlaySetting("hba_file", .access("pg_hba.conf"), why: "it lets in who started it, and nobody else"),
            OverlaySetting("ident_file", .access("pg_ident.conf"), why: "it lets in who started it, and nobody else"),
            OverlaySetting("external_pid_file", .text(""), why: "it writes no file elsewhere"),
            OverlaySetting("unix_socket_directories", .socketDirectory, why: "its socket is in its own directory"),
            OverlaySetting("port", .port, why: "its socket has the name that is looked for"),
            OverlaySetting("listen_addresses", .text(""), why: "nobody reaches it over a network"),
            OverlaySetting("archive_mode", .text("off"), why: "it archives into nobody's archive").written,
            OverlaySetting("archive_command", .text(""), why: "it runs no command of the source").written,
            OverlaySetting("archive_library", .text(""), why: "it archives into nobody's archive").since(15).written,
            OverlaySetting("restore_command", .text(""), why: "it runs no command of the source").only(.initialised),
            OverlaySetting("archive_cleanup_command", .text(""), why: "it removes nothing from an archive"),
            OverlaySetting("recovery_end_command", .text(""), why: "it runs no command of the source"),
            OverlaySetting("ssl_passphrase_command", .text(""), why: "it runs no command of the source"),
            OverlaySetting("promote_trigger_file", .text(""), why: "no file of the source ends its recovery").until(15),
            OverlaySetting("primary_conninfo", .text(""), why: "it follows no other server"),
            OverlaySetting("primary_slot_name", .text(""), why: "it takes no slot of another server"),
            OverlaySetting("sync_replication_slots", .text("off"), why: "it copies no slots of another server").since(
                17),
            OverlaySetting("synchronous_standby_names", .text(""), why: "its commits wait for nobody").written,
            OverlaySetting("synchronized_standby_slots", .text(""), why: "its decoding waits for nobody").since(17),
            OverlaySetting("max_logical_replication_workers", .text("0"), why: "its subscriptions do not run").written,
            OverlaySetting("max_sync_workers_per_subscription", .text("0"), why: "its subscriptions do not run"),
            OverlaySetting("shared_preload_libraries", .preloadLibraries, why: "no job or worker of a library runs"),
            OverlaySetting("session_preload_libraries", .preloadLibraries, why: "no library acts in its sessions"),
            OverlaySetting("local_preload_libraries", .preloadLibraries, why: "no library acts in its sessions"),
            OverlaySetting("oauth_validator_libraries", .text(""), why: "nobody outside is asked who may come in")
                .since(18),
            OverlaySetting("cron.launch_active_jobs", .text("off"), why: "no job of the source runs").written,
            OverlaySetting("timescaledb.max_background_workers", .text("0"), why: "no job of the source runs").written,
            OverlaySetting("event_triggers", .text("off"), why: "no trigger acts on what is done to it").since(17),
            OverlaySetting("ssl", .text("off"), why: "it needs no certificate of the source"),
            OverlaySetting("huge_pages", .text("off"), why: "it needs no memory that was set aside"),
            OverlaySetting("shared_buffers", .sharedBuffers, why: "it takes no more memory than it may"),
            OverlaySetting("min_dynamic_shared_memory", .text("0"), why: "it takes no more memory than it may"),
            OverlaySetting("io_method", .text("worker"), why: "it needs no kernel feature of the source").since(18),
            OverlaySetting("logging_collector", .text("off"), why: "it logs to whom started it"),
            OverlaySetting("log_destination", .text("stderr"), why: "it logs to whom started it"),
            OverlaySetting("cluster_name", .clusterName, why: "nobody takes its processes for the source's"),
            OverlaySetting("summarize_wal", .text("off"), why: "it does no work that nobody needs").since(17),
            OverlaySetting("hot_standby", .text("on"), why: "it answers while it recovers").only(.restored),
        ] + ofTheSourcesHost
        + HotStandbyParameters.Name.allCases.map { name in
            OverlaySetting(name.rawValue, .hotStandby(name), why: "it replays what its source wrote").only(.restored)
        }
}

extension OverlaySetting {
    /// What the source's configuration may have set as it was right for its host, and no other.
    private static let ofTheSourcesHost =
        ([
            OverlaySetting("unix_socket_group", .text(""), why: "its socket is its user's"),
            OverlaySetting("unix_socket_permissions", .text("0777"), why: "who may see its socket may connect"),
            OverlaySetting("db_user_namespace", .text("off"), why: "who started it has the name that it knows").until(
                16),
            OverlaySetting("superuser_reserved_connections", .text("0"), why: "its connections are enough to start"),
            OverlaySetting("reserved_connections", .text("0"), why: "its connections are enough to start").since(16),
            OverlaySetting("bonjour", .text("off"), why: "it tells no network of itself"),
            OverlaySetting("jit_provider", .text("llvmjit"), why: "no library acts in its sessions"),
            OverlaySetting("shared_memory_type", .text("mmap"), why: "it needs no limits of the source's kernel"),
            OverlaySetting(
                "dynamic_shared_memory_type", .text("posix"), why: "it needs no limits of the source's kernel"),
            OverlaySetting("wal_buffers", .text("4MB"), why: "it takes no more memory than it may"),
            OverlaySetting("track_activity_query_size", .text("1kB"), why: "it takes no more memory than it may"),
            OverlaySetting("recovery_prefetch", .text("try"), why: "it needs no kernel feature of the source"),
            OverlaySetting("wal_level", .text("replica"), why: "it may have the WAL senders that its data asks for"),
        ]
        + [
            ("commit_timestamp_buffers", "256kB"), ("multixact_member_buffers", "256kB"),
            ("multixact_offset_buffers", "128kB"), ("notify_buffers", "128kB"), ("serializable_buffers", "256kB"),
            ("subtransaction_buffers", "256kB"), ("transaction_buffers", "256kB"),
        ].map { OverlaySetting($0, .text($1), why: "it takes no more memory than it may").since(17) }
        + ["zero_damaged_pages", "ignore_checksum_failure", "ignore_invalid_pages", "ignore_system_indexes"].map {
            OverlaySetting($0, .text("off"), why: "it hides no damage")
        }).map { $0.only(.restored) }
}

/// The overlay of one server: what it is started with, and what it must answer.
package struct CloneOverlay: Sendable, Hashable {
    /// What the values depend on.
    package struct Server: Sendable, Hashable {
        package var major: Int
        package var origin: OverlaySetting.Origin
        /// Absolute, without `.`, `..`, `//` or a slash at its end: as the server prints it.
        package var dataDirectory: String
        /// Like ``dataDirectory``; of a restored server, the files that say who is let in are there too, as those of its
        /// source may ask for passwords that nobody has.
        package var socketDirectory: String
        package var port: UInt16
        /// Up to 63 characters of ASCII.
        package var clusterName: String
        /// In MiB.
        package var sharedBuffers: Int
        /// The values of the three settings of libraries, by their names, as the source had them; `[:]` for none.
        package var libraries: [String: String]
        /// The libraries that are installed, without `.so`; `nil` if that is not known.
        package var installedLibraries: Set<String>?
        /// What the restored data and its WAL need; `nil` for an initialised server.
        package var hotStandby: HotStandbyParameters?

        /// Describes a server.
        package init(
            major: Int, origin: OverlaySetting.Origin, dataDirectory: String, socketDirectory: String,
            port: UInt16 = 5432, clusterName: String, sharedBuffers: Int, libraries: [String: String] = [:],
            installedLibraries: Set<String>? = nil, hotStandby: HotStandbyParameters? = nil
        ) {
            self.major = major
            self.origin = origin
            self.dataDirectory = dataDirectory
            self.socketDirectory = socketDirectory
            self.port = port
            self.clusterName = clusterName
            self.sharedBuffers = sharedBuffers
            self.libraries = libraries
            self.installedLibraries = installedLibraries
            self.hotStandby = hotStandby
        }
    }

    /// A setting with its value for one server.
    package struct Entry: Sendable, Hashable {
        package var setting: OverlaySetting
        package var value: String

        /// Whether a server that answers `answer` to `SHOW` has the setting; `nil` is no answer.
        package func holds(_ answer: String?) -> Bool {
            // While nothing is archived, the server shows no command, whatever it is.
            answer == value || (setting.name == "archive_command" && answer == "(disabled)")
        }
    }

    /// In the order of the table.
    package var entries: [Entry]
    /// Libraries that the source loads and this server does not, by setting.
    package var dropped: [String: [PreloadLibraries.Dropped]]

    /// The overlay of `server`.
    package init(of server: Server) {
        entries = []
        dropped = [:]
        for setting in OverlaySetting.all
        where setting.majors.contains(server.major) && setting.origins.contains(server.origin) {
            if setting.value == .preloadLibraries {
                let libraries = PreloadLibraries(
                    filtering: server.libraries[setting.name] ?? "", installed: server.installedLibraries)
                entries.append(Entry(setting: setting, value: libraries.value))
                if !libraries.dropped.isEmpty { dropped[setting.name] = libraries.dropped }
            } else if let value = Self.value(of: setting, for: server) {
                entries.append(Entry(setting: setting, value: value))
            }
        }
    }

    /// The arguments for `postgres`: `-c`, `name=value`, and so on.
    package var arguments: [String] { entries.flatMap { ["-c", "\($0.setting.name)=\($0.value)"] } }

    /// The overlay without those settings among `names` that a policy may set as it likes.
    package func leaving(_ names: Set<String>) -> CloneOverlay {
        var copy = self
        copy.entries.removeAll { $0.setting.value == .sharedBuffers && names.contains($0.setting.name) }
        return copy
    }

    /// The settings by name, as ``arguments`` has them.
    package var configuration: [String: String] {
        Dictionary(uniqueKeysWithValues: entries.map { ($0.setting.name, $0.value) })
    }

    /// The lines for a report, if the server answers each entry as it must.
    ///
    /// `answers` has what ``question(for:)`` brought, by name; what is absent is not known to the server.
    ///
    /// - Throws: ``ErrorCode/targetUnsuitable``, with each setting that is otherwise.
    package func proof(from answers: [String: String]) throws(BackupError) -> [String] {
        let wrong = entries.filter { !$0.holds(answers[$0.setting.name]) }
        guard wrong.isEmpty else {
            throw BackupError(
                .targetUnsuitable, "The server that was started is not isolated.",
                reason: wrong.map {
                    let answer = answers[$0.setting.name].map { "is '\($0)'" } ?? "is not known to it"
                    return "\($0.setting.name) \(answer) and must be '\($0.value)', so that \($0.setting.why)"
                }.joined(separator: "; "),
                remedy: "Find out what sets it otherwise, and remove that: settings of a role or a database win over "
                    + "those that a server is started with.")
        }
        return entries.map { "\($0.setting.name) = '\(answers[$0.setting.name] ?? "")': \($0.setting.why)" }
    }

    /// The statement that asks the server for an entry, which ``Entry/holds(_:)`` judges.
    package static func question(for entry: Entry) -> String { "SHOW \(entry.setting.name)" }

    /// `nil` if nothing is known that it must be.
    private static func value(of setting: OverlaySetting, for server: Server) -> String? {
        switch setting.value {
        case .text(let text): text
        case .dataDirectory: server.dataDirectory
        case .file(let name): "\(server.dataDirectory)/\(name)"
        case .access(let name):
            "\(server.origin == .restored ? server.socketDirectory : server.dataDirectory)/\(name)"
        case .socketDirectory: PathList.quoted(server.socketDirectory)
        case .port: "\(server.port)"
        case .clusterName: server.clusterName
        case .sharedBuffers: shown(mebibytes: server.sharedBuffers)
        case .preloadLibraries: nil
        case .hotStandby(let name): server.hotStandby.map { "\($0[name])" }
        }
    }

    /// A number of MiB as a server prints it: in the greatest unit that divides it.
    private static func shown(mebibytes: Int) -> String {
        var number = mebibytes
        for unit in ["MB", "GB"] {
            guard number > 0, number.isMultiple(of: 1024) else { return "\(number)\(unit)" }
            number /= 1024
        }
        return "\(number)TB"
    }
}
