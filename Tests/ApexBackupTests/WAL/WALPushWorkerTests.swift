import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `A worker that archives ahead` {
    @Test func `acknowledges what it has stored without reading it again`() async throws {
        let settings = ["archive_mode": "on", "archive_command": "/bin/false"]
        try await PostgresCluster.with(configuration: settings) { cluster in
            let scratch = try await ScratchRepository(for: cluster)
            var names: [String] = []
            for _ in 0..<2 {
                try await cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'something')")
                names.append(
                    try #require(try await cluster.answer("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")))
                try await cluster.execute("SELECT pg_switch_wal()")
            }
            let data = cluster.server.dataDirectory
            let areWaiting = await eventually {
                Set(WALPushAhead.waiting(waitingStatuses(beside: "\(data)/pg_wal"))).isSuperset(of: names)
            }
            try #require(areWaiting)
            let storage = CountingStorage(scratch.repository.storage)
            let push = WALPush(repository: try scratch.wrapping { _ in storage })
            let worker = try #require(
                try WALPushWorker(push, folder: "\(data)/pg_wal", systemIdentifier: nil, spool: nil, jobs: 1))
            _ = storage.takeCalls()
            try await onOwnThreads { try await worker.run() }
            let reads = storage.takeCalls().reads

            let system = try #require(try scratch.repository.incarnations().first).systemIdentifier
            let archive = try WALArchive(scratch.repository, systemIdentifier: system)
            let spool = try WALSpool(
                .push, at: "\(data)/pg_wal/\(WALSpool.standardName)", for: archive, dataDirectory: data)
            for name in names {
                let segment = try #require(WALSegmentName(parsing: name, segmentSize: .standard))
                let stored = try #require(try archive.record(of: segment))
                #expect(try spool.acknowledgement(of: name)?.contentSHA256 == stored.contentSHA256)
                #expect(!reads.contains(archive.layout.segment(segment)), "\(reads)")
            }
        }
    }
}
