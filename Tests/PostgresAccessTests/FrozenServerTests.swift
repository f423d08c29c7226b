import BackupModel
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import PostgresAccess

/// Server processes that are there, take what is sent to them, and say nothing.
@Suite struct `A server process that is frozen` {
    /// Long enough for a busy host to answer what comes before.
    private static let limit = Duration.seconds(30)
    /// Of this suite alone: beside a process that is frozen no database can be dropped.
    private static let cluster = Task { try await PostgresCluster.start() }

    private func requireLost(_ body: () async throws -> Void) async {
        let error = await #expect(throws: BackupError.self) { try await body() }
        #expect(error?.code == .serverConnectionLost)
        #expect(error?.reason == "the server has sent nothing for \(DurationText.format(Self.limit))")
    }

    /// Runs `body` while a process does nothing.
    private func whileFrozen(_ process: Int32, _ body: () async throws -> Void) async rethrows {
        kill(process, SIGSTOP)
        defer { kill(process, SIGCONT) }
        try await body()
    }

    @Test func `is lost when it does not answer a statement for as long as the session waits`() async throws {
        let session = try await PostgresSession.connect(
            Self.cluster.value.settings, applicationName: "frozen", timeout: .seconds(60),
            longestSilence: Self.limit)
        await whileFrozen(await session.announcedProcessID) {
            await requireLost { _ = try await session.query("SELECT 1") }
        }
        await session.close()
    }

    @Test func `is lost when it does not answer a command, and when it does not begin to stream`() async throws {
        let cluster = try await Self.cluster.value
        for command in ["IDENTIFY_SYSTEM", "START_REPLICATION"] {
            let session = try await ReplicationSession.connect(
                cluster.settings, applicationName: "frozen", timeout: .seconds(60), longestSilence: Self.limit)
            let slot = "frozen_\(UInt32.random(in: .min ... .max))"
            try await session.makeTemporarySlot(slot)
            let identity = try await session.identify()
            await whileFrozen(await session.session.announcedProcessID) {
                await requireLost {
                    guard command == "START_REPLICATION" else {
                        _ = try await session.identify()
                        return
                    }
                    _ = try await session.streamWAL(
                        slot: slot, timeline: identity.timeline, from: identity.flushed,
                        control: WALStreamControl(from: identity.flushed),
                        clock: { Timestamp(microseconds: 0) }, onData: { _, _ in })
                }
            }
            await session.close()
        }
    }

    @Test func `is lost when it streams, and answers no report`() async throws {
        let cluster = try await Self.cluster.value
        let session = try await ReplicationSession.connect(
            cluster.settings, applicationName: "frozen", timeout: .seconds(60), longestSilence: Self.limit)
        let slot = "frozen_\(UInt32.random(in: .min ... .max))"
        try await session.makeTemporarySlot(slot)
        let identity = try await session.identify()
        let process = await session.session.announcedProcessID
        let hasStreamed = Atomic(false)
        defer { kill(process, SIGCONT) }
        await requireLost {
            _ = try await session.streamWAL(
                slot: slot, timeline: identity.timeline, from: identity.flushed,
                control: WALStreamControl(from: identity.flushed), clock: { Timestamp(microseconds: 0) },
                onPause: { _ in
                    if !hasStreamed.exchange(true, ordering: .relaxed) { kill(process, SIGSTOP) }
                }, onData: { _, _ in })
        }
        await session.close()
        let hasBegun = hasStreamed.load(ordering: .relaxed)
        #expect(hasBegun)
    }
}

@Suite struct `The time that a server has to answer` {
    @Test func `is that in which this host ran, not that in which it stood still`() {
        var time = AnswerTime(longest: .seconds(1))
        let looks = [20_000, 50, 50, 100, 100, 100, 100, 100, 100, 100].map { Duration.milliseconds($0) }
        let answers = looks.map { time.isOver(after: $0) }
        #expect(answers == [Bool](repeating: false, count: 9) + [true])
    }
}
