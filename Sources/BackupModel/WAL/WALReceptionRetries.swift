/// Who streams over a replication slot, as the server says.
package struct ReplicationSlotHolder: Sendable, Hashable {
    /// The server's process.
    package var process: Int32
    /// When its client last said how far it is, by that one's clock; `nil` if it has not, or the role may not see it.
    package var lastReply: Timestamp?

    package init(process: Int32, lastReply: Timestamp?) {
        self.process = process
        self.lastReply = lastReply
    }
}

/// When a receiver of WAL tries again after a failure, and when it gives up.
package struct WALReceptionRetries: Sendable {
    /// What an attempt came to that has failed.
    package struct Attempt: Sendable {
        package var failure: WALReceptionFailure
        /// How long it lasted.
        package var duration: Duration
        /// What it stored.
        package var segments: Int
        package var pieces: Int
        /// Whether this or an earlier attempt was let stream by the server.
        package var hasStreamed: Bool
        /// The server's `wal_sender_timeout`, after which it misses a stream that was lost; zero for never, `nil` if it is
        /// not known.
        package var senderTimeout: Duration?
        /// Who had the slot when the attempt began.
        package var holder: ReplicationSlotHolder?

        package init(
            _ failure: WALReceptionFailure, duration: Duration, segments: Int = 0, pieces: Int = 0, hasStreamed: Bool,
            senderTimeout: Duration? = nil, holder: ReplicationSlotHolder? = nil
        ) {
            self.failure = failure
            self.duration = duration
            self.segments = segments
            self.pieces = pieces
            self.hasStreamed = hasStreamed
            self.senderTimeout = senderTimeout
            self.holder = holder
        }
    }

    /// How long a stream that was lost may hold the slot at least, this process's or an earlier one's: as long as servers
    /// take to miss it that are not told otherwise, and more.
    package static let patienceWithLostStream = Duration.seconds(150)
    /// The same of a server that never misses one: until the system it runs on does, after two hours and a quarter.
    package static let patienceWithoutTimeout = Duration.seconds(3 * 3600)
    /// After how long a word from whoever has the slot is one of another receiver, which lives, where this process has
    /// streamed nothing yet: the server has heard by then all that a dead one had said.
    package static let patienceWithOthers = Duration.seconds(3)
    /// How long a repository may refuse to be written to: until then somebody may have made it writable again.
    package static let patienceWithRepository = Duration.seconds(3600)
    /// How many attempts in a row may find something damaged: what is stored in its place must stay whole.
    package static let mostDamaged = 5
    private static let shortestPause = Duration.milliseconds(200)
    private static let longestPause = Duration.seconds(15)

    private var pause = shortestPause
    /// The kind of failure that was last, since when there was no other, and how many of it there were.
    private var last: (failure: WALReceptionFailure, since: Duration, count: Int)?
    /// Who has the slot that is taken, and whether it has shown that it lives.
    private var holder: ReplicationSlotHolder?
    private var holderLives = false

    package init() {}

    /// For how long to wait before the next attempt; `nil` if there shall be none.
    ///
    /// `now` is when the attempt ended, on a clock that never steps.
    package mutating func pause(after attempt: Attempt, at now: Duration) -> Duration? {
        if hasWorked(attempt) {
            pause = Self.shortestPause
            last = nil
        }
        var trouble = (failure: attempt.failure, since: now, count: 1)
        if let last, last.failure == attempt.failure { trouble = (last.failure, last.since, last.count + 1) }
        last = trouble
        watchHolder(since: trouble.since, isFirst: trouble.count == 1, at: now, attempt)
        guard isBearable(trouble, at: now, attempt) else { return nil }
        defer { pause = min(pause * 2, Self.longestPause) }
        return pause
    }

    private mutating func watchHolder(since begin: Duration, isFirst: Bool, at now: Duration, _ attempt: Attempt) {
        if isFirst {
            holderLives = false
        } else if attempt.holder != holder, now - begin >= Self.patienceWithOthers {
            holderLives = true
        }
        holder = attempt.holder
    }

    /// Whether an attempt worked for a while: then what failed begins to fail anew.
    private func hasWorked(_ attempt: Attempt) -> Bool {
        switch attempt.failure {
        // Nothing was streamed, and what came filled a hole.
        case .slotTaken: return false
        case _ where attempt.segments > 0: return true
        // Pieces are what may be damaged.
        case .damaged: return false
        // While a server is at rest nothing is refused.
        case .forbidden: return attempt.pieces > 0
        case .passing, .walRemoved, .lasting:
            return attempt.pieces > 0 || attempt.duration > Self.longestPause * 2
        }
    }

    private func isBearable(
        _ trouble: (failure: WALReceptionFailure, since: Duration, count: Int), at now: Duration, _ attempt: Attempt
    ) -> Bool {
        switch trouble.failure {
        case .passing, .walRemoved: true
        // A process that has streamed may have lost the slot to its own stream, whose last word comes late.
        case .slotTaken:
            (attempt.hasStreamed || !holderLives) && now - trouble.since < Self.patienceWithSlot(attempt)
        case .forbidden: now - trouble.since < Self.patienceWithRepository
        case .damaged: trouble.count < Self.mostDamaged
        case .lasting: false
        }
    }

    private static func patienceWithSlot(_ attempt: Attempt) -> Duration {
        guard let timeout = attempt.senderTimeout else { return patienceWithLostStream }
        return timeout > .zero ? max(patienceWithLostStream, timeout * 2) : patienceWithoutTimeout
    }
}
