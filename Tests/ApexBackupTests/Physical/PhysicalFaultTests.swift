import BackupModel
import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// Base backups of servers that die, are promoted, or have what is awkward in them.
///
/// One after the other: each starts servers of its own.
@Suite(.serialized, .needsPhysicalBackups) struct `A physical backup beside what befalls its server` {
    private func take(
        _ scratch: ScratchRepository, as server: ConnectionSettings? = nil, maxRate: Int64? = nil,
        wal: BackupPolicy.PhysicalSettings.WALCapture = .stream
    ) async throws -> BackupManifest {
        var settings = BackupPolicy.PhysicalSettings()
        settings.maxRate = maxRate
        settings.wal = wal
        let backup = PhysicalBackup(
            repository: scratch.repository, connection: server ?? scratch.server.settings,
            request: .init(settings: settings, jobs: 2))
        return try await onOwnThreads { try await backup.run() }
    }

    private func restore(
        _ scratch: ScratchRepository, _ backup: RunID, into name: String = "restored", to moment: RestoreMoment? = nil,
        rewritesExisting: Bool = false
    ) async throws -> String {
        let directory = "\(scratch.server.directory)/\(name)"
        var request = PhysicalRestore.Request(backup: backup.text, moment: moment, directory: directory, jobs: 2)
        request.rewritesExisting = rewritesExisting
        let restore = PhysicalRestore(repository: scratch.repository, request: request)
        try await onOwnThreads { try await restore.run(restore.prepare()) }
        return directory
    }

    /// Whether a base backup is under way and has sent some of its files.
    private func isSending(_ cluster: PostgresCluster, at server: ConnectionSettings? = nil) async -> Bool {
        await eventually {
            (try? await cluster.answer(
                "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'", at: server))
                == "1"
        }
    }

    private func requireNothingLeft(_ scratch: ScratchRepository, _ error: BackupError) throws {
        #expect(error.unchanged == "No backup was committed; earlier backups were not touched.")
        #expect(try scratch.entries().isEmpty)
        let run = try #require(try scratch.runs().last)
        #expect(run.state == .failed && run.end?.error == error)
        #expect(try scratch.directory.contents().allSatisfy { !$0.contains("/packs/") && !$0.contains("/.tmp-") })
    }

