import Testing

@testable import BackupModel

@Suite struct `The overlay of a server that is started` {
    private static func server(
        major: Int = 18, origin: OverlaySetting.Origin = .restored, sharedBuffers: Int = 64, sockets: String = "/s",
        libraries: [String: String] = [:]
    ) -> CloneOverlay.Server {
        CloneOverlay.Server(
            major: major, origin: origin, dataDirectory: "/d", socketDirectory: sockets, port: 5433,
            clusterName: "drill",
            sharedBuffers: sharedBuffers, libraries: libraries,
            hotStandby: HotStandbyParameters(
                maxConnections: 7, maxWorkerProcesses: 6, maxWALSenders: 5, maxPreparedTransactions: 4,
                maxLocksPerTransaction: 3))
    }

    private static func values(_ server: CloneOverlay.Server) -> [String: String] {
        Dictionary(uniqueKeysWithValues: CloneOverlay(of: server).entries.map { ($0.setting.name, $0.value) })
    }

    @Test func `is one table in which every setting stands once, with a reason`() {
        let names = OverlaySetting.all.map(\.name)
        #expect(Set(names).count == names.count && OverlaySetting.all.allSatisfy { !$0.why.isEmpty })
        #expect(names.prefix(4) == ["data_directory", "config_file", "hba_file", "ident_file"])
    }

