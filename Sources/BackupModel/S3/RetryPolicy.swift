/// When what failed is tried again: later each time, by chance, and not for ever.
package struct RetryPolicy: Sendable, Hashable {
    /// How long all attempts together may take.
    package var budget: Duration
    /// The longest wait after the first failure.
    package var firstWait: Duration
    /// The longest wait at all.
    package var longestWait: Duration

    /// The policy of requests to an object store.
    package static let requests = RetryPolicy(
        budget: .seconds(180), firstWait: .milliseconds(200), longestWait: .seconds(20))

    package init(budget: Duration, firstWait: Duration, longestWait: Duration) {
        self.budget = budget
        self.firstWait = firstWait
        self.longestWait = longestWait
    }

    /// How long to wait after the `failure`th failure in a row, counted from 1; `nil` when it is over.
    ///
    /// `elapsed` is the time since the first attempt began, `chance` is drawn from 0…1: many programs that failed
    /// together must not come again together. A store that says when to come again (`retryAfter`) is believed.
    package func wait(
        afterFailure failure: Int, elapsed: Duration, chance: Double, retryAfter: Duration? = nil
    ) -> Duration? {
        let doublings = min(max(failure, 1) - 1, 20)
        let longest = min(longestWait, firstWait * Double(1 << doublings))
        let wait = max(longest * chance, retryAfter ?? .zero)
        return elapsed + wait < budget ? wait : nil
    }
}

/// Why a request has no whole answer.
package enum ConnectionFailure: Error, Sendable, Hashable {
    /// There is no connection: the name is not known, nobody listens, or it takes too long.
    case unreachable(String)
    /// The other side is not who it should be.
    case notTrusted(String)
    /// Nothing came for too long.
    case timedOut
    /// The connection ended in the middle.
    case dropped(String)
    /// This program is to end.
    case cancelled
    /// What was to be sent is no request.
    case invalid(String)

    /// Whether another attempt may go well.
    package var isTransient: Bool {
        switch self {
        case .unreachable, .timedOut, .dropped: true
        case .notTrusted, .cancelled, .invalid: false
        }
    }

    /// The failure as the one error type; `what` says what could not be done.
    package func error(_ what: String) -> BackupError {
        switch self {
        case .unreachable(let reason):
            BackupError(
                .repositoryUnavailable, what, reason: reason,
                remedy: "Check the endpoint, the network and whether the store is well, then run again.")
        case .notTrusted(let reason):
            BackupError(
                .repositoryUnavailable, what, reason: reason,
                remedy: "Name the file of the certificates to trust with 'ca_file' in 'repository' of the policy, and "
                    + "check that the endpoint is the right one.")
        case .timedOut:
            BackupError(
                .repositoryUnavailable, what, reason: "the store did not answer in time",
                remedy: "See whether the store and the network are well, then run again.")
        case .dropped(let reason):
            BackupError(
                .repositoryUnavailable, what, reason: "the connection ended: \(reason)",
                remedy: "See whether the store and the network are well, then run again.")
        case .cancelled:
            BackupError(
                .interrupted, what, reason: "this run was asked to stop", remedy: "Run it again when it suits.")
        case .invalid(let reason):
            BackupError(
                .settings, what, reason: reason,
                remedy: "Correct the address and the endpoint of the repository, or the credentials.")
        }
    }
}
