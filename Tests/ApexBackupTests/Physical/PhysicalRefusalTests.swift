import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// What a physical backup and its restore refuse, and what they do where something goes wrong outside.
///
/// One after the other: each starts servers of its own.
@Suite(.serialized, .needsPhysicalBackups) struct `A physical backup that cannot be as asked` {
    private func take(
        _ scratch: ScratchRepository, as role: ConnectionSettings? = nil, maxRate: Int64? = nil,
        compression: Compression = .zstd(level: 1), wal: BackupPolicy.PhysicalSettings.WALCapture = .stream
    ) async throws -> BackupManifest {
        var settings = BackupPolicy.PhysicalSettings()
        settings.wal = wal
        settings.maxRate = maxRate
        settings.compression = compression
        let backup = PhysicalBackup(
            repository: scratch.repository, connection: role ?? scratch.server.settings,
            request: .init(settings: settings, jobs: 1))
        return try await onOwnThreads { try await backup.run() }
    }

    private func role(_ name: String, of cluster: PostgresCluster) throws -> ConnectionSettings {
        try ConnectionSettings(parsing: "host=\(cluster.server.directory) user=\(name) dbname=postgres")
    }

    private func prepare(
        _ scratch: ScratchRepository, _ backup: String = "latest", to moment: RestoreMoment? = nil
    ) throws -> PhysicalRestore.Prepared {
        try PhysicalRestore(
            repository: scratch.repository,
            request: .init(backup: backup, moment: moment, directory: "\(scratch.directory.path)/new", jobs: 1)
        ).prepare()
    }

    @Test(arguments: [
        (["wal_level": "minimal", "max_wal_senders": "0"], "wal_level is minimal"),
        (["max_wal_senders": "1"], "max_wal_senders is 1, and 0 are in use"),
    ])
    func `is refused by a server whose settings do not allow it`(
        _ settings: [String: String], _ reason: String
    ) async throws {
        try await PostgresCluster.with(configuration: settings) { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let error = try await requireFailure { try await take(scratch) }
            #expect(error.reason == reason && error.unchanged == "No backup was taken.")
            #expect(error.remedy.contains("ALTER SYSTEM SET"))
        }
    }

    @Test func `needs a line for replication in pg_hba.conf, and keeps the files that are elsewhere`() async throws {
        let elsewhere = try TemporaryDirectory()
        let closed = "local all all trust\n"
        let open = "# who may come in\nlocal all all trust\nlocal replication all trust\n"
        try elsewhere.write(Array(closed.utf8), to: "access.conf")
        try await PostgresCluster.with(configuration: ["hba_file": elsewhere.path(of: "access.conf")]) { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let alone = try await requireFailure { try await take(scratch, wal: .archive) }
            #expect(alone.code == .serverUnsupported, "\(alone)")
            #expect(alone.reason?.contains("archive_mode is off") == true, "\(alone)")
            let refused = try await requireFailure { try await take(scratch) }
            #expect(refused.code == .authenticationFailed && refused.remedy.contains("pg_hba.conf"), "\(refused)")

            try elsewhere.write(Array(open.utf8), to: "access.conf")
            try await cluster.execute("SELECT pg_reload_conf()")
            #expect(await eventually { (try? await take(scratch)) != nil })
            let whole = try #require(try scratch.entries().last?.manifest)
            #expect(whole.physical?.configuration.map(\.setting) == ["hba_file"])
            #expect(try scratch.content("hba_file.conf", of: whole) == Array(open.utf8))

            try await cluster.execute("CREATE ROLE reader LOGIN REPLICATION; GRANT pg_monitor TO reader")
            let reader = try role("reader", of: cluster)
            let without = try await take(scratch, as: reader)
            #expect(without.physical?.configurationMissing == true)
            #expect(without.warnings.contains { $0.hasPrefix("configuration files missing") })
            #expect(try prepare(scratch).plan.warnings.contains { $0.contains("no configuration files") })
            try await cluster.execute(
                "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO reader; GRANT pg_read_server_files TO reader")
            #expect(try await take(scratch, as: reader).physical?.configuration.count == 1)

            let directory = "\(cluster.server.directory)/restored"
            let restore = PhysicalRestore(
                repository: scratch.repository,
                request: .init(backup: whole.id.text, moment: .immediate, directory: directory))
            try await onOwnThreads { try await restore.run(restore.prepare()) }
            try await cluster.withServer(on: directory) { server in
                let session = try await cluster.session(server)
                #expect(try await session.query("SHOW hba_file").firstValue == "\(directory)/pg_hba.conf")
                #expect(try await session.query("SELECT count(*) FROM pg_hba_file_rules").firstValue == "2")
                await session.close()
            }
            // One in the data directory under another name would be found no more either.
            let other = "\(directory)/access.conf"
            try await runScript(
                "cp -p \"$1\" \"$2\" && chown --reference=\"$1\" \"$2\"", "\(directory)/pg_hba.conf", other)
            try await cluster.withServer(on: directory, ["hba_file": other]) { server in
                let isPromoted = try await eventually {
                    try await cluster.answer("SELECT pg_is_in_recovery()", at: server) == "f"
                }
                #expect(isPromoted)
                let record = try await take(scratch, as: server).physical
                #expect(record?.configuration.map(\.path) == [other])
            }
        }
    }

