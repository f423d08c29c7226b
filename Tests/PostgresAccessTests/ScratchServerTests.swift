import BackupModel
import Glibc
import PostgresAccess
import TestSupport
import Testing

@Suite struct `Scratch servers` {
    @Test func `leave no process and no directory behind`() async throws {
        let cluster = try await PostgresCluster.start(configuration: ["work_mem": "7MB"])
        let server = cluster.server
        let session = try await cluster.session()
        #expect(try await session.query("SHOW work_mem").firstValue == "7MB")
        #expect(try await session.query("SHOW listen_addresses").firstValue == "")
        #expect(try await session.query("SHOW data_checksums").firstValue == "on")
        #expect(kill(server.processIdentifier, 0) == 0)
        try await server.destroy()
        #expect(kill(server.processIdentifier, 0) != 0)
        #expect(try await exists(server.directory) == false)
        await session.close()
    }

    @Test func `stop with an exit status that says they stopped in order`() async throws {
        try await PostgresCluster.with { cluster in
            let outcome = try await cluster.server.stop(limit: .seconds(600))
            #expect(outcome.status == .exited(0))
            #expect(kill(cluster.server.processIdentifier, 0) != 0)
            let error = await #expect(throws: BackupError.self) { try await cluster.session() }
            #expect(error?.code == .serverUnreachable)
        }
    }

    @Test func `that cannot start say why, in the server's words, and leave nothing`() async throws {
        let tools = try await PostgresCluster.shared().tools
        let directory = PostgresCluster.temporaryPath("bad")
        var options = ScratchServer.Options()
        options.configuration = ["shared_buffers": "no number"]
        let error = await #expect(throws: BackupError.self) {
            try await ScratchServer.start(binDirectory: tools.directory, directory: directory, options: options)
        }
        #expect(error?.reason?.contains("shared_buffers") == true)
        #expect(try await exists(directory) == false)
    }

    @Test func `are not put into a directory that is there, or whose socket path is too long`() async throws {
        let cluster = try await PostgresCluster.shared()
        let there = await #expect(throws: BackupError.self) {
            try await ScratchServer.start(binDirectory: cluster.tools.directory, directory: cluster.server.directory)
        }
        #expect(there?.code == .targetUnsuitable)
        #expect(try await exists(cluster.server.directory))
        let long = "/tmp/\(String(repeating: "x", count: 89))"
        let error = await #expect(throws: BackupError.self) {
            try await ScratchServer.start(binDirectory: cluster.tools.directory, directory: long)
        }
        #expect(error?.code == .usage)
        #expect(error?.reason == "its socket's path would have 108 bytes, and the system allows 107")
        #expect(try await exists(long) == false)
    }

    @Test func `of a user that does not exist are refused`() async throws {
        let tools = try await PostgresCluster.shared().tools
        let directory = PostgresCluster.temporaryPath("nobody")
        var options = ScratchServer.Options()
        options.userName = "no-such-user"
        let error = await #expect(throws: BackupError.self) {
            try await ScratchServer.start(binDirectory: tools.directory, directory: directory, options: options)
        }
        #expect(error?.code == .usage)
        #expect(error?.unchanged != nil)
        #expect(try await exists(directory) == false)
    }

    @Test func `are no leftovers while they are in use`() async throws {
        let cluster = try await PostgresCluster.shared()
        #expect(try await !ScratchServer.stopLeftover(directory: cluster.server.directory))
        #expect(try await exists(cluster.server.directory))
        let other = await #expect(throws: BackupError.self) { try await ScratchServer.stopLeftover(directory: "/etc") }
        #expect(other?.code == .targetUnsuitable)
        #expect(try await exists("/etc"))
    }

    @Test func `that nobody holds any more are stopped and removed, unless their mark says nothing`() async throws {
        let cluster = try await PostgresCluster.start()
        let directory = cluster.server.directory
        let mark = "\(directory)/apex-backup-scratch"
        let words = try await capture(shell("cat \"$1\"", mark)).text
        // Each time in a file of its own, which is not locked.
        func forge(_ words: String) async throws {
            let forge = shell("rm \"$1\" && printf %s \"$2\" > \"$1\"", mark, words)
            try requireSuccess(try await capture(forge).outcome, of: forge)
        }
        let unreadable = "it holds no readable file 'apex-backup-scratch'"
        let marks = [
            ("another-host\n", "the host 'another-host' made it"), ("", unreadable),
            (String(words.dropLast()), unreadable),
            ("12 4242 b7 4026531836 \(words)", unreadable),
        ]
        for (words, reason) in marks {
            try await forge(words)
            let error = await #expect(throws: BackupError.self) {
                try await ScratchServer.stopLeftover(directory: directory)
            }
            #expect(error?.code == .targetUnsuitable && error?.reason == reason)
            #expect(error?.message.contains("'\(directory)'") == true && error?.remedy.contains("by hand") == true)
        }
        let pipe = shell("rm \"$1\" && mkfifo \"$1\"", mark)
        try requireSuccess(try await capture(pipe).outcome, of: pipe)
        let error = await #expect(throws: BackupError.self) {
            try await ScratchServer.stopLeftover(directory: directory)
        }
        #expect(error?.reason == unreadable)
        #expect(kill(cluster.server.processIdentifier, 0) == 0)

        try await forge(words)
        #expect(try await ScratchServer.stopLeftover(directory: directory))
        #expect(try await exists(directory) == false)
        #expect(await eventually { kill(cluster.server.processIdentifier, 0) != 0 })
    }

    private func exists(_ path: String) async throws -> Bool {
        try await capture(shell("test -e \"$1\"", path)).outcome.isSuccess
    }
}
