import Testing

@testable import BackupModel

@Suite struct `The configuration of a restored server` {
    /// What Debian's pg_createcluster sets for PostgreSQL 15, and its include.
    private static let debian = """
        # -----------------------------
        # PostgreSQL configuration file
        # -----------------------------
        #config_file = 'ConfigDir/postgresql.conf'
        data_directory = '/var/lib/postgresql/15/main'\t\t# use data in another directory
        hba_file = '/etc/postgresql/15/main/pg_hba.conf'\t# host-based authentication file
        ident_file = '/etc/postgresql/15/main/pg_ident.conf'\t# ident configuration file
        external_pid_file = '/var/run/postgresql/15-main.pid'\t\t\t# write an extra PID file
        port = 5432\t\t\t\t# (change requires restart)
        max_connections = 100\t\t\t# (change requires restart)
        unix_socket_directories = '/var/run/postgresql'\t# comma-separated list of directories
        ssl = on
        ssl_cert_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'
        ssl_key_file = '/etc/ssl/private/ssl-cert-snakeoil.key'
        #archive_mode = off
        log_line_prefix = '%m [%p] %q%u@%d '\t\t# special values:
        cluster_name = '15/main'\t\t\t# added to process titles if nonempty
        include_dir = 'conf.d'\t\t\t# include files ending in '.conf' from

        """

    private static let recovery = RecoverySettings(
        restoreCommand: "'/opt/apex backup' wal get %f %p", target: .latest, timeline: 3)

