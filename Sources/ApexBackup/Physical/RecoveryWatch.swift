package import BackupModel
import PostgresAccess

/// How a restored server recovered, as it said itself.
package struct RecoveryOutcome: Sendable, Hashable, Codable {
    /// What became of it.
    package enum State: String, Sendable, Hashable, Codable {
        case promoted
        case paused
        case shutDown = "shut-down"
    }

    package var state: State
    /// The end of what was replayed.
    package var replayedLSN: LogSequenceNumber
    /// The time of the last commit or rollback that was replayed; `nil` if none was.
    package var lastTransactionAt: Timestamp?
    /// The timeline that the server writes, or has replayed.
    package var timeline: UInt32
    /// From the start of the server to the end of the replay.
    package var replaySeconds: Double
    /// From there until the server took a write; `nil` if it was not promoted.
    package var promoteSeconds: Double?
    /// What the server answered when it was asked for what keeps it from touching anything else.
    package var isolation: [String]
    /// How its collations compare with the source's; `nil` if that was not asked.
    package var collations: CollationReport?
}

/// The server that a restore has started, and how it recovered.
package struct StartedServer: Sendable, Encodable {
    /// A server that goes on.
    package struct Running: Sendable, Encodable {
        package var pid: Int32
        /// How its owner connects.
        package var url: String
        /// The file with what it says.
        package var log: String
    }

    package var recovery: RecoveryOutcome
    /// `nil` if it was shut down.
    package var server: Running?
    /// What was restored before.
    package var restored: PhysicalRestore.Result

    private enum CodingKeys: String, CodingKey { case recovery, server }

    init(_ server: CloneServer, _ outcome: RecoveryOutcome, after restored: PhysicalRestore.Result) {
        recovery = outcome
        self.restored = restored
        guard outcome.state != .shutDown else { return }
        self.server = Running(
            pid: server.processIdentifier, url: server.settings.redacted, log: server.place.log)
    }
}

/// Watches a server that recovers until it has, and proves that it recovered as planned.
struct RecoveryWatch: Sendable {
    let server: CloneServer
    let overlay: CloneOverlay
    let plan: RecoveryPlan
    let environment: BackupEnvironment

    /// What was replayed, and how long that took.
    struct Replay: Sendable {
        var state: RecoveryState
        var isolation: [String]
        /// From when the server was waited for to the end of the replay.
        var duration: Duration
        /// From there until a server that has no target had promoted itself; zero for one that waits.
        var promotion: Duration
    }

    /// Waits until nothing more is replayed, and proves that this was the end that was planned.
    ///
    /// The server waits then, if its recovery has a target.
    func replay() async throws -> Replay {
        let clocks = environment.clocks
        let start = clocks.monotonic()
        let (session, seen) = try await awaitSession(watchesLog: promotesItself)
        return try await session.closing {
            var redoEnd = seen
            let isolation = try overlay.proof(from: try await session.answers(to: overlay))
            var state = try await self.state(in: session)
            while !state.hasEnded {
                tell(state)
                if redoEnd == nil, promotesItself, await hasLoggedEndOfRedo() { redoEnd = clocks.monotonic() }
                try await environment.clocks.sleep(.milliseconds(50))
                do {
                    state = try await self.state(in: session)
                } catch let error as BackupError where error.code == .serverConnectionLost {
                    try await requireRunning()
                    throw error
                }
            }
            tell(state)
            let end = clocks.monotonic()
            try plan.requireEnd(state.replayed)
            let replayEnd = redoEnd ?? end
            return Replay(
                state: state, isolation: isolation, duration: replayEnd - start, promotion: end - replayEnd)
        }
    }

    /// Whether the server promotes itself as soon as it has replayed everything; another waits at its target.
    private var promotesItself: Bool { plan.target == .latest }

    /// Whether the server, which logs in English, has said that it replays no more; what it does then may take long.
    private func hasLoggedEndOfRedo() async -> Bool { await server.logEnd().contains("redo done at") }

