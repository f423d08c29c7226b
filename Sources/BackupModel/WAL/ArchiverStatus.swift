/// What `pg_stat_archiver` says of a server's archiver.
package struct ArchiverStatus: Sendable, Hashable {
    /// The setting `archive_mode`.
    package var mode: String
    package var lastArchived: String?
    package var archivedAt: String?
    package var lastFailed: String?
    package var failedAt: String?
    /// Whether it has failed since it last succeeded.
    package var isFailing: Bool

    package init(
        mode: String, lastArchived: String?, archivedAt: String?, lastFailed: String?, failedAt: String?,
        isFailing: Bool
    ) {
        self.mode = mode
        self.lastArchived = lastArchived
        self.archivedAt = archivedAt
        self.lastFailed = lastFailed
        self.failedAt = failedAt
        self.isFailing = isFailing
    }
}

extension ArchiverStatus: CustomStringConvertible {
    package var description: String {
        guard mode != "off" else { return "archive_mode is off: the server archives nothing" }
        let done = lastArchived.map { "\($0) was archived last, at \(archivedAt ?? "an unknown time")" }
        guard isFailing, let lastFailed else { return done ?? "the server's archiver has archived nothing yet" }
        return "archive_command failed for \(lastFailed), at \(failedAt ?? "an unknown time") for the last time; "
            + (done ?? "nothing was archived yet")
    }
}