    @Test func `starts on itself although Debian's names other directories`() throws {
        let hba = Array("local all postgres peer\n".utf8)
        let restored = try RestoredConfiguration(
            from: CapturedConfiguration(
                settings: Array(Self.debian.utf8), alteredSettings: nil, hostAccess: .outside(hba),
                userMaps: .outside([])),
            as: .clone, recovery: Self.recovery)
        #expect(restored.neutralised.map(\.line.statement.line) == [5, 6, 7, 8, 18])
        #expect(restored.notes == [.inclusionLost(file: "postgresql.conf", line: 18)])
        #expect(
            restored.files.map(\.name) == ["postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"])
        #expect(restored.files[2].bytes == hba)
        #expect(restored.originals == [.init(name: "postgresql.conf.apex-original", bytes: Array(Self.debian.utf8))])
        #expect(restored.present == ["recovery.signal"] && restored.absent == ["standby.signal", "recovery.conf"])
        let text = String(decoding: restored.files[0].bytes, as: UTF8.self)
        #expect(text.contains("\n# off by apex-backup (a file of the source): data_directory = '/var/lib"))
        #expect(text.contains("\nport = 5432\t\t\t\t# (change requires restart)\n"))
    }

    @Test func `as a copy does without what another host may refuse, and as the primary keeps it`() throws {
        let conf = """
            bonjour = on
            default_toast_compression = 'lz4'
            file_copy_method = clone
            file_extend_method = write_zeros
            huge_pages = on
            listen_addresses = '10.0.0.5, "db.example.com"'
            io_method = 'IO_URING'
            max_stack_depth = 30MB
            unix_socket_group = 'dba'
            wal_compression = zstd
            wal_sync_method = fsync_writethrough
            io_method = worker
            wal_compression = on
            huge_pages = try
            listen_addresses = '10.0.0.5, localhost'
            listen_addresses = ''

            """
        let clone = try Self.restoring(conf, "", as: .clone)
        #expect(clone.neutralised.map(\.line.statement.line) == Array(1...11))
        #expect(clone.originals == [.init(name: "postgresql.conf.apex-original", bytes: Array(conf.utf8))])
        let text = ServerConfigurationText(clone.files[0].bytes)
        #expect(text.value(of: "wal_compression") == Array("on".utf8) && text.value(of: "bonjour") == nil)
        #expect(try Self.restoring(conf, "", as: .primary).files[0].bytes == Array(conf.utf8))
        #expect(Set(RestoredConfiguration.neutralisedNames).isSuperset(of: ["bonjour", "io_method", "data_directory"]))
    }

    @Test func `recovers as told, and archives nowhere`() throws {
        let block = try Self.block(
            auto: "restore_command = 'old'\nrecovery_target_xid = '1'\n", recovery: Self.recovery)
        #expect(
            block == [
                "restore_command='/opt/apex backup' wal get %f %p", "recovery_target_timeline=3",
                "recovery_target_action=promote", "archive_mode=off", "archive_command=", "archive_library=",
                "synchronous_standby_names=", "max_logical_replication_workers=0", "cron.launch_active_jobs=off",
                "timescaledb.max_background_workers=0",
            ])
        #expect(try Self.block(auto: "", as: .primary, recovery: nil).isEmpty)
    }

    @Test func `has exactly one target`() throws {
        func settings(_ target: RestoreMoment, inclusive: Bool = true) throws -> [String] {
            let settings = RecoverySettings(
                restoreCommand: "c", target: target, isInclusive: inclusive, timeline: 2, action: .pause)
            return try settings.assignments.dropFirst().dropLast(2).map(Self.text)
        }
        #expect(try settings(.latest).isEmpty)
        #expect(try settings(.immediate) == ["recovery_target=immediate"])
        #expect(try settings(.restorePoint("it's")) == ["recovery_target_name=it's"])
        #expect(
            try settings(.transaction(1 << 40), inclusive: false)
                == ["recovery_target_xid=1099511627776", "recovery_target_inclusive=off"])
        #expect(
            try settings(.position(LogSequenceNumber(position: 0x1_0000_00AB)))
                == ["recovery_target_lsn=1/AB", "recovery_target_inclusive=on"])
        #expect(
            try settings(.time(Timestamp(.init(year: 2025, month: 1, day: 27, hour: 14, microsecond: 5))))
                == ["recovery_target_time=2025-01-27 14:00:00.000005+00", "recovery_target_inclusive=on"])
        #expect(throws: BackupError.self) { try settings(.time(Timestamp(microseconds: .max / 2))) }
    }

    @Test func `takes an earlier restore's block out, and what it wrote without one`() throws {
        let first = try Self.restored(auto: "work_mem = '1MB'\n", recovery: Self.recovery)
        let second = try Self.restored(auto: first, recovery: Self.recovery)
        #expect(first == second)
        // ALTER SYSTEM writes the settings of a block anew, without its comments.
        let bare = first.split(separator: "\n").filter { !$0.hasPrefix("#") }.joined(separator: "\n")
        let lines = ServerConfigurationText(Array(try Self.restored(auto: bare, recovery: nil).utf8)).statements
        #expect(!lines.contains { if case .setting("restore_command", _) = $0.content { true } else { false } })
    }

    @Test func `as the primary archives as its source did`() throws {
        let conf = "archive_mode = on\narchive_command = 'push %p'\nsynchronous_standby_names = 's'\n"
        let configuration = try Self.restoring(conf, "", as: .primary)
        #expect(configuration.files[0].bytes == Array(conf.utf8) && configuration.files[1].bytes.isEmpty)
        #expect(configuration.originals.isEmpty && configuration.absent.first == "recovery.signal")
        let clone = try Self.restored(auto: "", recovery: Self.recovery)
        let primary = try Self.restoring(conf, clone, as: .primary)
        #expect(primary.notes == [.archivingStaysOff])
        #expect(ServerConfigurationText(primary.files[1].bytes).value(of: "archive_mode") == Array("off".utf8))
    }

    @Test func `stands in for what is not there`() throws {
        let captured = CapturedConfiguration(settings: Array(Self.debian.utf8), alteredSettings: nil)
        #expect(
            captured.outsidePaths.map(\.path) == [
                "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key", "/var/run/postgresql",
            ])
        let restored = try RestoredConfiguration(
            from: captured, as: .primary, recovery: nil, missing: Set(captured.outsidePaths.map(\.path)))
        #expect(restored.notes.contains(.encryptionOff(missing: "/etc/ssl/certs/ssl-cert-snakeoil.pem")))
        #expect(restored.notes.contains(.socketsMoved))
        let text = ServerConfigurationText(restored.files[1].bytes)
        #expect(text.value(of: "ssl") == Array("off".utf8))
        #expect(text.value(of: "unix_socket_directories") == Array("/tmp".utf8))
        let without = Self.debian.replacing("ssl = on", with: "ssl = OFF")
        let paths = CapturedConfiguration(settings: Array(without.utf8), alteredSettings: nil).outsidePaths
        #expect(paths.map(\.setting) == ["unix_socket_directories"])
    }

    @Test func `raises what the data needs, and only that`() throws {
        let needed = HotStandbyParameters(
            maxConnections: 100, maxWorkerProcesses: 20, maxWALSenders: 10, maxPreparedTransactions: 0,
            maxLocksPerTransaction: 128)
        let restored = try RestoredConfiguration(
            from: CapturedConfiguration(
                settings: Array("max_locks_per_transaction = 64\nmax_worker_processes = 20\n".utf8),
                alteredSettings: Array("max_connections = '99'".utf8)),
            as: .primary, recovery: nil, needed: needed)
        #expect(
            restored.notes == [
                .raised(name: "max_connections", to: 100), .raised(name: "max_locks_per_transaction", to: 128),
            ])
        let text = ServerConfigurationText(restored.files[1].bytes)
        #expect(text.value(of: "max_connections") == Array("100".utf8))
        #expect(text.value(of: "max_worker_processes") == nil)
    }

    @Test func `says what the backup did not have, and still starts`() throws {
        let restored = try RestoredConfiguration(
            from: CapturedConfiguration(
                settings: nil, alteredSettings: nil, hostAccess: .outside(nil), userMaps: .outside(nil)),
            as: .clone, recovery: nil)
        #expect(restored.notes == [.settingsMissing, .hostAccessMissing])
        #expect(restored.originals.isEmpty)
        let hba = String(decoding: restored.files[2].bytes, as: UTF8.self)
        #expect(hba.hasSuffix("\nlocal all all peer\n") && restored.files[3].bytes.isEmpty)
    }

    @Test func `comments what an access file includes, with its continuation`() {
        let text = "local all all trust\n include x \\\r\n  y\nlocal a \\\ninclude\n\"include_dir\" d\nhost all # \\\n"
        let access = HostAccessText(neutralising: Array(text.utf8))
        #expect(access.inclusions == [2, 3, 6])
        #expect(
            String(decoding: access.bytes, as: UTF8.self)
                == """
                local all all trust
                # off by apex-backup (names a file of the source):  include x \\\r
                  y
                local a \\
                include
                # off by apex-backup (names a file of the source): "include_dir" d
                host all # \\

                """)
    }

    private static func restoring(
        _ conf: String, _ auto: String, as role: RestoredConfiguration.Role, recovery: RecoverySettings? = nil
    ) throws -> RestoredConfiguration {
        try RestoredConfiguration(
            from: CapturedConfiguration(settings: Array(conf.utf8), alteredSettings: Array(auto.utf8)), as: role,
            recovery: recovery)
    }

    private static func restored(auto: String, recovery: RecoverySettings?) throws -> String {
        String(decoding: try restoring("", auto, as: .clone, recovery: recovery).files[1].bytes, as: UTF8.self)
    }

    private static func block(
        auto: String, as role: RestoredConfiguration.Role = .clone, recovery: RecoverySettings?
    ) throws -> [String] {
        let text = ServerConfigurationText(try restoring("", auto, as: role, recovery: recovery).files[1].bytes)
        return text.statements.compactMap {
            guard case .setting(let name, let value) = $0.content else { return nil }
            return Self.text(.init(name, value))
        }
    }

    private static func text(_ assignment: ServerConfigurationText.Assignment) -> String {
        "\(assignment.name)=\(String(decoding: assignment.value, as: UTF8.self))"
    }
}
