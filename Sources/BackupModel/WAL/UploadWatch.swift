/// Watches what is being stored beside a file of WAL that is not there, and tells what that means for who asks for it.
///
/// What a writer that died has left looks like what a slow one is writing. So it is told apart by what is certain, that
/// its process is gone, or else by time: nothing of it has come for long.
package struct UploadWatch: Sendable {
    package enum Finding: Sendable, Hashable {
        /// Nobody stores anything there.
        case nothing
        /// Somebody does, or may.
        case underWay
        /// The same, and it has taken longer than it is waited for.
        case takesTooLong
    }

    /// How long something is looked at, at least, before it is believed that nobody writes it.
    static let settling = Duration.seconds(5)
    /// For how long nothing may have come of an unknown writer that may still be alive.
    static let longestPause = Duration.seconds(300)
    /// What was not touched for so long is not even looked at twice: clocks differ by hours where one has the wrong time
    /// zone, but not by a day.
    static let certainAge = Duration.seconds(86_400)

    private struct Seen {
        var write: UnfinishedWrite
        /// Since when it has been as it is.
        var since: Duration
    }

    private let limit: Duration
    private let begin: Duration
    private var seen: [ObjectKey: Seen] = [:]

    /// Begins at `time`, of a clock that never steps, to wait for at most `limit`.
    package init(limit: Duration, at time: Duration) {
        self.limit = limit
        begin = time
    }

    /// Takes what is being stored at `time`, which is `now` by the clock.
    package mutating func look(at writes: [UnfinishedWrite], time: Duration, now: Timestamp) -> Finding {
        var next: [ObjectKey: Seen] = [:]
        for write in writes where !write.isStreamed {
            let known = seen[write.key]
            next[write.key] = known?.write == write ? known : Seen(write: write, since: time)
        }
        seen = next
        if seen.values.allSatisfy({ Self.isDead($0.write, quiet: time - $0.since, now: now) }) { return .nothing }
        return time - begin < limit ? .underWay : .takesTooLong
    }

    private static func isDead(_ write: UnfinishedWrite, quiet: Duration, now: Timestamp) -> Bool {
        if write.writer == .alive { return false }
        let age = write.age(at: now) ?? .zero
        if age >= certainAge { return true }
        guard quiet >= settling else { return false }
        return write.writer == .gone || max(age, quiet) >= longestPause
    }
}
