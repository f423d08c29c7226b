import BackupModel
import BackupStorage
import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// Starting what was restored, with WAL that is beside the data.
@Suite(.serialized, .needsPhysicalBackups) struct `A restored server that is started` {
    /// A cluster with the table `t`, a physical backup of it, and three more segments in the archive, each with a row.
    private func withArchive(
        of statements: String = "", _ body: (ScratchRepository, _ segments: [String]) async throws -> Void
    ) async throws {
        try await PostgresCluster.with(configuration: ["wal_keep_size": "1GB", "full_page_writes": "on"]) { cluster in
            try await cluster.execute("CREATE TABLE t (n int); \(statements)")
            let scratch = try await ScratchRepository(for: cluster)
            let backup = PhysicalBackup(
                repository: scratch.repository, connection: cluster.settings,
                request: .init(settings: BackupPolicy.PhysicalSettings(), jobs: 2))
            _ = try await onOwnThreads { try await backup.run() }
            var segments: [String] = []
            for number in 1...3 {
                try await cluster.execute("INSERT INTO t VALUES (\(number))")
                let name = try #require(
                    try await cluster.firstValue("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
                try await cluster.execute("SELECT pg_switch_wal()")
                let push = WALPush(repository: scratch.repository)
                _ = try await onOwnThreads { try push.run("\(cluster.server.dataDirectory)/pg_wal/\(name)") }
                segments.append(name)
            }
            try await body(scratch, segments)
        }
    }

    /// Restores, lets `change` do something to the data directory, starts the server, and removes everything.
    private func started(
        _ scratch: ScratchRepository, to moment: RestoreMoment = .latest,
        change: (String) async throws -> Void = { _ in },
        _ body: @escaping @Sendable (CloneServer, RecoveryOutcome) async throws -> Void
    ) async throws {
        let path = PostgresCluster.temporaryPath("started")
        let request = PhysicalRestore.Request(backup: "latest", moment: moment, directory: "", jobs: 2)
        let recovery = try await ScratchRecovery.make(path, request, repository: scratch.repository)
        var running: CloneServer?
        let result: Result<Void, any Error>
        do {
            let prepared = try recovery.restore.prepare()
            try await onOwnThreads { try await recovery.restore.run(prepared) }
            try await change("\(path)/data")
            let start = recovery.start(prepared, tools: scratch.server.tools, settings: ["fsync": "off"])
            let (server, outcome) = try await onOwnThreads { try await start.run() }
            running = server
            result = .success(try await body(server, outcome))
        } catch {
            result = .failure(error)
        }
        try await recovery.remove(running)
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(ProcessSnapshot.all(naming: path).isEmpty)
        try result.get()
    }

    /// What a source may have in its configuration that a copy of it must not follow.
    private func badSettings(_ witness: String, major: Int) -> String {
        let later = """
            transaction_buffers = '512MB'
            subtransaction_buffers = '512MB'
            commit_timestamp_buffers = '512MB'
            multixact_offset_buffers = '512MB'
            multixact_member_buffers = '512MB'
            notify_buffers = '512MB'
            serializable_buffers = '512MB'
            """
        return """
            \(major >= 17 ? later : "db_user_namespace = on")
            \(major >= 16 ? "reserved_connections = 200" : "")
            unix_socket_group = 'nobody-has-this-group'
            unix_socket_permissions = 0000
            superuser_reserved_connections = 200
            jit_provider = '\(witness)-jit'
            shared_memory_type = sysv
            dynamic_shared_memory_type = mmap
            wal_buffers = '1GB'
            track_activity_query_size = '1MB'
            recovery_prefetch = off
            wal_level = minimal
            zero_damaged_pages = on
            ignore_checksum_failure = on
            ignore_invalid_pages = on
            ignore_system_indexes = on
            data_directory = '\(witness)-data'
            hba_file = '\(witness)-hba'
            ident_file = '\(witness)-ident'
            external_pid_file = '\(witness)-pid'
            unix_socket_directories = '\(witness)-sockets'
            port = 1
            listen_addresses = '*'
            archive_mode = always
            archive_command = 'touch \(witness)-archived'
            archive_cleanup_command = 'touch \(witness)-cleaned'
            recovery_end_command = 'touch \(witness)-recovered'
            ssl = on
            ssl_cert_file = '\(witness)-certificate'
            ssl_passphrase_command = 'touch \(witness)-asked'
            primary_conninfo = 'host=\(witness)'
            primary_slot_name = 'production'
            synchronous_standby_names = '*'
            max_logical_replication_workers = 9
            max_sync_workers_per_subscription = 9
            shared_preload_libraries = 'no_such_library, pg_cron'
            session_preload_libraries = 'no_such_library'
            local_preload_libraries = 'no_such_library'
            cron.launch_active_jobs = on
            timescaledb.max_background_workers = 9
            huge_pages = on
            shared_buffers = '1TB'
            min_dynamic_shared_memory = '1TB'
            logging_collector = on
            log_destination = csvlog
            log_directory = '\(witness)-log'
            cluster_name = production
            hot_standby = off
            max_connections = 5
            max_wal_senders = 0
            """
    }

    @Test func `answers each question right, whatever its source had set, and leaves no witness of it`() async throws {
        try await withArchive { scratch, _ in
            let folder = PostgresCluster.temporaryPath("witness")
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o777])
            let bad = badSettings("\(folder)/w", major: scratch.server.tools.major)
            try await started(
                scratch,
                change: { data in
                    for file in ["postgresql.conf", "postgresql.auto.conf"] {
                        let added = try await runScript("printf '%s\\n' \"$2\" >> \"$1\"", "\(data)/\(file)", bad)
                        try #require(added.status == .exited(0), "\(added.errors)")
                    }
                }
            ) { server, outcome in
                #expect(outcome.state == .promoted && outcome.timeline == 2)
                let names = CloneOverlay(
                    of: .init(
                        major: scratch.server.tools.major, origin: .restored, dataDirectory: "", socketDirectory: "",
                        clusterName: "", sharedBuffers: 1,
                        hotStandby: HotStandbyParameters(
                            maxConnections: 1, maxWorkerProcesses: 1, maxWALSenders: 1, maxPreparedTransactions: 1,
                            maxLocksPerTransaction: 1))
                ).entries.map(\.setting.name)
                #expect(outcome.isolation.map { String($0.prefix { $0 != " " }) } == names)
                // It is slow to take a session, and is waited for.
                kill(server.processIdentifier, SIGSTOP)
                let connecting = Task { try await server.connect() }
                try? await Task.sleep(for: .seconds(8))
                kill(server.processIdentifier, SIGCONT)
                let session = try #require(try await connecting.value)
                #expect(try await session.query("SELECT count(*) FROM t").firstValue == "3")
                // Where nothing is archived a checkpoint and a new segment wake no archiver.
                try await session.execute("CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT")
                #expect(
                    try await session.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'archiver'")
                        .firstValue == "0")
                await session.close()
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
            try FileManager.default.removeItem(atPath: folder)
        }
    }

    @Test func `is stopped when it answers otherwise, with the setting, what it must be and what it is`() async throws {
        let statement = "ALTER DATABASE postgres SET session_preload_libraries = 'plpgsql'"
        try await withArchive(of: statement) { scratch, _ in
            let error = try await requireFailure { try await started(scratch) { _, _ in } }
            #expect(error.code == .targetUnsuitable)
            #expect(
                error.reason
                    == "session_preload_libraries is 'plpgsql' and must be '', so that no library acts in its sessions")
        }
    }

    @Test func `is a failure that names the segment for want of which its replay ended early`() async throws {
        try await withArchive { scratch, segments in
            try await started(scratch) { server, outcome in
                let session = try #require(try await server.connect())
                #expect(try await session.query("SELECT count(*) FROM t").firstValue == "3")
                await session.close()
                #expect(outcome.lastTransactionAt != nil && outcome.replaySeconds > 0 && outcome.promoteSeconds != nil)
            }
            // The server takes it for the end, promotes and says that all is well.
            for missing in segments {
                let error = try await requireFailure {
                    try await started(
                        scratch,
                        change: { try FileManager.default.removeItem(atPath: "\($0)/apex-backup-wal/\(missing)") }
                    ) { _, _ in }
                }
                #expect(error.code == .walMissing && error.message.contains("WAL segment \(missing) was not replayed"))
            }
            // What the archive has lost or damaged meanwhile is named too, when the server does not tell.
            let files = try FileManager.default.subpathsOfDirectory(atPath: scratch.directory.path)
            let segment = scratch.directory.path(of: try #require(files.first { $0.hasSuffix("/\(segments[1]).zst") }))
            let sound = try Data(contentsOf: URL(filePath: segment))
            for (spoil, code) in [
                ("printf x | dd of=\"$1\" bs=1 seek=300 conv=notrunc status=none", ErrorCode.objectDamaged),
                ("rm \"$1\"", .walMissing),
            ] {
                let error = try await requireFailure {
                    try await started(
                        scratch,
                        change: { data in
                            // A server that does not start has nothing to say of WAL.
                            try await runScript("rm \"$1\"; mkdir \"$1\"", "\(data)/postgresql.conf")
                            try await runScript(spoil, segment)
                        }
                    ) { _, _ in }
                }
                #expect(error.code == code, "\(error)")
                try sound.write(to: URL(filePath: segment))
            }
        }
    }
}