    /// Promotes the server if it waits at its target, and returns once it takes a write.
    func promote() async throws -> Duration {
        let start = environment.clocks.monotonic()
        let session = try await firstSession()
        return try await session.closing {
            if try await session.query("SELECT pg_catalog.pg_is_in_recovery()").firstValue == "t" {
                _ = try await session.query("SELECT pg_catalog.pg_promote(true, 86400)")
            }
            guard try await session.query("SELECT pg_catalog.pg_is_in_recovery()").firstValue == "f" else {
                throw BackupError(
                    .restoreFailed, "The restored server was not promoted within a day.", remedy: "See its log.")
            }
            // A transaction with a number is one that is written.
            _ = try await session.query("SELECT pg_catalog.pg_current_xact_id()")
            return environment.clocks.monotonic() - start
        }
    }

    /// The timeline that the server is on, which a promotion must have changed.
    func timeline(isPromoted: Bool) async throws -> UInt32 {
        let session = try await firstSession()
        return try await session.closing {
            let timeline = try await session.currentPoint().timeline
            guard !isPromoted || timeline > plan.timeline else {
                throw BackupError(
                    .restoreFailed, "The restored server began no timeline of its own.",
                    reason: "it writes timeline \(timeline), which it also recovered", remedy: "Restore again.")
            }
            return timeline
        }
    }

    /// A session as soon as the server takes one.
    private func firstSession() async throws -> PostgresSession {
        try await awaitSession(watchesLog: false).session
    }

    /// A session as soon as the server takes one, and when its replay was seen to have ended, if it was.
    private func awaitSession(watchesLog: Bool) async throws -> (session: PostgresSession, redoEnd: Duration?) {
        var redoEnd: Duration?
        while true {
            if watchesLog, redoEnd == nil, await hasLoggedEndOfRedo() { redoEnd = environment.clocks.monotonic() }
            if let session = try await server.connect() { return (session, redoEnd) }
            try await environment.clocks.sleep(.milliseconds(20))
        }
    }

    private func state(in session: PostgresSession) async throws -> RecoveryState {
        while true {
            do {
                let answer = try await session.query(Self.stateQuery)
                return RecoveryState(
                    isInRecovery: answer.value(0, "in_recovery") == "t", isPaused: answer.value(0, "pause") == "paused",
                    replayed: answer.value(0, "replayed").flatMap { LogSequenceNumber(parsing: $0) },
                    lastTransaction: answer.time(0, "last"))
            } catch let error as BackupError where error.sqlstate == "55000" {
                // Recovery ended between two parts of the statement.
                continue
            }
        }
    }

    private static let stateQuery = """
        SELECT pg_catalog.pg_is_in_recovery() AS in_recovery, pg_catalog.pg_last_wal_replay_lsn() AS replayed,
            CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_get_wal_replay_pause_state() END AS pause,
            \(microseconds(of: "pg_catalog.pg_last_xact_replay_timestamp()")) AS last
        """

    private func tell(_ state: RecoveryState) {
        guard let replayed = state.replayed else { return }
        let (from, to) = (plan.backup.start.position, max(plan.end.mark.lsn.position, plan.backup.start.position))
        environment.events(
            .progress(
                subject: "replayed up to \(replayed)",
                bytes: Int64(clamping: max(replayed.position, from) - from), of: Int64(clamping: to - from)))
    }

    /// Throws why the server has ended, if it has within five seconds of pauses: its process outlives its sessions.
    private func requireRunning() async throws {
        for _ in 0..<250 {
            if server.hasEnded { throw try await server.endError() }
            try await environment.clocks.sleep(.milliseconds(20))
        }
    }
}

extension PostgresSession {
    /// What the server says of each setting of its overlay; one that it does not know is absent.
    func answers(to overlay: CloneOverlay) async throws -> [String: String] {
        var answers: [String: String] = [:]
        for entry in overlay.entries {
            do {
                answers[entry.setting.name] = try await query(CloneOverlay.question(for: entry)).firstValue
            } catch let error as BackupError where error.sqlstate == "42704" {
                continue
            }
        }
        return answers
    }
}
