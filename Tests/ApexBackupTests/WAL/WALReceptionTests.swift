import BackupStorage
import FoundationEssentials
import Glibc
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// A receiver in this process, of servers of its own.
@Suite(.serialized, .needsPhysicalBackups) struct `A receiver of WAL` {
    private static let slot = ReplicationSlotName(ofCluster: "apex")

    private func reception(
        from server: ConnectionSettings, into repository: Repository, longestSilence: Duration = .seconds(60),
        interval: Duration = .milliseconds(100), heartbeat: Duration = .seconds(1)
    ) -> WALReception {
        var request = WALReception.Request(
            slot: Self.slot, interval: interval, heartbeat: heartbeat, isSynchronous: false)
        request.longestSilence = longestSilence
        return WALReception(
            connection: server, request: request,
            open: { () throws(BackupError) in
                try Repository.open(
                    PosixStorage(root: repository.storage.location), layout: repository.layout,
                    environment: repository.environment)
            })
    }

    /// The process that streams to the receiver, once there is one.
    private func streaming(_ cluster: PostgresCluster, at server: ConnectionSettings? = nil) async throws -> Int32 {
        let sender =
            "SELECT pid FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '\(Self.slot)'"
        var process: Int32?
        let isStreaming = try await eventually {
            process = try await cluster.answer(sender, at: server).flatMap { Int32($0) }
            return process != nil
        }
        try #require(isStreaming)
        return try #require(process)
    }

    @Test func `misses a heartbeat only where one is wanted`() {
        var request = WALReception.Request(
            slot: Self.slot, interval: .seconds(5), heartbeat: .seconds(1), isSynchronous: false)
        #expect(request.omission(ofStandby: false) == "no heartbeat was written")
        #expect(request.omission(ofStandby: true) == "whether commits wait for this receiver was not asked")
        request.heartbeat = .zero
        #expect(request.omission(ofStandby: false) == "whether commits wait for this receiver was not asked")
    }

    @Test func `takes a frozen server for lost, goes on when it is back, and ends beside it`() async throws {
        try await PostgresCluster.with { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let reception = reception(
                from: cluster.settings, into: scratch.repository, longestSilence: .seconds(10))
            let hasEnded = Atomic(false)
            let running = Task(executorPreference: ThreadedExecutor.shared) {
                defer { hasEnded.store(true, ordering: .releasing) }
                return try await reception.run()
            }
            defer { running.cancel() }
            func whileFrozen(_ body: () async throws -> Void) async throws {
                let processes = [try await streaming(cluster), cluster.server.processIdentifier]
                for process in processes { kill(process, SIGSTOP) }
                defer { for process in processes { kill(process, SIGCONT) } }
                try await body()
            }
            func hasWarned(_ words: String) async -> Bool {
                await eventually { scratch.warnings.contains { $0.contains(words) } }
            }
            try await whileFrozen {
                #expect(await hasWarned("the server has sent nothing for 10.0 s"))
                #expect(await hasWarned("no answer within 15.0 s"), "\(scratch.warnings)")
            }
            _ = try await streaming(cluster)
            try await cluster.execute("CREATE TABLE t (n int)")
            let written = try await cluster.answer("SELECT pg_current_wal_flush_lsn()")
            let isStored = try await eventually {
                try await cluster.answer("SELECT flush_lsn >= '\(written ?? "")' FROM pg_stat_replication") == "t"
            }
            #expect(isStored)
            // Whoever stops it does not wait for the server.
            try await whileFrozen {
                running.cancel()
                #expect(await eventually { hasEnded.load(ordering: .acquiring) })
            }
            #expect(try await running.value.connections > 1)
        }
    }

    /// Runs `body` beside a receiver that streams, ends that, and waits until the server knows it.
    private func receiving(
        _ reception: WALReception, of cluster: PostgresCluster, while body: () async throws -> Void = {}
    ) async throws {
        let running = Task(executorPreference: ThreadedExecutor.shared) { try await reception.run() }
        defer { running.cancel() }
        _ = try await streaming(cluster)
        try await body()
        running.cancel()
        _ = try await running.value
        let isFree = try await eventually {
            try await cluster.answer("SELECT count(*) FROM pg_replication_slots WHERE active") == "0"
        }
        try #require(isFree)
    }

