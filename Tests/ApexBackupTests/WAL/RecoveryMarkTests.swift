import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

/// `mark`, on a server of its own that archives nothing by itself.
@Suite(.serialized) struct `A mark` {
    private func mark(
        _ name: String, at connection: ConnectionSettings, in repository: Repository, patience: Duration = .zero
    ) async throws -> RecoveryMark.Result {
        let mark = RecoveryMark(repository: repository, connection: connection, patience: patience)
        return try await onOwnThreads { try await mark.run(name: name) }
    }

    @Test func `is a restore point behind a heartbeat that is committed, in the segment that it names and ends`()
        async throws
    {
        try await PostgresCluster.with { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let repository = scratch.repository
            let made = try await mark("before", at: cluster.settings, in: repository)
            #expect(made.name == "before" && made.timeline == 1)
            let push = WALPush(repository: repository)
            _ = try await onOwnThreads { try push.run("\(cluster.server.dataDirectory)/pg_wal/\(made.segment)") }
            let archive = try WALArchive(repository, systemIdentifier: repository.soleIncarnation())
            let segment = try #require(WALSegmentName(parsing: made.segment, segmentSize: .standard))
            let summary = try #require(try archive.record(of: segment)?.summary)
            let point = try #require(summary.restorePoints.entries.first { $0.name == "before" })
            let heartbeat = try #require(summary.heartbeats.entries.last)
            #expect(heartbeat.transactionID > 0 && heartbeat.lsn < point.lsn && point.lsn < made.lsn)
            let status = try await cluster.firstValue("SELECT pg_xact_status('\(heartbeat.transactionID)'::xid8)")
            #expect(status == "committed")
            #expect(summary.switchedAt != nil, "the segment is archived without waiting until it is full")
        }
    }

    @Test func `says whether its segment is archived, and waits for it as long as it is told`() async throws {
        try await PostgresCluster.with { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            let repository = scratch.repository
            #expect(try await mark("alone", at: cluster.settings, in: repository).isArchived == false)
            let wal = "\(cluster.server.dataDirectory)/pg_wal"
            let segment = try #require(
                try await cluster.firstValue("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
            // While it waits, the segment comes.
            var environment = repository.environment
            let push = WALPush(repository: repository)
            environment.clocks.sleep = { _ in _ = try push.run("\(wal)/\(segment)") }
            let waiting = try Repository.open(
                repository.storage, layout: repository.layout, environment: environment)
            let made = try await mark("again", at: cluster.settings, in: waiting, patience: .seconds(600))
            #expect(made.isArchived && made.segment == segment)
        }
    }

    @Test(arguments: ["", "a\0b", String(repeating: "x", count: 64), String(repeating: "é", count: 32)])
    func `has a name that PostgreSQL does not cut`(name: String) async throws {
        let archive = try CraftedArchive()
        let nowhere = try ConnectionSettings(parsing: "host=\(archive.site.directory.path) user=u dbname=d")
        let error = try await requireFailure { try await mark(name, at: nowhere, in: archive.site.repository()) }
        #expect(error.code == .usage && error.unchanged == "Nothing was marked.")
        let longest = String(repeating: "x", count: 63)
        let unreached = try await requireFailure {
            try await mark(longest, at: nowhere, in: archive.site.repository())
        }
        #expect(unreached.code == .serverUnreachable)
    }

    @Test func `is archived when the segment of its own server is, and not one of the same name`() async throws {
        let archive = try CraftedArchive()
        try archive.store([4])
        let told = RecordedEvents()
        var environment = archive.site.crafted.environment
        environment.events = { told.add($0) }
        let repository = try archive.site.crafted.open(environment: environment)
        // The names of segments begin again.
        _ = try archive.succeed()
        let mark = RecoveryMark(
            repository: repository, connection: try ConnectionSettings(parsing: "postgresql://h/postgres"),
            patience: .seconds(3))
        let segment = try archive.name(4).description
        #expect(try await mark.isArchived(segment, of: CraftedRepository.systemIdentifier))
        #expect(archive.site.clock.slept == .zero)
        #expect(try await !mark.isArchived(segment, of: CraftedArchive.successor))
        #expect(archive.site.clock.slept == .seconds(3))
        let phase = "waiting for WAL segment \(segment) in the repository"
        #expect(told.all.contains { if case .phase(phase) = $0 { true } else { false } })
    }
}
