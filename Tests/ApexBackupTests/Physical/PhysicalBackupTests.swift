import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// Base backups of a real server.
///
/// One after the other: each starts servers of its own.
@Suite(.serialized, .needsPhysicalBackups) struct `Physical backup` {
    /// A cluster of its own with a table of `rows`, and a repository for it.
    private func withCluster(
        rows: Int = 20_000, configuration: [String: String] = [:],
        _ body: (PostgresCluster, ScratchRepository) async throws -> Void
    ) async throws {
        try await PostgresCluster.with(configuration: configuration) { cluster in
            try await cluster.execute(
                "CREATE TABLE t AS SELECT n, md5(n::text) AS text FROM generate_series(1, \(rows)) AS n")
            try await body(cluster, try await ScratchRepository(for: cluster))
        }
    }

    private func backup(
        _ scratch: ScratchRepository, jobs: Int? = 2, as role: ConnectionSettings? = nil,
        _ configure: (inout BackupPolicy.PhysicalSettings) -> Void = { _ in }
    ) async throws -> BackupManifest {
        var settings = BackupPolicy.PhysicalSettings()
        configure(&settings)
        let backup = PhysicalBackup(
            repository: scratch.repository, connection: role ?? scratch.server.settings,
            request: .init(settings: settings, jobs: jobs))
        return try await onOwnThreads { try await backup.run() }
    }

    @Test func `is whole: every file of the data directory, and the WAL that they need`() async throws {
        try await withCluster { cluster, scratch in
            let manifest = try await backup(scratch)
            let record = try #require(manifest.physical)
            #expect(manifest.kind == .physical && record.files > 900 && record.start < record.stop)
            #expect(try await scratch.verify(.deep).map(\.problems) == [[]])
            // The server's own manifest lists each file with its size: all of them are there, and no other.
            let listed = try serverFiles(scratch.content("backup_manifest.zst", of: manifest))
            var stored: [String: Int64] = [:]
            let table = try #require(manifest.artefact(.files))
            let collected = FileLines()
            try StoredArtefact(table, of: manifest.id, in: scratch.repository).forEachLine { line throws(BackupError) in
                collected.add(try RepositoryJSON.decodePlain(FileTableLine.self, from: line, name: "files"))
            }
            for line in collected.lines where !line.isDirectory { stored[line.path.description] = line.size }
            for name in ["backup_label", "tablespace_map"] {
                stored[name] = Int64(try scratch.content(name, of: manifest).count)
            }
            let differing = Set(stored.keys).union(listed.keys).filter { stored[$0] != listed[$0] }
            #expect(differing.isEmpty, "\(differing.sorted().map { ($0, stored[$0], listed[$0]) })")
        }
    }

    /// Restores into a new directory that belongs to the servers' user; returns its path.
    private func restore(
        _ scratch: ScratchRepository, _ backup: String = "latest", to moment: RestoreMoment? = nil
    ) async throws -> String {
        let directory = "\(scratch.server.directory)/restored"
        let restore = PhysicalRestore(
            repository: scratch.repository,
            request: .init(backup: backup, moment: moment, directory: directory, jobs: 2))
        try await onOwnThreads { try await restore.run(restore.prepare()) }
        return directory
    }

    private func count(_ cluster: PostgresCluster, _ server: ConnectionSettings) async throws -> String? {
        let session = try await cluster.session(server)
        let rows = try await session.query("SELECT count(*), sum(n) FROM t WHERE text = md5(n::text)").rows.first
        await session.close()
        return rows?.compactMap(\.self).joined(separator: " ")
    }

