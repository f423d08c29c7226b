import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup
@testable import BackupModel

@Suite struct `Waiting for the WAL of a base backup in the archive` {
    private func wait(
        _ archive: CraftedArchive, from first: UInt64, to last: UInt64, patience: Duration = .seconds(300),
        storage: (any Storage)? = nil
    ) async throws {
        let start = try archive.name(first).start
        try await ArchivedWAL(
            connection: try ConnectionSettings(parsing: "host=\(archive.site.directory.path) user=u dbname=d"),
            archive: archive.archive(storage), segmentSize: archive.size, patience: patience
        ).wait(
            from: LogSequenceNumber(position: start.position + 40),
            to: LogSequenceNumber(position: archive.name(last).start.position + 48), timeline: 1)
    }

    @Test func `ends when the last segment is there, in which the backup stopped`() async throws {
        let script = PauseScript()
        let archive = try CraftedArchive(clock: script.clock("2026-01-01T02:00:00Z"))
        try archive.store([4])
        script.run { number in
            if number % 10 == 0 { try archive.store([4 + UInt64(number / 10)]) }
        }
        try await wait(archive, from: 4, to: 6)
        #expect(archive.site.clock.slept == .seconds(4))
    }

    @Test func `does not end before what has come is durable`() async throws {
        let archive = try CraftedArchive()
        try archive.store([4, 5])
        let storage = CountingStorage(PosixStorage(root: archive.site.crafted.path))
        try await wait(archive, from: 4, to: 5, storage: storage)
        let layout = try archive.archive().layout
        #expect(try storage.takeCalls().durable == [4, 5].map { layout.segment(try archive.name($0)) })
    }

    @Test func `gives up in time, and names the first segment that is missing`() async throws {
        let archive = try CraftedArchive()
        try archive.store([4, 6])
        let error = await #expect(throws: BackupError.self) {
            try await wait(archive, from: 4, to: 6, patience: .seconds(20))
        }
        #expect(archive.site.clock.slept == .seconds(20))
        #expect(error?.code == .walMissing)
        #expect(error?.message.contains("000000010000000100000001") == true)
        #expect(error?.message.contains("within 20.0 s") == true)
        #expect(error?.reason?.hasPrefix("what the server's archiver does could not be asked") == true)
        #expect(error?.remedy.contains("wal_timeout") == true)
    }
}
