package import BackupModel
import BackupStorage
package import PostgresAccess
import Synchronization

/// Receives the WAL of a server over a replication slot as it is written, and stores it.
package struct WALReception: Sendable {
    /// What is asked of it.
    package struct Request: Sendable {
        /// The slot, which is also the receiver's `application_name`.
        package var slot: ReplicationSlotName
        /// For how long WAL may be in memory only.
        package var interval: Duration
        /// How often a heartbeat is written; zero for never.
        package var heartbeat: Duration
        /// Whether WAL is stored as soon as it comes, whether or not the server is known to wait for it.
        package var isSynchronous: Bool

        package init(slot: ReplicationSlotName, interval: Duration, heartbeat: Duration, isSynchronous: Bool) {
            self.slot = slot
            self.interval = interval
            self.heartbeat = heartbeat
            self.isSynchronous = isSynchronous
        }
    }

    /// What was received until it was asked to stop.
    package struct Result: Sendable, Hashable, Codable {
        package var slot: String
        package var systemIdentifier: String?
        /// The timeline of the end.
        package var timeline: UInt32?
        /// Up to where everything is stored.
        package var storedEnd: LogSequenceNumber?
        package var bytes: Int64 = 0
        package var segments = 0
        package var pieces = 0
        package var connections = 0
        package var gaps: [WALGapRecord] = []
    }

    let repository: Repository
    let connection: ConnectionSettings
    let request: Request

    package init(repository: Repository, connection: ConnectionSettings, request: Request) {
        self.repository = repository
        self.connection = connection
        self.request = request
    }

    private var clocks: Clocks { repository.environment.clocks }

    /// Receives until the task is cancelled; what has come by then is stored.
    ///
    /// It goes on exactly where what is stored ends, and tries again, less and less often, when the connection, the server
    /// or the repository fails.
    ///
    /// - Throws: what does not pass by itself: ``ErrorCode/wrongCluster``, ``ErrorCode/walConflict``, what the server
    ///   refuses, a slot that another receiver uses.
    package func run() async throws -> Result {
        try repository.requireRegistration()
        let log = WALReceptionLog(slot: request.slot)
        var pause = Self.shortestPause
        var failingSince: Duration?
        while true {
            let before = log.result.segments + log.result.pieces
            let began = clocks.monotonic()
            let failure: BackupError
            do {
                try await WALReceptionStream(self, log).run()
                return log.result
            } catch {
                failure = RunLog.describe(error)
                // Whoever asks to stop is not told of what that broke, but of what is not stored.
                if Task.isCancelled, log.isAllStored { return log.result }
            }
            // What worked for a while, or stored something, begins to fail anew.
            if log.result.segments + log.result.pieces > before || clocks.monotonic() - began > Self.longestPause * 2 {
                pause = Self.shortestPause
                failingSince = nil
            }
            let since = failingSince ?? clocks.monotonic()
            failingSince = since
            try requirePassing(failure, hasStreamed: log.hasStreamed, for: clocks.monotonic() - since)
            repository.environment.warn(
                "\(failure.message)\(failure.reason.map { " (\($0))" } ?? "") Trying again in "
                    + "\(DurationText.format(pause)).")
            do { try await clocks.sleep(pause) } catch {
                guard log.isAllStored else { throw failure }
                return log.result
            }
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private static let shortestPause = Duration.milliseconds(200)
    private static let longestPause = Duration.seconds(15)
    /// How long a stream of our own that was lost may hold the slot: the server's `wal_sender_timeout`, and more.
    private static let patienceAfterStream = Duration.seconds(150)
    private static let patienceAtStart = Duration.seconds(3)

    /// Throws what does not pass by itself.
    private func requirePassing(_ error: BackupError, hasStreamed: Bool, for time: Duration) throws(BackupError) {
        switch WALReceptionFailure(error.code, sqlstate: error.sqlstate, hasStreamed: hasStreamed) {
        case .passing, .walRemoved: return
        case .slotTaken:
            guard time >= (hasStreamed ? Self.patienceAfterStream : Self.patienceAtStart) else { return }
            throw Self.slotTaken(request.slot, error).leaving("What was received before is stored.")
        case .lasting: throw error.leaving("What was received before is stored.")
        }
    }

    static func slotTaken(_ slot: ReplicationSlotName, _ error: BackupError) -> BackupError {
        BackupError(
            .serverRefused, "The replication slot '\(slot)' is in use.", reason: error.reason,
            remedy:
                "Another receiver streams over it: pg_stat_replication on the server shows from where. End that one, "
                + "or give this one a slot of its own with --slot.")
    }

    /// Drops the slot; returns `false` if there is none.
    package func dropSlot() async throws -> Bool {
        try await PostgresSession.with(
            connection, applicationName: "apex-backup wal receive", timeout: DumpSource.connectTimeout
        ) { session in try await session.dropSlot(request.slot) }
    }
}

/// Adds up what was received, over all connections.
final class WALReceptionLog: Sendable {
    private struct State {
        var result: WALReception.Result
        var isAllStored = true
        var hasStreamed = false
        var isSynchronous = false
    }

    private let state: Mutex<State>

    init(slot: ReplicationSlotName) {
        state = Mutex(State(result: WALReception.Result(slot: slot.description)))
    }

    var result: WALReception.Result { state.withLock(\.result) }

    /// Whether what has come is stored.
    var isAllStored: Bool { state.withLock(\.isAllStored) }

    /// Whether a server has let this process stream.
    var hasStreamed: Bool {
        get { state.withLock(\.hasStreamed) }
        set { state.withLock { $0.hasStreamed = newValue } }
    }

    /// Whether the server waits for this receiver when it commits.
    var isSynchronous: Bool {
        get { state.withLock(\.isSynchronous) }
        set { state.withLock { $0.isSynchronous = newValue } }
    }

    func begin(_ start: WALReceptionStart, of systemIdentifier: String) {
        state.withLock {
            $0.result.systemIdentifier = systemIdentifier
            $0.result.connections += 1
            $0.result.timeline = start.timeline
            $0.result.storedEnd = start.position
        }
    }

    func add(_ counts: ReceivedWAL.Counts, timeline: UInt32, storedEnd: LogSequenceNumber, isAll: Bool) {
        state.withLock {
            $0.isAllStored = isAll
            $0.result.bytes += counts.bytes
            $0.result.segments += counts.segments
            $0.result.pieces += counts.pieces
            $0.result.timeline = timeline
            $0.result.storedEnd = storedEnd
        }
    }

    func add(_ gap: WALGapRecord) { state.withLock { $0.result.gaps.append(gap) } }
}
