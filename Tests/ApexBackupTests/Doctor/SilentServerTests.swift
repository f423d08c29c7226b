import BackupModel
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

/// What asks a server that takes connections, and then says nothing.
@Suite(.timeLimit(.minutes(5))) struct `A server that takes connections and hangs` {
    private static let limit = Duration.seconds(1)

    private func expectLost(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        let error = await #expect(throws: BackupError.self, sourceLocation: sourceLocation) {
            try await onOwnThreads(body)
        }
        #expect(error?.code == .serverConnectionLost, sourceLocation: sourceLocation)
        #expect(error?.message.contains("does not answer any more") == true, sourceLocation: sourceLocation)
        #expect(error?.reason == "the server has sent nothing for 1.0 s", sourceLocation: sourceLocation)
    }

    @Test func `cannot be reached for doctor, which tells of the repository all the same`() async throws {
        let server = try SilentServer()
        let directory = try TemporaryDirectory()
        var flags = EffectivePolicy.Flags()
        flags.url = server.url
        flags.repository = directory.path(of: "nowhere")
        var doctor = Doctor(
            settings: try EffectivePolicy.load(flags, environment: BackupEnvironment()), patience: .seconds(1),
            checksStorage: false)
        doctor.longestSilence = Self.limit
        let found = try await onOwnThreads { [doctor] in try await doctor.run() }
        #expect(found.map(\.code) == [.serverUnreachable, .repository])
        #expect(found.first?.found.contains("does not answer any more") == true, "\(found)")
        #expect(found.first?.why == "the server has sent nothing for 1.0 s", "\(found)")
        #expect(found.first?.mend?.action?.contains("hang") == true, "\(found)")
    }

    @Test func `is not waited for by a mark, a heartbeat and the status of the WAL`() async throws {
        let server = try SilentServer()
        let connection = try ConnectionSettings(parsing: server.url)
        let scratch = try await ScratchRepository(for: try await PostgresCluster.shared())
        try await expectLost { _ = try await ServerWAL.ask(connection, longestSilence: Self.limit) }
        try await expectLost {
            var heartbeat = WALHeartbeat(repository: scratch.repository, connection: connection)
            heartbeat.longestSilence = Self.limit
            _ = try await heartbeat.run()
        }
        try await expectLost {
            var mark = RecoveryMark(repository: scratch.repository, connection: connection, patience: .zero)
            mark.longestSilence = Self.limit
            do { _ = try await mark.run(name: "here") } catch let error as BackupError {
                #expect(error.unchanged == "Nothing was marked.")
                throw error
            }
        }
    }

    @Test func `leaves a mark that it was asked for unknown, and one that it has made`() throws {
        func remark(_ progress: RecoveryMark.Progress, _ code: ErrorCode) throws -> String {
            try #require(progress.explaining(BackupError(code, "It failed.", remedy: "Run again.")).unchanged)
        }
        let marked = RecoveryMark.Progress.marked(LogSequenceNumber(position: 0x300_0148))
        #expect(try remark(.begun, .serverConnectionLost) == "Nothing was marked.")
        #expect(try remark(.asked, .queryFailed) == "Nothing was marked.")
        #expect(try remark(.asked, .serverConnectionLost).contains("is not known"))
        #expect(try remark(marked, .queryFailed).contains("was made, at 0/3000148"))
        #expect(marked.explaining(CancellationError()).unchanged?.contains("was made, at 0/3000148") == true)
    }
}
