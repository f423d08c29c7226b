import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

@Suite struct `Committing a backup` {
    @Test func `is over once the manifest is there: what cannot be tidied up then costs no data`() async throws {
        let server = try await PostgresCluster.shared()
        // No heartbeat is due that would remove an older one first.
        let scratch = try await ScratchRepository(for: server, leaseExpiry: .seconds(3600))
        try await server.withDatabase { database in
            try await server.execute("CREATE TABLE t AS SELECT generate_series(1, 100) AS n", in: database)
            let repository = try scratch.wrapping { FaultyStorage($0, failing: .remove) }
            let manifest = try await scratch.backup(database.database ?? "", in: repository)
            #expect(try scratch.entries().map { $0.manifest?.id } == [manifest.id])
            #expect(try await scratch.verify(.checksum).map(\.succeeded) == [true])
            #expect(scratch.warnings.contains { $0.contains("mark of a running backup") })
            #expect(try scratch.runs().first?.state == .succeeded)
        }
    }

    @Test func `that prune forestalled fails as given up, whatever the run stumbled over`() async throws {
        let server = try await PostgresCluster.shared()
        let scratch = try await ScratchRepository(for: server)
        try await server.withDatabase { database in
            let repository = try scratch.wrapping { ForestallingStorage($0, layout: scratch.repository.layout) }
            let error = await #expect(throws: BackupError.self) {
                try await scratch.backup(database.database ?? "", in: repository)
            }
            #expect(error?.code == .backupAborted)
            #expect(error?.unchanged == "No backup was committed; earlier backups were not touched.")
            #expect(try scratch.entries().contains { $0.manifest != nil } == false)
            let id = try #require(try scratch.entries().first?.id)
            let layout = repository.layout
            #expect(try repository.storage.children(of: layout.backup(id)) == ["manifest.json"])
        }
    }
}

/// A storage in which prune gives the run up, and takes what it has stored, while it writes its guide.
private final class ForestallingStorage: ForwardingStorage {
    let storage: any Storage
    private let layout: RepositoryLayout

    init(_ storage: any Storage, layout: RepositoryLayout) {
        self.storage = storage
        self.layout = layout
    }

    func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
        if key.lastComponent == "RESTORE.md", let name = key.text.split(separator: "/").dropLast().last,
            let id = RunID(parsing: name)
        {
            let mark = AbortedRun(
                at: Timestamp(microseconds: 0), by: RunID(at: Timestamp(microseconds: 0), chance: 7),
                reason: "the test wants it")
            _ = try storage.putIfAbsent(
                layout.manifest(id), try RepositoryJSON.encode(ManifestDocument.aborted(mark)))
            throw FaultyStorage.fault
        }
        return try storage.makeWriter(key)
    }
}