    @Test func `is not compressed with anything but zstd`() async throws {
        let scratch = try await ScratchRepository(for: try await PostgresCluster.shared())
        let error = try await requireFailure { try await take(scratch, compression: .gzip(level: 1)) }
        #expect(error.code == .settings && error.reason == "packs are zstd files")
    }

    @Test func `fails when the server ends its session, and leaves nothing`() async throws {
        try await PostgresCluster.with { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let running = Task { try await take(scratch, maxRate: 32 << 10) }
            let isSending = await eventually {
                (try? await cluster.answer(
                    "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'")) == "1"
            }
            #expect(isSending)
            try await cluster.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'apex-backup files'"
            )
            let error = try await requireFailure { try await running.value }
            #expect(error.code == .serverConnectionLost, "\(error)")
            #expect(error.unchanged == "No backup was committed; earlier backups were not touched.")
            #expect(try scratch.entries().isEmpty && scratch.runs().last?.state == .failed)
            #expect(try scratch.directory.contents().allSatisfy { !$0.contains("/packs/") })
        }
    }

    @Test func `stops when it is asked to, and leaves nothing`() async throws {
        try await PostgresCluster.with { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            var settings = BackupPolicy.PhysicalSettings()
            settings.maxRate = 32 << 10
            let backup = PhysicalBackup(
                repository: scratch.repository, connection: cluster.settings, request: .init(settings: settings))
            let running = Task(executorPreference: ThreadedExecutor.shared) { try await backup.run() }
            let isSending = await eventually {
                (try? await cluster.answer("SELECT count(*) FROM pg_stat_progress_basebackup")) == "1"
            }
            #expect(isSending)
            running.cancel()
            let error = try await requireFailure { try await running.value }
            #expect(error.code == .interrupted, "\(error)")
            #expect(try scratch.entries().isEmpty && scratch.runs().last?.state == .interrupted)
            #expect(
                await eventually { (try? await cluster.answer("SELECT count(*) FROM pg_replication_slots")) == "0" })
        }
    }

    @Test func `is not restored to before its end, beyond a hole, or with tablespaces of which nobody said where`()
        async throws
    {
        try await PostgresCluster.with { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let dumps = try await scratch.backup("postgres")
            let none = try await requireFailure { try prepare(scratch) }
            #expect(none.code == .backupMissing)
            let wrong = try await requireFailure { try prepare(scratch, dumps.id.text) }
            #expect(wrong.code == .usage && wrong.message.contains("holds dumps"))

            let first = try await take(scratch)
            for _ in 0..<2 {
                try await cluster.execute("SELECT pg_logical_emit_message(true, 'x', 'y')")
                try await cluster.execute("SELECT pg_switch_wal()")
            }
            _ = try await take(scratch)
            let hole = try await requireFailure { try prepare(scratch, first.id.text) }
            #expect(hole.code == .walMissing && hole.unchanged == "Nothing was restored.", "\(hole)")
            #expect(try prepare(scratch, first.id.text, to: .immediate).plan.moment == "immediate")
            let moment = try await requireFailure {
                try prepare(scratch, to: .time(first.startedAt.advanced(by: .seconds(-60))))
            }
            #expect(moment.code == .momentUnreachable)

            let space = "\(cluster.server.directory)/space"
            try await runScript("mkdir \"$1\" && chown --reference=\"$2\" \"$1\"", space, cluster.server.dataDirectory)
            try await cluster.execute("CREATE TABLESPACE \"a space\" LOCATION '\(space)'")
            try await cluster.execute("CREATE TABLE elsewhere TABLESPACE \"a space\" AS SELECT 1 AS n")
            let spacious = try await take(scratch)
            #expect(spacious.physical?.tablespaces.map(\.location) == [space])
            #expect(try await scratch.verify(.deep, spacious.id.text).map(\.problems) == [[]])
            let refused = try await requireFailure { try prepare(scratch) }
            #expect(refused.code == .targetUnsuitable && refused.reason?.contains(space) == true)
            #expect(refused.remedy.contains("--tablespaces-into"))
        }
    }

    @Test func `goes into a directory that is empty and belongs to the server's user, and into no other`() async throws
    {
        let place = try TemporaryDirectory()
        try place.write([1], to: "full/file")
        let full = try await requireFailure { _ = try DataDirectory(making: place.path(of: "full")) }
        #expect(full.code == .targetNotEmpty && full.reason == "it holds 'file'")
        let nowhere = try await requireFailure { _ = try DataDirectory(making: place.path(of: "a/b")) }
        #expect(nowhere.code == .targetUnsuitable && nowhere.message.contains("There is no directory"))
        #expect(try DataDirectory.freeBytes(around: place.path(of: "a/b/c")) > 0)
    }
}
