/// What `pg_stat_archiver` says of a server's archiver.
package struct ArchiverStatus: Sendable, Hashable {
    package var lastArchived: String?
    package var lastArchivedAt: Timestamp?
    package var lastFailed: String?
    package var lastFailedAt: Timestamp?
    package var failures: Int64

    package init(
        lastArchived: String? = nil, lastArchivedAt: Timestamp? = nil, lastFailed: String? = nil,
        lastFailedAt: Timestamp? = nil, failures: Int64 = 0
    ) {
        self.lastArchived = lastArchived
        self.lastArchivedAt = lastArchivedAt
        self.lastFailed = lastFailed
        self.lastFailedAt = lastFailedAt
        self.failures = failures
    }

    /// Whether it has failed since it last succeeded.
    package var isFailing: Bool {
        guard let lastFailedAt else { return false }
        return lastArchivedAt.map { $0 < lastFailedAt } ?? true
    }

    /// The same in words, of a server whose `archive_mode` is `mode`.
    package func words(archiveMode mode: String) -> String {
        guard mode != "off" else { return "archive_mode is off: the server archives nothing" }
        func text(_ time: Timestamp?) -> String { time?.readable ?? "an unknown time" }
        let done = lastArchived.map { "\($0) was archived last, at \(text(lastArchivedAt))" }
        guard isFailing, let lastFailed else { return done ?? "the server's archiver has archived nothing yet" }
        return "archive_command failed for \(lastFailed), at \(text(lastFailedAt)) for the last time; "
            + (done ?? "nothing was archived yet")
    }
}