    @Test func `restores into a directory on which a server starts, with every row`() async throws {
        try await withCluster { cluster, scratch in
            let first = try await backup(scratch)
            try await cluster.execute("INSERT INTO t SELECT n, md5(n::text) FROM generate_series(20001, 20010) AS n")
            let second = try await backup(scratch, jobs: 1)
            #expect(second.recoveryPoint > first.recoveryPoint)
            let directory = try await restore(scratch)
            try await cluster.withServer(on: directory) { server in
                #expect(try await count(cluster, server) == "20010 200210055")
                let session = try await cluster.session(server)
                func show(_ name: String) async throws -> String? { try await session.query("SHOW \(name)").firstValue }
                #expect(try await show("data_directory") == directory)
                #expect(try await show("archive_mode") == "off")
                // The source was started with more than its files say.
                #expect(try await show("max_connections") == PostgresCluster.mostConnections)
                #expect(await eventually { (try? await session.query("SELECT pg_is_in_recovery()").firstValue) == "f" })
                #expect(try await session.query("SELECT timeline_id FROM pg_control_checkpoint()").firstValue == "2")
                await session.close()
            }
            #expect(try scratch.runs().last?.state == .succeeded)
        }
    }

    @Test func `of a server with damaged pages is kept, told of, and never the choice by itself`() async throws {
        // Vacuum would write the page anew.
        try await withCluster(rows: 5000, configuration: ["autovacuum": "off"]) { cluster, scratch in
            let sound = try await backup(scratch)
            let file = try #require(try await cluster.answer("SELECT pg_relation_filepath('t')"))
            try await cluster.execute("CHECKPOINT")
            try await runScript(
                "printf x | dd of=\"$1\" bs=1 seek=12000 conv=notrunc status=none",
                "\(cluster.server.dataDirectory)/\(file)")
            let damaged = try await backup(scratch)
            #expect(damaged.isOfDamagedSource && damaged.warnings.contains { $0.contains("\(file)") })
            #expect(try await scratch.verify(.checksum, damaged.id.text).map(\.problems) == [[]])
            #expect(try Catalogue(scratch.repository).backup(named: "latest").id == sound.id)
            let prune = RepositoryPrune(
                repository: scratch.repository, policy: RetentionPolicy(minimum: 1, keepLast: 1), trustsClock: true)
            #expect(try prune.plan().retention.expired.map(\.candidate.id).contains(sound.id) == false)
            try scratch.repository.storage.remove(scratch.repository.layout.manifest(sound.id))
            let error = try await requireFailure {
                try Catalogue(scratch.repository).backup(named: "latest", kind: .physical)
            }
            #expect(error.code == .backupMissing && error.reason?.contains(damaged.id.text) == true)
        }
    }

