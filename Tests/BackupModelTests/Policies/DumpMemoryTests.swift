import BackupModel
import Testing

@Suite struct `The memory of a backup` {
    private func jobs(
        _ asked: Int? = nil, processors: Int = 8, limit: Int64? = nil, _ compression: Compression = .gzip(level: 1)
    ) throws -> Int {
        try DumpMemory.jobs(
            asked: asked, processors: processors, limit: limit.map { $0 << 20 }, compression: compression)
    }

    @Test func `bounds what runs at once: what was asked for by a limit, what was not by the standard`() throws {
        #expect(try jobs() == 2)
        #expect(try jobs(processors: 1) == 1)
        #expect(try jobs(.zstd(level: 3)) == 2)
        #expect(try jobs(.zstd(level: 19)) == 1)
        #expect(try jobs(8, .zstd(level: 19)) == 8)
        #expect(try jobs(8, limit: 64) == 4)
        #expect(try jobs(3, limit: 64) == 3)
        #expect(try jobs(limit: 46) == 1)
        #expect(try jobs(limit: 1 << 40) == 2)
        #expect(try jobs(64, limit: 1 << 40) == 64)
    }

    @Test func `has room for what the storage takes for each`() throws {
        func jobs(limit: Int64?) throws -> Int {
            try DumpMemory.jobs(
                asked: nil, processors: 8, limit: limit.map { $0 << 20 }, compression: .none, writer: 24 << 20)
        }
        #expect(try jobs(limit: nil) == 1)
        #expect(try jobs(limit: 70) == 1)
        #expect(try jobs(limit: 100) == 2)
        #expect(throws: BackupError.self) { try jobs(limit: 69) }
        let workers = try BaseBackupMemory.workers(
            asked: nil, processors: 8, limit: nil, compression: .zstd(level: 1), writer: 24 << 20)
        #expect(workers == 1)
    }

    @Test func `refuses a compression for which there is not enough`() {
        let error = #expect(throws: BackupError.self) { try jobs(limit: 64, .zstd(level: 19)) }
        #expect(error?.code == .settings)
        #expect(error?.message == "A backup compressed with zstd:19 does not fit into 64.0 MiB of memory.")
        #expect(error?.reason == "one dump at a time needs 138.0 MiB")
    }

    private func jobs(_ compression: Compression) throws -> Int { try jobs(nil, compression) }
}
