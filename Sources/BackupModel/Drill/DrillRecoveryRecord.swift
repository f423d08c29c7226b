extension DrillReport {
    /// How the WAL behind a physical backup was replayed.
    package struct RecoveryRecord: Sendable, Hashable, Codable {
        /// What recovery was to end at, as `restore --to` takes it.
        package var target: String
        /// What the random choice of the target began with; absent if it was not chosen so.
        package var seed: UInt32?
        /// The moments between which it was chosen.
        package var windowStart: Timestamp?
        package var windowEnd: Timestamp?
        /// Where the plan ended, in words.
        package var plannedEnd: String
        package var segments: Int
        package var firstSegment: String
        package var lastSegment: String
        /// The end of what was replayed; absent, like what follows, if the replay did not end.
        package var replayedLSN: LogSequenceNumber?
        /// The time of the last commit or rollback that was replayed.
        package var lastTransactionAt: Timestamp?
        /// The timeline that the promoted server writes.
        package var timeline: UInt32?
        /// The last transaction before the target, and the first one behind it, of those with a number.
        package var before: TransactionRecord?
        package var behind: TransactionRecord?
        /// How the collations of the restored server compare with the source's; absent if that was not asked.
        package var collations: CollationReport?
        /// Why the source did not say at the declared failure where it had written to; absent if it did, or was not asked.
        package var sourceSilence: String?

        private enum CodingKeys: String, CodingKey {
            case target, seed
            case windowStart = "window_start"
            case windowEnd = "window_end"
            case plannedEnd = "planned_end"
            case segments
            case firstSegment = "first_segment"
            case lastSegment = "last_segment"
            case replayedLSN = "replayed_lsn"
            case lastTransactionAt = "last_transaction_at"
            case timeline, before, behind, collations
            case sourceSilence = "source_silence"
        }

        package init(
            target: String, plannedEnd: String, segments: Int, firstSegment: String, lastSegment: String
        ) {
            self.target = target
            self.plannedEnd = plannedEnd
            self.segments = segments
            self.firstSegment = firstSegment
            self.lastSegment = lastSegment
        }
    }

    /// A transaction of the WAL, and what the restored server says of it.
    package struct TransactionRecord: Sendable, Hashable, Codable {
        package var xid: UInt32
        /// Where the record of its commit begins.
        package var lsn: LogSequenceNumber
        /// When it was committed, by the source's clock.
        package var committedAt: Timestamp
        /// `pg_xact_status`: `committed`, `aborted`, `in progress`; absent if the server knows nothing of it.
        package var status: String?

        private enum CodingKeys: String, CodingKey {
            case xid, lsn
            case committedAt = "committed_at"
            case status
        }

        package init(xid: UInt32, lsn: LogSequenceNumber, committedAt: Timestamp, status: String?) {
            self.xid = xid
            self.lsn = lsn
            self.committedAt = committedAt
            self.status = status
        }
    }
}

extension DrillReport.RecoveryRecord {
    package var markdown: String {
        var rows = [
            ["Target", escapedForMarkdown(target)], ["Planned end", escapedForMarkdown(plannedEnd)],
            ["WAL", "\(segments) segments, `\(firstSegment)` to `\(lastSegment)`"],
        ]
        if let seed, let windowStart, let windowEnd {
            rows.insert(
                ["Chosen", "by chance, seed \(seed), from \(windowStart.readable) to \(windowEnd.readable)"], at: 1)
        }
        rows += replayedLSN.map { [["Replayed up to", "`\($0)`"]] } ?? []
        rows += lastTransactionAt.map { [["Last transaction", $0.readable]] } ?? []
        rows += timeline.map { [["Promoted to", "timeline \($0)"]] } ?? []
        rows += [("Last commit before the end", before), ("First commit behind it", behind)].compactMap {
            name, transaction in transaction.map { [name, $0.text] }
        }
        rows += sourceSilence.map { [["Source at the failure", escapedForMarkdown("not known: \($0)")]] } ?? []
        rows += collations.map { [["Collations", escapedForMarkdown($0.text)]] } ?? []
        return "## Recovery\n\n" + markdownTable(["What", "Value"], rows)
    }
}

extension DrillReport.TransactionRecord {
    /// The transaction in words.
    package var text: String { "transaction \(xid) of \(committedAt.readable), at \(lsn): \(status ?? "not known")" }
}
