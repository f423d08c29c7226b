import FoundationEssentials
import Glibc
import PostgresAccess
import TestSupport
import Testing

/// `wal receive` beside a server that archives nothing else.
struct ReceivingPlace: Sendable {
    let archiving: ArchivingCluster

    static let slot = "apex_backup_apex"

    var cluster: PostgresCluster { archiving.cluster }

    static func with(
        configuration: [String: String] = [:], _ body: (ReceivingPlace) async throws -> Void
    ) async throws {
        let settings = ["archive_mode": "off", "wal_keep_size": "1GB"].merging(configuration) { $1 }
        try await ArchivingCluster.with(archives: false, configuration: settings) { archiving in
            try await body(ReceivingPlace(archiving: archiving))
        }
    }

    /// Starts a receiver when the server has missed the last one; it is killed when nobody holds it any more.
    func start(_ arguments: String..., from server: ConnectionSettings? = nil) async throws -> RunningCommand {
        try await start(arguments, from: server)
    }

    private func start(_ arguments: [String], from server: ConnectionSettings?) async throws -> RunningCommand {
        try await waitUntilFree(at: server)
        var all = ["wal", "receive"]
        for (option, value) in [("--interval", "100ms"), ("--heartbeat", "1s")] where !arguments.contains(option) {
            all += [option, value]
        }
        return try await archiving.tool.start(all + arguments)
    }

    /// Runs `body` beside a receiver that streams, and ends it as an operator does: that succeeds.
    @discardableResult
    func receiving(
        _ arguments: String..., from server: ConnectionSettings? = nil, while body: () async throws -> Void
    ) async throws -> CommandLineTool.Output {
        let running = try await start(arguments, from: server)
        let result: Result<Void, any Error>
        do {
            try await waitUntilStreaming(from: server, unlessEnded: running)
            result = .success(try await body())
        } catch { result = .failure(error) }
        running.send(SIGTERM)
        let output = try await running.output()
        // Whatever the body missed, this tells why.
        #expect(output.status == 0, "\(output.standardError)")
        try result.get()
        return output
    }

    /// The end of what is stored on a timeline, by the names of the files.
    func storedEnd(timeline: UInt32 = 1, segmentSize: UInt64 = 16 << 20) throws -> UInt64 {
        let prefix = hex(UInt64(timeline))
        var end: UInt64 = 0
        for path in try archiving.stored() {
            let names = path.split(separator: "/").map(String.init)
            guard let name = names.last?.dropLast(4), let folder = names.dropLast().last else { continue }
            func start(_ segment: some StringProtocol) -> UInt64 {
                (UInt64(segment.dropFirst(8).prefix(8), radix: 16) ?? 0) << 32
                    + (UInt64(segment.dropFirst(16), radix: 16) ?? 0) * segmentSize
            }
            if name.count == 24, name.hasPrefix(prefix) {
                end = max(end, start(name) + segmentSize)
            } else if folder.count == 24, folder.hasPrefix(prefix), name.count == 17 {
                end = max(end, start(folder) + (UInt64(name.dropFirst(9), radix: 16) ?? 0))
            }
        }
        return end
    }

    private func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// A position that an SQL expression says.
    func position(_ expression: String, port: Int = 5432) async throws -> UInt64? {
        let session = try await cluster.session(ConnectionSettings(parsing: cluster.url("postgres", port: port)))
        let text = try await session.query("SELECT (\(expression) - '0/0'::pg_lsn)::text").firstValue
        await session.close()
        return text.flatMap { UInt64($0) }
    }

    /// Up to where the receiver has reported to the server that everything is stored: what it says first is waited for.
    func reportedPosition() async throws -> UInt64 {
        var reported: UInt64?
        let hasReported = try await eventually {
            reported = try await position(
                "(SELECT flush_lsn FROM pg_stat_replication WHERE application_name = '\(Self.slot)')")
            return reported != nil
        }
        try #require(hasReported)
        return try #require(reported)
    }

    /// Commits something, so that there is WAL to store.
    func writeSomething() async throws {
        try await cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'something to store')")
    }

    /// Waits until all is stored that the server had written when this began.
    func waitUntilStored(timeline: UInt32 = 1, port: Int = 5432) async throws {
        let written = try #require(try await position("pg_current_wal_flush_lsn()", port: port))
        let isStored = try await eventually { try storedEnd(timeline: timeline) >= written }
        try #require(isStored)
    }

    /// Waits until a receiver streams.
    func waitUntilStreaming(
        from server: ConnectionSettings? = nil, unlessEnded running: RunningCommand? = nil
    ) async throws {
        let isOver = try await eventually {
            if let running, running.hasEnded { return true }
            return try await isStreaming(from: server)
        }
        try #require(isOver && running?.hasEnded != true)
    }

    /// Waits until the server knows that nobody receives.
    func waitUntilFree(at server: ConnectionSettings? = nil) async throws {
        try #require(try await eventually { try await !isStreaming(from: server) })
    }

    private func isStreaming(from server: ConnectionSettings?) async throws -> Bool {
        let slot = "SELECT active FROM pg_replication_slots WHERE slot_name = '\(Self.slot)'"
        return try await cluster.answer(slot, at: server) == "t"
    }

    /// Waits until so many stretches of WAL are recorded as lost.
    func waitUntilRecorded(gaps: Int) async throws {
        let areRecorded = try await eventually {
            let status = try await archiving.tool.run("wal", "status", "--json")
            return try status.json().elements.first?["lost"]?.elements.count == gaps
        }
        try #require(areRecorded)
    }

    /// Compares each stored segment with the server's own file, byte for byte; returns how many there are.
    @discardableResult
    func compareSegments(with data: String) async throws -> Int {
        let names = try archiving.stored().compactMap { $0.split(separator: "/").last?.dropLast(4) }.filter {
            $0.count == 24
        }
        for name in names {
            let brought = "\(cluster.directory)/brought"
            try await archiving.succeed("wal", "get", String(name), brought)
            let original = try Data(contentsOf: URL(filePath: "\(data)/pg_wal/\(name)"))
            #expect(try Data(contentsOf: URL(filePath: brought)) == original, "\(name)")
        }
        return names.count
    }

    /// What a server says that was restored from the repository.
    func restored(_ arguments: String..., asking sql: String) async throws -> String? {
        let directory = "\(cluster.directory)/restored"
        let output = try await archiving.tool.run(["restore", "--to", "latest", "--to", directory] + arguments)
        try #require(output.status == 0, "\(output.standardError)")
        var answer: String?
        // Not where a standby of the test is.
        let settings = ["fsync": "off", "synchronous_standby_names": ""]
        try await cluster.withServer(on: directory, settings, port: 5435) { server in
            let isPromoted = try await eventually {
                try await cluster.answer("SELECT pg_is_in_recovery()", at: server) == "f"
            }
            #expect(isPromoted)
            answer = try await cluster.answer(sql, at: server)
        }
        try FileManager.default.removeItem(atPath: directory)
        return answer
    }
}
