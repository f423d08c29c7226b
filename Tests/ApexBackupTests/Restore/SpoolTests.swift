import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

@Suite(.timeLimit(.minutes(2))) struct `A spooled archive` {
    @Test func `says where its data is, as one does that pg_dump wrote into a file`() async throws {
        let server = try await PostgresCluster.shared()
        let directory = try TemporaryDirectory()
        try await server.withDatabase { database in
            try await SampleDatabase.fill(server, database)
            let made = try await runScript(
                "\"$1\" -Fc -Z0 -f whole.dump", server.tools.path(of: "pg_dump"), environment: database.environment,
                directory: directory.path)
            try #require(made.status == .exited(0), "\(made.errors)")
        }
        let whole = try directory.read("whole.dump")
        var counter = ArchiveRowCounter()
        for byte in whole {
            let one = [byte]
            try counter.consume(one.span)
        }
        let tables = try counter.finish()
        #expect(counter.offsets.count > tables.count, "large objects have data too")

        var streamed = whole
        for (position, bytes) in counter.offsets {
            let unknown: [UInt8] = [1] + Array(repeating: 0, count: bytes.count - 1)
            streamed.replaceSubrange(Int(position)..<Int(position) + bytes.count, with: unknown)
        }
        #expect(streamed != whole)
        let spool = Spool(directory: directory.path, environment: BackupEnvironment())
        defer { spool.remove() }
        try spool.fillWithArchive { sink throws(BackupError) in
            try sink.write(streamed.span)
            try sink.finish()
        }
        let size = whole.count
        #expect(try OpenFile(reading: spool.path).read(at: 0, count: size + 1) == whole)
    }
}