    @Test func `holds all that isolates the server of a logical drill`() {
        let fresh = Self.values(Self.server(origin: .initialised))
        #expect(
            fresh["restore_command"] == "" && fresh["archive_mode"] == "off" && fresh["hba_file"] == "/d/pg_hba.conf")
        #expect(fresh["hot_standby"] == nil && fresh["max_connections"] == nil)
    }

    @Test(arguments: OverlaySetting.all)
    func `is proved by the right answer to each question, and by no other`(_ setting: OverlaySetting) throws {
        let origin = setting.origins.contains(.restored) ? OverlaySetting.Origin.restored : .initialised
        let overlay = CloneOverlay(of: Self.server(major: max(15, min(18, setting.majors.upperBound)), origin: origin))
        let entry = try #require(overlay.entries.first { $0.setting == setting })
        #expect(try overlay.proof(from: overlay.configuration).count == overlay.entries.count)
        for answer in ["/source/bad", nil] {
            var answers = overlay.configuration
            answers[setting.name] = answer
            let error = #expect(throws: BackupError.self) { try overlay.proof(from: answers) }
            let got = answer.map { "is '\($0)'" } ?? "is not known to it"
            #expect(error?.code == .targetUnsuitable)
            #expect(error?.reason == "\(setting.name) \(got) and must be '\(entry.value)', so that \(setting.why)")
        }
    }

    @Test func `cannot be changed by the policy of a drill`() {
        for setting in OverlaySetting.all where setting.origins.contains(.restored) && setting.value != .sharedBuffers {
            #expect(DrillPolicy.Target.isolation(ofSetting: setting.name, origin: .restored) != nil, "\(setting.name)")
        }
        func isolation(_ name: String) -> DrillPolicy.Isolation? {
            DrillPolicy.Target.isolation(ofSetting: name, origin: .initialised)
        }
        #expect(isolation("archive_mode") == .only("off") && isolation("data_directory") == .never)
        #expect(
            isolation("work_mem") == nil && isolation("max_connections") == nil && isolation("shared_buffers") == nil)
    }

    @Test func `leaves a restored server its restore command and gives it what the WAL needs`() {
        let restored = Self.values(Self.server())
        #expect(restored["restore_command"] == nil && restored["hot_standby"] == "on")
        #expect(HotStandbyParameters.Name.allCases.map { restored[$0.rawValue] } == ["7", "6", "5", "4", "3"])
        #expect(restored["data_directory"] == "/d" && restored["hba_file"] == "/s/pg_hba.conf")
    }

    @Test func `has all by which a copy of a server could reach its source, run what is its, or pass for it`() {
        let clone = Self.values(Self.server())
        let needed = [
            "external_pid_file": "", "unix_socket_directories": "/s", "listen_addresses": "", "archive_mode": "off",
            "archive_command": "", "archive_library": "", "archive_cleanup_command": "", "recovery_end_command": "",
            "ssl_passphrase_command": "", "primary_conninfo": "", "primary_slot_name": "",
            "synchronous_standby_names": "", "max_logical_replication_workers": "0",
            "max_sync_workers_per_subscription": "0", "shared_preload_libraries": "", "session_preload_libraries": "",
            "local_preload_libraries": "", "cron.launch_active_jobs": "off",
            "timescaledb.max_background_workers": "0", "event_triggers": "off", "ssl": "off", "huge_pages": "off",
            "shared_buffers": "64MB", "min_dynamic_shared_memory": "0", "logging_collector": "off",
            "log_destination": "stderr", "cluster_name": "drill",
        ]
        for (name, value) in needed { #expect(clone[name] == value, "\(name)") }
    }

    @Test func `knows only what the major knows`() {
        let fifteen = Self.values(Self.server(major: 15))
        let later = ["event_triggers", "summarize_wal", "sync_replication_slots", "synchronized_standby_slots"]
        for name in later { #expect(fifteen[name] == nil && Self.values(Self.server(major: 17))[name] != nil) }
        #expect(
            fifteen["promote_trigger_file"] == "" && Self.values(Self.server(major: 16))["promote_trigger_file"] == nil)
        #expect(
            Self.values(Self.server(major: 17))["io_method"] == nil
                && Self.values(Self.server())["io_method"] == "worker")
        #expect(fifteen["db_user_namespace"] == "off" && fifteen["reserved_connections"] == nil)
        let seventeen = Self.values(Self.server(major: 17))
        #expect(seventeen["db_user_namespace"] == nil && seventeen["reserved_connections"] == "0")
        #expect(seventeen["transaction_buffers"] == "256kB" && fifteen["transaction_buffers"] == nil)
        #expect(fifteen["zero_damaged_pages"] == "off" && fifteen["wal_buffers"] == "4MB")
        #expect(Self.values(Self.server(origin: .initialised))["wal_buffers"] == nil)
        #expect(Self.values(Self.server(major: 14))["archive_library"] == nil && fifteen["archive_library"] == "")
    }

    @Test func `asks for values as the server prints them`() throws {
        #expect(Self.values(Self.server(sharedBuffers: 2048))["shared_buffers"] == "2GB")
        #expect(Self.values(Self.server(sharedBuffers: 1500))["shared_buffers"] == "1500MB")
        #expect(Self.values(Self.server(sharedBuffers: 1 << 20))["shared_buffers"] == "1TB")
        #expect(Self.values(Self.server(sockets: "/a b,\"c"))["unix_socket_directories"] == "\"/a b,\"\"c\"")
        let overlay = CloneOverlay(of: Self.server())
        #expect(overlay.arguments.prefix(2) == ["-c", "data_directory=/d"])
        let command = try #require(overlay.entries.first { $0.setting.name == "archive_command" })
        #expect(CloneOverlay.question(for: command) == "SHOW archive_command")
        #expect(command.holds("(disabled)") && command.holds("") && !command.holds("cp") && !command.holds(nil))
        #expect(!overlay.entries[0].holds("/source") && overlay.entries[0].holds("/d"))
    }

    @Test func `keeps libraries that are needed or harmless, and names the others`() {
        let list = "pg_cron, $libdir/pg_stat_statements ,\"timescaledb\", /opt/x/auto_explain.so,pg_net,auto_explain.so"
        let libraries = PreloadLibraries(filtering: list)
        #expect(libraries.value == "$libdir/pg_stat_statements, timescaledb, auto_explain.so")
        #expect(libraries.dropped.map(\.name) == ["pg_cron", "/opt/x/auto_explain.so", "pg_net"])
        let here = PreloadLibraries(filtering: "timescaledb, pgaudit", installed: ["pgaudit"])
        #expect(here.value == "pgaudit")
        #expect(here.dropped == [.init(name: "timescaledb", why: "it is not installed here")])
        #expect(PreloadLibraries(filtering: " ").dropped.isEmpty)
        for broken in ["a,", ",", "\"a", "\"a\"b", "pgaudit,,age"] {
            let libraries = PreloadLibraries(filtering: broken)
            #expect(
                libraries.value.isEmpty && libraries.dropped == [.init(name: broken, why: "the list cannot be read")])
        }
        let overlay = CloneOverlay(of: Self.server(libraries: ["session_preload_libraries": "pg_cron"]))
        #expect(overlay.dropped.keys.sorted() == ["session_preload_libraries"])
    }
}