    @Test func `never lets its slot go back, not even where what was stored is gone`() async throws {
        try await PostgresCluster.with { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            func kept() async throws -> LogSequenceNumber {
                let text = try await cluster.answer("SELECT restart_lsn FROM pg_replication_slots")
                return try #require(text.flatMap { LogSequenceNumber(parsing: $0) })
            }
            try await receiving(reception(from: cluster.settings, into: scratch.repository), of: cluster) {
                try await cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'something')")
                let written = try await cluster.answer("SELECT pg_current_wal_flush_lsn()")
                let isReported = try await eventually {
                    try await cluster.answer("SELECT flush_lsn >= '\(written ?? "")' FROM pg_stat_replication") == "t"
                }
                try #require(isReported)
            }
            let incarnation = try #require(try scratch.repository.incarnations().first)
            let archive = try WALArchive(scratch.repository, systemIdentifier: incarnation.systemIdentifier)
            let segment = try #require(try archive.unfinished(size: .standard).last)
            let before = try await kept()
            #expect(before > segment.start)
            try archive.removePieces(of: segment)
            // What it says is what it has to say at its beginning.
            try await receiving(
                reception(
                    from: cluster.settings, into: scratch.repository, interval: .seconds(3600), heartbeat: .zero),
                of: cluster)
            #expect(try await kept() >= before)
            #expect(try archive.piecesEnd(of: segment) ?? segment.start >= before)
        }
    }

    @Test func `looks at the archive once while a standby is behind it`() async throws {
        try await PostgresCluster.with(configuration: ["wal_keep_size": "1GB"]) { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            // It has what its base backup brought.
            try await cluster.withStandby(["primary_conninfo": ""]) { standby in
                for _ in 0..<2 {
                    try await cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'something')")
                    try await cluster.execute("SELECT pg_switch_wal()")
                }
                let current = try await cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())") ?? ""
                let folder = "\(cluster.server.dataDirectory)/pg_wal"
                for name in try FileManager.default.contentsOfDirectory(atPath: folder)
                where name.count == 24 && name < current {
                    _ = try WALPush(repository: scratch.repository).run("\(folder)/\(name)")
                }
                let sleeps = Atomic(0)
                var environment = scratch.repository.environment
                environment.clocks.sleep = { _ in
                    sleeps.add(1, ordering: .acquiringAndReleasing)
                    try await Task.sleep(for: .milliseconds(10))
                }
                let storage = CountingStorage(scratch.repository.storage)
                let repository = try Repository.open(
                    storage, layout: scratch.repository.layout, environment: environment)
                let reception = WALReception(
                    connection: standby,
                    request: .init(slot: Self.slot, interval: .seconds(1), heartbeat: .zero, isSynchronous: false),
                    open: { repository })
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await reception.run() }
                defer { running.cancel() }
                #expect(await eventually { sleeps.load(ordering: .acquiring) > 0 })
                #expect(scratch.notes.contains { $0.contains("waiting for it") }, "\(scratch.warnings)")
                _ = storage.takeCalls()
                let before = sleeps.load(ordering: .acquiring)
                #expect(await eventually { sleeps.load(ordering: .acquiring) > before + 3 })
                let calls = storage.takeCalls()
                #expect(calls.listings.isEmpty && calls.reads.isEmpty, "\(calls)")
                running.cancel()
                #expect(try await running.value.connections == 0)
            }
        }
    }

    @Test func `rolls up the log folders that are whole, at its beginning and whenever one is at its end`() async throws
    {
        // Four segments of a cluster that never was make a log folder; the receiver's own is that of a real server.
        let crafted = try CraftedArchive()
        try crafted.store(0..<4)
        try crafted.addBackup(inSegment: 0)
        try await PostgresCluster.with { cluster in
            let session = try await cluster.session()
            let facts = try await session.serverFacts()
            await session.close()
            let layout = try crafted.site.repository().layout
            let repository = try Repository.open(
                PosixStorage(root: crafted.site.crafted.path), layout: layout, environment: BackupEnvironment())
            try repository.recordIncarnation(
                ClusterIncarnation(
                    systemIdentifier: facts.systemIdentifier, major: facts.major, firstSeen: CraftedArchive.time(0)))
            // Its WAL goes on in the last segment but one of a log folder.
            try await cluster.server.stop(limit: .seconds(600))
            var program = CommandLineTool(
                executable: "\(cluster.programs)/pg_resetwal",
                environment: ["LD_LIBRARY_PATH": "\(cluster.programs)/../lib"])
            program.userName = "postgres"
            let data = cluster.server.dataDirectory
            let reset = try await program.run("-l", "0000000100000001000000FE", "-D", data)
            try #require(reset.status == 0, "\(reset.standardError)")
            try await cluster.withServer(on: data, ["fsync": "off"]) { server in
                let reception = reception(from: server, into: repository)
                let running = Task(executorPreference: ThreadedExecutor.shared) { try await reception.run() }
                defer { running.cancel() }
                #expect(try await eventually { try crafted.rollUps().contains("00000001/00000000.zst") })
                _ = try await streaming(cluster, at: server)
                try crafted.store(4..<8)
                for _ in 0..<2 {
                    try await cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'something')", in: server)
                    try await cluster.execute("SELECT pg_switch_wal()", in: server)
                }
                #expect(try await eventually { try crafted.rollUps().contains("00000001/00000001.zst") })
                running.cancel()
                #expect(try await running.value.segments >= 2)
            }
        }
    }
}
