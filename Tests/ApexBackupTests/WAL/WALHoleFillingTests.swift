import BackupStorage
import Glibc
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `A hole in the stored WAL` {
    private static let slot = ReplicationSlotName(ofCluster: "apex")

    @Test func `is looked for again and again where the server lets nobody fill it, until somebody has`() async throws {
        let script = PauseScript()
        let crafted = try CraftedArchive(clock: script.clock("2026-01-01T02:00:00Z"))
        try crafted.store([112, 113, 116, 119])
        script.run { number in
            if number == 2 { try crafted.store([117, 118]) }
            if number == 3 { try crafted.store([114, 115]) }
        }
        let nowhere = try ConnectionSettings(parsing: "host=\(crafted.site.directory.path) user=u dbname=d")
        let repository = try crafted.site.repository()
        let reception = WALReception(
            connection: nowhere,
            request: .init(slot: Self.slot, interval: .seconds(5), heartbeat: .zero, isSynchronous: false),
            open: { repository })
        let log = WALReceptionLog(slot: Self.slot)
        try await WALHoleFilling(
            reception: reception, source: Self.source(crafted.size), archive: crafted.archive(),
            history: TimelineHistory(first: 1), end: crafted.name(120).start, log: log
        ).run()
        #expect(log.hasLookedForHoles && crafted.site.clock.slept == .seconds(5 + 10 + 20))
        // In the same process nobody looks again.
        try crafted.archive().repository.storage.remove(crafted.archive().layout.segment(crafted.name(115)))
        try await WALHoleFilling(
            reception: reception, source: Self.source(crafted.size), archive: crafted.archive(),
            history: TimelineHistory(first: 1), end: crafted.name(120).start, log: log
        ).run()
        #expect(crafted.site.clock.slept == .seconds(35))
    }

    private static func source(_ size: WALSegmentSize) -> WALReceptionSource {
        WALReceptionSource(
            facts: ServerFacts(
                version: "15.15", versionNumber: 150_015, systemIdentifier: CraftedRepository.systemIdentifier,
                inRecovery: false, timeline: 1, currentLSN: LogSequenceNumber(position: 0),
                clock: Timestamp(microseconds: 0), dataChecksums: true, encoding: "UTF8", isSuperuser: true,
                canReadRolePasswords: true),
            segmentSize: size, slot: nil, senderTimeout: nil, synchronousStandbys: SynchronousStandbyNames(parsing: ""))
    }

    @Test(.needsPhysicalBackups) func `is filled beside the stream, which goes on, and its slot stays where it is`()
        async throws
    {
        try await PostgresCluster.with(configuration: ["wal_keep_size": "1GB"]) { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            var names: [String] = []
            for _ in 0..<3 {
                try await cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'something')")
                names.append(
                    try #require(try await cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")))
                try await cluster.execute("SELECT pg_switch_wal()")
            }
            for name in [names[0], names[2]] {
                _ = try WALPush(repository: scratch.repository).run("\(cluster.server.dataDirectory)/pg_wal/\(name)")
            }
            try await cluster.execute("CHECKPOINT")
            try await cluster.execute("SELECT pg_create_physical_replication_slot('\(Self.slot)', true)")
            let kept = try #require(try await cluster.answer("SELECT restart_lsn FROM pg_replication_slots"))

            let system = try #require(try scratch.repository.incarnations().first).systemIdentifier
            let archive = try WALArchive(scratch.repository, systemIdentifier: system)
            let missing = try #require(WALSegmentName(parsing: names[1], segmentSize: .standard))
            let gate = GatedStorage(scratch.repository.storage, at: archive.layout.segment(missing))
            defer { gate.open() }
            let repository = try scratch.wrapping { _ in gate }
            let reception = WALReception(
                connection: cluster.settings,
                request: .init(
                    slot: Self.slot, interval: .milliseconds(100), heartbeat: .seconds(1), isSynchronous: false),
                open: { repository })
            let running = Task(executorPreference: ThreadedExecutor.shared) { try await reception.run() }
            defer { running.cancel() }
            #expect(await eventually { gate.isReached })
            try await cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'something more')")
            let written = try #require(try await cluster.answer("SELECT pg_current_wal_flush_lsn()"))
            let isReported = try await eventually {
                try await cluster.answer(
                    "SELECT flush_lsn >= '\(written)' FROM pg_stat_replication WHERE application_name = '\(Self.slot)'")
                    == "t"
            }
            #expect(isReported)
            #expect(try await cluster.answer("SELECT restart_lsn >= '\(kept)' FROM pg_replication_slots") == "t")
            // No commit can be waiting for a stream that says of nothing that it is durable.
            let others = "SELECT string_agg(coalesce(flush_lsn::text, 'none'), ' ') FROM pg_stat_replication"
            #expect(
                try await cluster.answer("\(others) WHERE application_name <> '\(Self.slot)'") == "none")
            #expect(try !archive.isStoredWhole(missing))
            gate.open()
            #expect(try await eventually { try archive.isStoredWhole(missing) })
            #expect(try await cluster.answer("SELECT restart_lsn >= '\(kept)' FROM pg_replication_slots") == "t")
            running.cancel()
            let result = try await running.value
            #expect(result.gaps.isEmpty && result.connections == 1 && result.segments >= 1)
            let sink = CollectingSink(limit: 1 << 25)
            try archive.read(missing, into: sink)
            #expect(try archive.unfinished(size: .standard).map(\.number) == [missing.number + 2])
            #expect(sink.bytes.count == 16 << 20)
        }
    }
}

/// A storage in which one object cannot be written before a gate is opened.
private final class GatedStorage: ForwardingStorage {
    let storage: any Storage
    private let key: ObjectKey
    private let isOpen = Atomic(false)
    private let hasBeenReached = Atomic(false)

    init(_ storage: any Storage, at key: ObjectKey) {
        self.storage = storage
        self.key = key
    }

    var isReached: Bool { hasBeenReached.load(ordering: .acquiring) }

    func open() { isOpen.store(true, ordering: .releasing) }

    func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
        if key == self.key { waitUntilOpen() }
        return try storage.makeWriter(key)
    }

    private func waitUntilOpen() {
        hasBeenReached.store(true, ordering: .releasing)
        while !isOpen.load(ordering: .acquiring) { usleep(10_000) }
    }
}
