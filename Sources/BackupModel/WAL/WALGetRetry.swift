/// Decides whether `wal get` tries again after an error.
///
/// PostgreSQL takes "not known" for the end of a recovery, so that a repository which does not answer for a moment is
/// asked again. What is absent, damaged, or another cluster's stays so.
package enum WALGetRetry {
    /// How often it is tried at most.
    static let attempts = 3
    /// How long after the first failure another attempt may begin.
    static let limit = Duration.seconds(5)

    /// How long to wait before the next attempt, when `failures` have failed, the first of them `elapsed` ago and the
    /// last one with `code`; `nil` to give up.
    package static func pause(after failures: Int, with code: ErrorCode, elapsed: Duration) -> Duration? {
        guard mayPass(code), failures < attempts else { return nil }
        let pause = Duration.seconds(failures)
        return elapsed + pause <= limit ? pause : nil
    }

    private static func mayPass(_ code: ErrorCode) -> Bool {
        switch code {
        case .repositoryUnavailable, .repositoryMissing, .storageFailed: true
        default: false
        }
    }
}