    @Test(arguments: ["apex-backup files", "apex-backup WAL", "the server"])
    func `is none when its sender or the server is killed, and the next one is not hindered`(
        _ victim: String
    ) async throws {
        try await PostgresCluster.with(configuration: ["restart_after_crash": "on"]) { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let running = Task { try await take(scratch, maxRate: 32 << 10) }
            #expect(await isSending(cluster))
            if victim == "the server" {
                kill(cluster.server.processIdentifier, SIGKILL)
            } else {
                let sender = try await cluster.answer(
                    "SELECT pid FROM pg_stat_replication WHERE application_name = '\(victim)'")
                kill(try #require(sender.flatMap { Int32($0) }), SIGKILL)
            }
            let error = try await requireFailure { try await running.value }
            #expect(error.code == .serverConnectionLost, "\(error)")
            try requireNothingLeft(scratch, error)
            guard victim != "the server" else { return }
            #expect(await eventually { (try? await take(scratch)) != nil })
        }
    }

    @Test func `is none when its standby is promoted meanwhile`() async throws {
        try await PostgresCluster.with(configuration: ["full_page_writes": "on"]) { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            try await cluster.withStandby { standby in
                // Its last segment may never come into an archive.
                let refused = try await requireFailure { try await take(scratch, as: standby, wal: .archive) }
                #expect(refused.code == .serverUnsupported && refused.message.contains("is a standby"), "\(refused)")
                let running = Task { try await take(scratch, as: standby, maxRate: 32 << 10) }
                #expect(await isSending(cluster, at: standby))
                try await cluster.execute("SELECT pg_promote()", in: standby)
                let error = try await requireFailure { try await running.value }
                #expect("\(error)".contains("promoted"), "\(error)")
                try requireNothingLeft(scratch, error)
                #expect(try await take(scratch, as: standby).physical?.timeline == 2)
            }
        }
    }

    @Test func `is whole though pages are torn while they are read and full_page_writes is off`() async throws {
        let configuration = ["full_page_writes": "off", "shared_buffers": "1MB", "bgwriter_delay": "10ms"]
        try await PostgresCluster.with(configuration: configuration) { cluster in
            try await cluster.execute(
                """
                CREATE TABLE t AS SELECT n, repeat(md5(n::text), 8) AS text FROM generate_series(1, 20000) AS n;
                CREATE INDEX ON t (n)
                """)
            let scratch = try await ScratchRepository(for: cluster)
            let writing = Task {
                while !Task.isCancelled {
                    try await cluster.execute("UPDATE t SET n = n WHERE n % 3 = 0")
                }
            }
            let manifest = try await take(scratch, maxRate: 24 << 20)
            writing.cancel()
            _ = await writing.result
            #expect(!manifest.isOfDamagedSource)
            let directory = try await restore(scratch, manifest.id, to: .immediate)
            #expect(!HostFacts.exists("\(directory)/recovery.conf"))
            #expect(
                try Data(contentsOf: URL(filePath: "\(directory)/backup_label"))
                    == Data(scratch.content("backup_label", of: manifest)))
            try await cluster.withServer(on: directory) { server in
                func value(_ sql: String) async throws -> String? { try await cluster.answer(sql, at: server) }
                let plain = try await value(
                    "SELECT count(*) FILTER (WHERE text = repeat(md5(n::text), 8)) FROM t")
                #expect(plain == "20000")
                // Servers that lack it would prove nothing of the index.
                let hasAmcheck = try await value("SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'")
                try #require(hasAmcheck == "1", "the server's contributed modules are not installed")
                #expect(
                    await eventually {
                        (try? await cluster.execute("CREATE EXTENSION IF NOT EXISTS amcheck", in: server)) != nil
                    })
                #expect(try await value("SELECT bt_index_check('t_n_idx', true)") == "")
            }
        }
    }

    @Test func `leaves unlogged tables empty, and what was set for an earlier recovery without effect`() async throws {
        try await PostgresCluster.with(configuration: ["full_page_writes": "on"]) { cluster in
            try await cluster.execute(
                """
                CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 1000) AS n;
                CREATE TABLE logged AS SELECT generate_series(1, 1000) AS n; CHECKPOINT
                """)
            let file = try #require(try await cluster.answer("SELECT pg_relation_filepath('unlogged')"))
            let scratch = try await ScratchRepository(for: cluster)
            let first = try await take(scratch)
            let once = try await restore(scratch, first.id, into: "once")
            #expect(!HostFacts.exists("\(once)/\(file)") && HostFacts.exists("\(once)/\(file)_init"))
            var second: BackupManifest?
            try await cluster.withServer(on: once) { server in
                #expect(
                    await eventually {
                        (try? await cluster.answer("SELECT pg_is_in_recovery()", at: server)) == "f"
                    })
                #expect(try await cluster.answer("SELECT count(*) FROM unlogged", at: server) == "0")
                #expect(try await cluster.answer("SELECT count(*) FROM logged", at: server) == "1000")
                // What an earlier restore by hand may have left: each of them would end or lead this recovery astray.
                try await cluster.execute("CREATE TABLE later AS SELECT 1 AS n", in: server)
                for setting in [
                    "recovery_target_name = 'nowhere'", "recovery_target_inclusive = off",
                    "recovery_end_command = 'touch /tmp/apex-recovery-end'", "primary_conninfo = 'host=/nowhere'",
                    "primary_slot_name = 'gone'", "recovery_min_apply_delay = '1h'",
                ] { try await cluster.execute("ALTER SYSTEM SET \(setting)", in: server) }
                second = try await take(scratch, as: server)
            }
            let twice = try await restore(scratch, try #require(second).id, into: "twice")
            let text = String(
                decoding: try Data(contentsOf: URL(filePath: "\(twice)/postgresql.auto.conf")), as: UTF8.self)
            let active = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
            for name in ["restore_command", "recovery_target_timeline", "recovery_target_action"] {
                #expect(active.filter { $0.hasPrefix("\(name) ") }.count == 1, "\(text)")
            }
            try await cluster.withServer(on: twice) { server async throws in
                #expect(
                    await eventually {
                        (try? await cluster.answer("SELECT pg_is_in_recovery()", at: server)) == "f"
                    })
                #expect(try await cluster.answer("SELECT n FROM later", at: server) == "1")
                for name in ["recovery_target_name", "recovery_end_command", "primary_conninfo", "primary_slot_name"] {
                    #expect(try await cluster.answer("SHOW \(name)", at: server) == "", "\(name)")
                }
                #expect(try await cluster.answer("SHOW recovery_min_apply_delay", at: server) == "0")
            }
        }
    }

    @Test func `brings back a file whose name is no text`() async throws {
        try await PostgresCluster.with { cluster in
            let script = #"printf kept >"$1/$(printf 'f\374r_\\sp\344ter')""#
            try await runScript(script, cluster.server.dataDirectory)
            let scratch = try await ScratchRepository(for: cluster)
            let manifest = try await take(scratch)
            #expect(try await scratch.verify(.deep).map(\.problems) == [[]])
            let directory = try await restore(scratch, manifest.id, to: .immediate)
            let found = try await runScript(#"cat "$1/$(printf 'f\374r_\\sp\344ter')""#, directory)
            #expect(found.output == "kept", "\(found)")

            // What is there already stays if it is right, and goes if the backup does not have it.
            let strangers = #"""
                printf lost >"$1/$(printf 'f\374r_\\sp\344ter')"
                mkdir "$1/$(printf 'gone\374')"; printf x >"$1/$(printf 'gone\374/\344')"
                """#
            try await runScript(strangers, directory)
            _ = try await restore(scratch, manifest.id, to: .immediate, rewritesExisting: true)
            let again = try await runScript(
                #"cat "$1/$(printf 'f\374r_\\sp\344ter')"; ls -d "$1/gone"* 2>/dev/null || true"#, directory)
            #expect(again.output == "kept", "\(again)")
        }
    }
}
