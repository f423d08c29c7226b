internal import BackupModel
internal import Dispatch

/// The attempts of one request, or of one stream that is continued.
struct S3Attempts {
    private let client: S3Client
    private let budget: Duration
    private var start: Duration
    private var failures = 0
    private var hasCorrectedClock = false
    private var hasRenewedCredentials = false

    /// How long attempts may take when this program is to end.
    private static let budgetWhenCancelled: Duration = .seconds(10)
    /// How long attempts to connect may take to a store that has never answered.
    private static let budgetOfStranger: Duration = .seconds(15)

    /// Attempts that all together take no longer than `budget`, if that is less than is usual.
    init(of client: S3Client, within budget: Duration? = nil) {
        self.client = client
        self.budget = min(client.retries.budget, budget ?? client.retries.budget)
        start = client.environment.monotonic()
    }

    /// Something of a stream arrived: what fails from now on is a new outage.
    mutating func noteProgress() {
        failures = 0
        start = client.environment.monotonic()
    }

    /// Waits after a failure, and returns when the next attempt is due; throws the failure when it is the last.
    mutating func waitAndGoOn(after failure: S3Failure) throws(S3Failure) {
        var budget = budget
        var retryAfter: Duration?
        let elapsed = client.environment.monotonic() - start
        switch failure {
        case .refused(let refusal):
            switch refusal.kind {
            case .transient: retryAfter = refusal.retryAfter
            case .clockSkewed where !hasCorrectedClock && elapsed < budget:
                hasCorrectedClock = true
                client.correctClock()
                return
            case .credentialsExpired where !hasRenewedCredentials && elapsed < budget:
                hasRenewedCredentials = true
                client.renewCredentials()
                return
            default: throw failure
            }
        case .connection(let connection):
            guard connection.isTransient else { throw failure }
            if !client.hasAnswered { budget = min(budget, Self.budgetOfStranger) }
        case .other: throw failure
        }
        if client.environment.isEnding() { budget = min(budget, Self.budgetWhenCancelled) }
        failures += 1
        let policy = RetryPolicy(
            budget: budget, firstWait: client.retries.firstWait, longestWait: client.retries.longestWait)
        guard
            let wait = policy.wait(
                afterFailure: failures, elapsed: elapsed, chance: Double.random(in: 0...1), retryAfter: retryAfter)
        else { throw failure }
        sleep(for: wait)
    }

    /// Sleeps; not long any more when this program is to end.
    private func sleep(for wait: Duration) {
        let never = DispatchSemaphore(value: 0)
        var rest = wait
        while rest > .zero {
            if client.environment.isEnding() { rest = min(rest, .milliseconds(500)) }
            let part = min(rest, .milliseconds(100))
            _ = never.wait(timeout: .now() + .microseconds(Int(part.wholeMicroseconds)))
            rest -= part
        }
    }
}
