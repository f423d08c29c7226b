import BackupModel
import BackupStorage
import PostgresAccess
import Synchronization
import TestSupport
import Testing

@testable import ApexBackup

/// Runs `body` with a directory on a file system of its own, which `body` may make read-only.
private func withDisk(
    _ body: (_ path: String, _ makeReadOnly: () async throws -> Void) async throws -> Void
) async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    try #require(try await runScript("mount -t tmpfs -o size=64m tmpfs \"$1\"", path).status == .exited(0))
    let result: Result<Void, any Error>
    do {
        result = .success(
            try await body(path) {
                // Over it, as a file that is open for writing keeps it from being mounted again.
                let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\""
                try #require(try await runScript(script, path).status == .exited(0))
            })
    } catch { result = .failure(error) }
    // Also while somebody still has a file of it open, as a child of another test has that is just being started.
    try await runScript("while umount --lazy \"$1\"; do :; done", path)
    try result.get()
}

@Suite(.timeLimit(.minutes(30))) struct `A directory for temporary files` {
    @Test func `that cannot be written to leaves a restore its stream, and the plan says so`() async throws {
        try await withOneRow { server, scratch, place in
            try await withDisk { path, makeReadOnly in
                func restore(to name: String) async throws -> RestorePlan {
                    try await scratch.restore(to: place.with(database: name)) {
                        ($0.jobs, $0.spoolDirectory) = (2, path)
                    }.plan
                }
                let name = try #require(place.database)
                #expect(try await restore(to: name).databases.first?.feed == .spooled)
                try await makeReadOnly()
                let plan = try await restore(to: "\(name)_2")
                #expect(plan.databases.first?.feed == .streamed && plan.spoolFreeBytes == nil)
                #expect(plan.warnings.contains { $0.contains("no temporary files can be made in \(path)") })
            }
        }
    }

    @Test func `that keeps a temporary file is named, for the file holds data`() async throws {
        try await withDisk { path, makeReadOnly in
            let warned = Mutex<[String]>([])
            let environment = BackupEnvironment(events: { event in
                if case .warning(let text) = event { warned.withLock { $0.append(text) } }
            })
            Spool(directory: path, environment: environment).remove()
            #expect(warned.withLock { $0 }.isEmpty, "a spool that was never filled")
            let spool = Spool(directory: path, environment: environment)
            try spool.write("data")
            try await makeReadOnly()
            spool.remove()
            #expect(warned.withLock { $0 }.contains { $0.contains(spool.path) })
        }
    }
}

@Suite(.timeLimit(.minutes(30))) struct `A spooled archive` {
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