    @Test func `of a standby ends where the standby stood, with its last segment as far as that`() async throws {
        try await withCluster(configuration: ["full_page_writes": "on"]) { cluster, scratch in
            try await cluster.withStandby { standby in
                try await cluster.execute(
                    "INSERT INTO t SELECT n, md5(n::text) FROM generate_series(20001, 20010) AS n")
                let written = try #require(try await cluster.answer("SELECT pg_current_wal_flush_lsn()"))
                let session = try await cluster.session(standby)
                try #require(
                    await eventually {
                        (try? await session.query("SELECT pg_last_wal_replay_lsn() >= '\(written)'").firstValue) == "t"
                    })
                await session.close()
                let manifest = try await backup(scratch, as: standby)
                let record = try #require(manifest.physical)
                #expect(manifest.server.inRecovery)
                // Nothing was committed after the rows: the clock of the backup itself would promise too much.
                #expect(manifest.recoveryPoint < manifest.startedAt)
                let last = try #require(record.neededSegments.last)
                let archive = try WALArchive(scratch.repository, systemIdentifier: manifest.systemIdentifier)
                #expect(try archive.record(of: last) == nil)
                #expect(try archive.storedEnd(of: last) == record.stop)
                #expect(try await scratch.verify(.deep).map(\.problems) == [[]])
            }
            for moment in [RestoreMoment.immediate, .latest] {
                let directory = try await restore(scratch, to: moment)
                try await cluster.withServer(on: directory) { server in
                    let rows = try await count(cluster, server)
                    #expect(rows == "20010 200210055")
                    // The standby's own signal file is among what was backed up.
                    let isPromoted = try await eventually {
                        try await cluster.answer("SELECT pg_is_in_recovery()", at: server) == "f"
                    }
                    #expect(isPromoted)
                }
                // What is left of the server may write for a moment yet.
                let removed = try await runScript(
                    "for n in $(seq 600); do rm -r \"$1\" && exit; sleep 0.1; done; exit 1", directory)
                try #require(removed.status == .exited(0), "\(removed.errors)")
            }
        }
    }

    @Test func `puts tablespaces where it is told, and nowhere else`() async throws {
        try await withCluster(rows: 10) { cluster, scratch in
            let folder = cluster.server.directory
            for name in ["one", "two"] {
                try await runScript(
                    "mkdir \"$1\" && chown --reference=\"$2\" \"$1\"", "\(folder)/\(name)", cluster.server.dataDirectory
                )
                try await cluster.execute("CREATE TABLESPACE \(name) LOCATION '\(folder)/\(name)'")
                try await cluster.execute(
                    "CREATE TABLE t_\(name) TABLESPACE \(name) AS SELECT generate_series(1, 5000) AS n")
            }
            // This server reads the file no more, and the next one may not have what it includes.
            let access = "\(cluster.server.dataDirectory)/pg_hba.conf"
            try await runScript("echo 'include /no/such/file' >> \"$1\"", access)
            let record = try #require(try await backup(scratch).physical)
            let one = try #require(record.tablespaces.first { $0.location == "\(folder)/one" })
            let two = try #require(record.tablespaces.first { $0.location == "\(folder)/two" })
            func request(_ configure: (inout TablespacePlaces) -> Void) -> PhysicalRestore {
                var request = PhysicalRestore.Request(
                    backup: "latest", moment: nil, directory: "\(folder)/restored", jobs: 2)
                configure(&request.tablespaces)
                return PhysicalRestore(repository: scratch.repository, request: request)
            }
            let stranger = try await requireFailure { try request { $0.named["/elsewhere"] = "/new" }.prepare() }
            #expect(stranger.code == .usage)
            let twice = try await requireFailure {
                try request {
                    $0.named = [one.location: "\(folder)/new", "\(two.oid)": "\(folder)/new"]
                }.prepare()
            }
            #expect(twice.code == .usage)
            for (place, reason) in [
                ("\(folder)/restored/one", "'\(folder)/restored/one' is in '\(folder)/restored'"),
                (folder, "'\(folder)/restored' is in '\(folder)'"),
            ] {
                let nested = try await requireFailure {
                    try request {
                        $0.named[one.location] = place
                        $0.folder = "\(folder)/others"
                    }.prepare()
                }
                #expect(nested.code == .usage && nested.reason == reason, "\(nested)")
            }
            let restore = request {
                $0.named = [one.location: "\(folder)/new-one"]
                $0.folder = folder
            }
            let plan = try restore.prepare().plan
            #expect(plan.tablespaces == ["\(one.oid)": "\(folder)/new-one", "\(two.oid)": "\(folder)/\(two.oid)"])
            try await onOwnThreads { try await restore.run(restore.prepare()) }
            try await cluster.withServer(on: "\(folder)/restored") { server in
                for name in ["one", "two"] {
                    let rows = try await cluster.answer("SELECT sum(n) FROM t_\(name)", at: server)
                    #expect(rows == "12502500")
                }
                let place = try await cluster.answer(
                    "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'one'", at: server)
                #expect(place == "\(folder)/new-one")
                let read = try await cluster.answer(
                    "SELECT count(error) FROM pg_hba_file_rules", at: server)
                #expect(read == "0")
            }
        }
    }

    @Test func `of a server that was promoted knows where its timeline comes from`() async throws {
        try await withCluster(configuration: ["full_page_writes": "on"]) { cluster, scratch in
            try await cluster.withStandby { standby in
                let session = try await cluster.session(standby)
                try await session.execute("SELECT pg_promote()")
                try await session.execute(
                    "INSERT INTO t SELECT n, md5(n::text) FROM generate_series(20001, 20010) AS n")
                await session.close()
                #expect(try await backup(scratch, as: standby).physical?.timeline == 2)
            }
            let directory = try await restore(scratch)
            try await cluster.withServer(on: directory) { server in
                let rows = try await count(cluster, server)
                #expect(rows == "20010 200210055")
                // It takes connections before it is promoted.
                let isPromoted = try await eventually {
                    try await cluster.answer("SELECT timeline_id FROM pg_control_checkpoint()", at: server) == "3"
                }
                #expect(isPromoted)
            }
        }
    }

    @Test func `of a standby that is promoted meanwhile is no backup`() async throws {
        try await withCluster(configuration: ["full_page_writes": "on"]) { cluster, scratch in
            try await cluster.withStandby { standby in
                // As slow as can be, for the promotion to come before the end.
                let copy = Task(executorPreference: ThreadedExecutor.shared) {
                    try await backup(scratch, as: standby) { $0.maxRate = 32 << 10 }
                }
                let isCopying = try await eventually {
                    try await cluster.answer(
                        "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase LIKE 'streaming%'", at: standby)
                        == "1"
                }
                try #require(isCopying)
                let session = try await cluster.session(standby)
                try await session.execute("SELECT pg_promote()")
                await session.close()
                let error = try await requireFailure { try await copy.value }
                // Whichever of the two sessions was told first.
                #expect(error.code == .serverRefused || error.code == .queryFailed, "\(error)")
                #expect("\(error)".contains("promoted"), "\(error)")
                #expect(try scratch.entries().isEmpty)
                #expect(try scratch.runs().last?.state == .failed)
            }
        }
    }

    @Test func `keeps with each segment what its records say`() async throws {
        try await withCluster(rows: 10) { cluster, scratch in
            let manifest = try await backup(scratch)
            let record = try #require(manifest.physical)
            let archive = try WALArchive(scratch.repository, systemIdentifier: manifest.systemIdentifier)
            let stored = try record.neededSegments.map { try #require(try archive.record(of: $0)) }
            #expect(stored.map(\.name) == record.neededSegments.map(\.description))
            #expect(stored.first?.summary?.checkpoint != nil)
            // The end of the base backup is in the last one, and after it the switch to the next.
            let last = try #require(stored.last?.summary)
            #expect(last.backupEnds.entries.map(\.start) == [record.start] && last.switchedAt != nil)
            #expect(last.systemIdentifier == manifest.systemIdentifier && last.damage == nil)
        }
    }

    @Test func `stores no segment that is another than its name says`() async throws {
        try await withCluster(rows: 10) { cluster, scratch in
            let manifest = try await backup(scratch)
            let first = try #require(manifest.physical?.neededSegments.first)
            let archive = try WALArchive(scratch.repository, systemIdentifier: manifest.systemIdentifier)
            let content = CollectingSink(limit: 64 << 20)
            try archive.read(first, into: content)
            let next = try #require(manifest.physical?.neededSegments.last?.next)
            let stranger = try WALArchive(scratch.repository, systemIdentifier: "1")
            for (archive, name, code) in [
                (archive, next, ErrorCode.walSegmentInvalid), (stranger, first, .wrongCluster),
            ] {
                let writer = try archive.makeWriter(name)
                try writer.write(content.bytes.span)
                let error = try await requireFailure { try writer.finish() }
                #expect(error.code == code && error.unchanged == "It was not stored.")
                #expect(try archive.record(of: name) == nil)
            }
            // The same again is success; other content is not.
            for flip in [false, true] {
                var bytes = content.bytes
                if flip { bytes[bytes.count - 1] ^= 1 }
                let writer = try archive.makeWriter(first)
                try writer.write(bytes.span)
                if flip {
                    let error = try await requireFailure { try writer.finish() }
                    #expect(error.code == .walConflict)
                } else {
                    try writer.finish()
                }
            }
        }
    }

    @Test func `stops at its own end when that is asked for`() async throws {
        try await withCluster { cluster, scratch in
            let first = try await backup(scratch)
            try await cluster.execute("INSERT INTO t SELECT n, md5(n::text) FROM generate_series(20001, 20010) AS n")
            _ = try await backup(scratch)
            let directory = try await restore(scratch, first.id.text, to: .immediate)
            try await cluster.withServer(on: directory) { server in
                let rows = try await count(cluster, server)
                #expect(rows == "20000 200010000")
            }
        }
    }

    @Test(arguments: [0, 1, 2])
    func `finds a flipped byte in a pack, and restores nothing that starts`(_ kind: Int) async throws {
        try await withCluster(rows: 100) { cluster, scratch in
            let manifest = try await backup(scratch)
            let objects = try #require(scratch.repository.layout.incarnationObjects(manifest.systemIdentifier))
            let key =
                switch kind {
                case 0: objects.pack(PackName(backup: manifest.id, worker: 0, number: 0))
                case 1: objects.segment(try #require(manifest.physical?.neededSegments.first))
                default: scratch.repository.layout.backup(manifest.id).appending("files.jsonl.zst")
                }
            let file = "repository/\(key)"
            var bytes = try scratch.directory.read(file)
            bytes[bytes.count / 2] ^= 1
            try scratch.directory.write(bytes, to: file)
            let error = try await requireFailure { try await restore(scratch) }
            #expect(error.code == .objectDamaged && error.message.contains("\(key.lastComponent)"), "\(error)")
            #expect(try scratch.entries().first?.failedVerification != nil)
            #expect(!HostFacts.exists("\(scratch.server.directory)/restored/global/pg_control"))
            let problems = try await scratch.verify(.checksum).flatMap(\.problems)
            #expect(problems.map(\.code) == [.objectDamaged], "\(problems)")
        }
    }

    @Test func `misses WAL that it needs, and says which`() async throws {
        try await withCluster(rows: 100) { cluster, scratch in
            let manifest = try await backup(scratch)
            let objects = try #require(scratch.repository.layout.incarnationObjects(manifest.systemIdentifier))
            let segment = try #require(manifest.physical?.neededSegments.last)
            try scratch.repository.storage.remove(objects.segment(segment))
            let error = try await requireFailure { try await restore(scratch) }
            #expect(error.code == .walMissing && "\(error)".contains("\(segment)"), "\(error)")
            #expect(!HostFacts.exists("\(scratch.server.directory)/restored"))
            #expect(try await scratch.verify(.list).flatMap(\.problems).map(\.code) == [.walMissing])
        }
    }

    private func hold(_ id: RunID, _ scratch: ScratchRepository, released: Bool = false) async throws {
        try scratch.repository.record(
            BackupFact(
                kind: released ? .release : .hold, at: scratch.repository.environment.clocks.wall(),
                run: scratch.repository.environment.makeRunID()), of: id)
    }

    @Test func `is removed by prune, packs and WAL and all, but for what is held or promised`() async throws {
        try await withCluster(rows: 100) { cluster, scratch in
            let manifests = [try await backup(scratch), try await backup(scratch), try await backup(scratch)]
            func prune(_ window: Duration) -> RepositoryPrune {
                RepositoryPrune(
                    repository: scratch.repository, policy: RetentionPolicy(minimum: 1, keepLast: 1), window: window,
                    trustsClock: true)
            }
            _ = try await scratch.verify(.checksum)
            // The WAL goes on from the first to the last: all moments of the last hour are reached from the first.
            let (_, promised) = try await prune(.seconds(3600)).recorded()
            #expect(promised.removed == [manifests[1].id] && promised.walFiles == 0)

            let segments = try manifests.map { try #require($0.physical?.neededSegments) }
            let archive = try WALArchive(scratch.repository, systemIdentifier: manifests[0].systemIdentifier)
            // Without its backup the WAL of the first leads nowhere, but it is held.
            try await hold(manifests[0].id, scratch)
            let (_, held) = try await prune(.zero).recorded()
            #expect(held.removed.isEmpty)
            #expect(held.walFiles == Set(segments[1]).subtracting(segments[0] + segments[2]).count)
            for segment in segments[0] + segments[2] { #expect(try archive.record(of: segment) != nil) }
            #expect(try await scratch.verify(.deep).map(\.problems) == [[], []])

            try await hold(manifests[0].id, scratch, released: true)
            let (_, result) = try await prune(.zero).recorded()
            #expect(result.removed == [manifests[0].id] && result.walFiles > 0)
            for segment in segments[0] where !segments[2].contains(segment) {
                #expect(try archive.record(of: segment) == nil)
            }
            let packs = try scratch.directory.contents().filter {
                $0.contains("/packs/") && !$0.hasSuffix(manifests[2].id.text)
            }
            #expect(!packs.isEmpty && packs.allSatisfy { $0.contains(manifests[2].id.text) })
            #expect(try await scratch.verify(.deep).map(\.problems) == [[]])
        }
    }

    @Test func `is refused when it cannot fit, judged by what the last one stored`() async throws {
        try await withCluster { cluster, scratch in
            let manifest = try await backup(scratch)
            _ = try scratch.rewrite(manifest) { $0.totals.storedBytes = 1 << 48 }
            let error = try await requireFailure { try await backup(scratch) }
            #expect(error.code == .repositoryFull, "\(error)")
            #expect(error.message.contains(" TiB."), "\(error.message)")
            #expect(error.unchanged == "Nothing was written.")
            #expect(try scratch.entries().map(\.id) == [manifest.id])
            _ = try scratch.rewrite(manifest) { $0.totals.storedBytes = manifest.totals.storedBytes }
            _ = try await backup(scratch)
        }
    }

    @Test func `leaves nothing when the disk is full, and says so`() async throws {
        try await PostgresCluster.with { cluster in
            try await withSmallDisk(megabytes: 1) { disk in
                // No heartbeat is due that would find the disk full, too.
                let scratch = try await ScratchRepository(for: cluster, in: disk, leaseExpiry: .seconds(3600))
                let error = try await requireFailure { try await backup(scratch) }
                #expect(error.code == .repositoryFull, "\(error)")
                #expect(error.unchanged == "No backup was committed; earlier backups were not touched.")
                #expect(try scratch.entries().isEmpty)
                let run = try #require(try scratch.runs().last)
                #expect(run.state == .failed && run.end?.error == error)
                let left = try disk.contents().filter { $0.contains("packs/") }
                #expect(left.isEmpty)
            }
        }
    }

    @Test func `is refused to a role without REPLICATION, with the statement that grants it`() async throws {
        try await withCluster(rows: 1) { cluster, scratch in
            try await cluster.execute("CREATE ROLE reader LOGIN; GRANT pg_monitor TO reader")
            let reader = try ConnectionSettings(
                parsing: "host=\(cluster.server.directory) user=reader dbname=postgres")
            let error = try await requireFailure { try await backup(scratch, as: reader) }
            #expect(error.code == .permissionDenied && error.remedy.contains("REPLICATION"), "\(error)")
            #expect(error.unchanged == "No backup was taken.")
            try await cluster.execute("ALTER ROLE reader REPLICATION")
            #expect(try await backup(scratch, as: reader).physical?.configurationMissing == false)
        }
    }

    /// The paths and sizes in a manifest of the server.
    private func serverFiles(_ bytes: [UInt8]) throws -> [String: Int64] {
        struct Manifest: Decodable {
            struct File: Decodable {
                var path: String
                var size: Int64

                enum CodingKeys: String, CodingKey {
                    case path = "Path"
                    case size = "Size"
                }
            }
            var files: [File]

            enum CodingKeys: String, CodingKey { case files = "Files" }
        }
        let manifest = try RepositoryJSON.decodePlain(Manifest.self, from: bytes, name: "backup_manifest")
        return Dictionary(manifest.files.map { ($0.path, $0.size) }) { first, _ in first }
    }
}

/// Collects lines from a reader's callback.
private final class FileLines {
    private(set) var lines: [FileTableLine] = []

    func add(_ line: FileTableLine) { lines.append(line) }
}
