/// What a writer has begun to store and has not finished, as it was found.
package struct UnfinishedWrite: Sendable, Hashable {
    /// What is known of who writes it.
    package enum Writer: Sendable, Hashable {
        /// It certainly lives.
        case alive
        /// It has certainly ended.
        case gone
        /// It is on another host, or was before this one was started.
        case unknown
    }

    /// The name of what is not an object yet.
    package var key: ObjectKey
    package var size: Int64
    /// When something was written to it last, by the clock of where it is; `nil` if that is not known.
    package var changedAt: Timestamp?
    package var writer: Writer
    /// Whether its source is still writing its content, so that nothing can be had sooner by waiting for it.
    package var isStreamed: Bool

    package init(
        key: ObjectKey, size: Int64, changedAt: Timestamp?, writer: Writer = .unknown, isStreamed: Bool = false
    ) {
        self.key = key
        self.size = size
        self.changedAt = changedAt
        self.writer = writer
        self.isStreamed = isStreamed
    }
}

extension UnfinishedWrite {
    /// How long nothing of an unknown writer may come before what it left is removed.
    private static let patience = Duration.seconds(86_400)
    /// The same of a writer that is gone: it may just have begun.
    private static let patienceWithTheDead = Duration.seconds(60)

    /// Whether it may be removed: nobody goes on writing it.
    package func isAbandoned(at now: Timestamp) -> Bool {
        guard let age = age(at: now) else { return false }
        return switch writer {
        case .alive: false
        case .gone: age >= Self.patienceWithTheDead
        case .unknown: age >= Self.patience
        }
    }

    /// Whether it may still become what is missing beside it: by a writer that may live and has all of its content.
    package func mayComplete(at now: Timestamp) -> Bool { !isStreamed && writer != .gone && !isAbandoned(at: now) }

    /// How long ago something was written to it last; what the clocks of two hosts say of that differs.
    func age(at now: Timestamp) -> Duration? { changedAt.map { now.since($0) } }
}
