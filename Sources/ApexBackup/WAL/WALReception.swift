package import BackupModel
import BackupStorage
package import PostgresAccess

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
        /// For how long the server may owe an answer, or news of its stream, before it is taken for lost.
        package var longestSilence = PostgresSession.longestSilence

        package init(slot: ReplicationSlotName, interval: Duration, heartbeat: Duration, isSynchronous: Bool) {
            self.slot = slot
            self.interval = interval
            self.heartbeat = heartbeat
            self.isSynchronous = isSynchronous
        }

        /// What has not come about while the server could not be asked beside its stream.
        func omission(ofStandby isStandby: Bool) -> String {
            heartbeat > .zero && !isStandby
                ? "no heartbeat was written" : "whether commits wait for this receiver was not asked"
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

    /// Opens the repository: anew for each attempt, as its file system may be another one by then.
    let open: @Sendable () throws(BackupError) -> Repository
    let connection: ConnectionSettings
    let request: Request

    package init(
        connection: ConnectionSettings, request: Request, open: @escaping @Sendable () throws(BackupError) -> Repository
    ) {
        self.open = open
        self.connection = connection
        self.request = request
    }

    /// Receives until the task is cancelled; what has come by then is stored.
    ///
    /// It goes on exactly where what is stored ends, and tries again, less and less often, when the connection, the server
    /// or the repository fails (``WALReceptionRetries``).
    ///
    /// - Throws: what does not pass by itself: ``ErrorCode/wrongCluster``, ``ErrorCode/walConflict``, what the server
    ///   refuses, a slot that another receiver uses, another repository in the place of the first.
    package func run() async throws -> Result {
        let first = try open()
        try first.requireRegistration()
        let clocks = first.environment.clocks
        let log = WALReceptionLog(slot: request.slot)
        var retries = WALReceptionRetries()
        while true {
            let before = log.result
            let began = clocks.monotonic()
            let failure: BackupError
            do {
                try await WALReceptionStream(self, try reopen(first), log).run()
            } catch let other as OtherRepository {
                throw other.error
            } catch {
                failure = RunLog.describe(error)
                // Whoever asks to stop is not told of what that broke, but of what is not stored.
                if Task.isCancelled, log.isAllStored { return log.result }
            }
            let now = clocks.monotonic()
            let result = log.result
            let attempt = WALReceptionRetries.Attempt(
                WALReceptionFailure(
                    failure.code, sqlstate: failure.sqlstate, hasStreamed: log.hasStreamed,
                    hasStored: result.segments + result.pieces > 0),
                duration: now - began, segments: result.segments - before.segments,
                pieces: result.pieces - before.pieces, hasStreamed: log.hasStreamed,
                senderTimeout: log.senderTimeout, holder: log.slotHolder)
            guard let pause = retries.pause(after: attempt, at: now) else {
                let last = attempt.failure == .slotTaken ? Self.slotTaken(request.slot, failure) : failure
                throw last.leaving("What was received before is stored.")
            }
            first.environment.warn(
                "\(failure.message)\(failure.reason.map { " (\($0))" } ?? "") Trying again in "
                    + "\(DurationText.format(pause)).")
            do { try await clocks.sleep(pause) } catch {
                guard log.isAllStored else { throw failure }
                return log.result
            }
        }
    }

    /// Opens the repository, which must be the one of before.
    private func reopen(_ first: Repository) throws -> Repository {
        let repository = try open()
        guard repository.marker.id == first.marker.id else {
            throw OtherRepository(
                error: BackupError(
                    .repositoryMissing, "At '\(first.storage.location)' is another repository than before.",
                    reason: "its id is \(repository.marker.id), and WAL was received into \(first.marker.id)",
                    remedy: "Check what is mounted there. To go on in the other one, start the receiver again.",
                    unchanged: "Nothing was stored in it. What was received before is in the first one."))
        }
        return repository
    }

    /// Found where the repository was: no matter of waiting.
    private struct OtherRepository: Error {
        var error: BackupError
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
            connection, applicationName: "apex-backup wal receive", timeout: DumpSource.connectTimeout,
            longestSilence: request.longestSilence
        ) { session in try await session.dropSlot(request.slot) }
    }
}
