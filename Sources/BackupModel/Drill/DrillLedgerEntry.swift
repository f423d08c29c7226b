/// One line of the ledger of drills: an object put once, tied to the entry before it by that entry's digest.
package struct DrillLedgerEntry: Sendable, Hashable, Codable {
    /// 1 for the first drill.
    package var number: Int
    /// The drill's run.
    package var id: RunID
    /// The policy's name.
    package var policy: String
    /// The verdict.
    package var verdict: Verdict
    /// When the report was finished.
    package var at: Timestamp
    /// SHA-256 of the JSON report.
    package var reportSHA256: String
    /// SHA-256 of the entry before; `nil` for the first.
    package var previous: String?

    private enum CodingKeys: String, CodingKey {
        case number, id, policy, verdict, at
        case reportSHA256 = "report_sha256"
        case previous
    }

    /// The entry after `previous`, whose stored bytes have the digest `digest`; `nil` for the first.
    package init(of report: DrillReport, sha256: String, after previous: (entry: DrillLedgerEntry, digest: String)?) {
        number = (previous?.entry.number ?? 0) + 1
        id = report.id
        policy = report.policy.name
        verdict = report.verdict
        at = report.clock.finishedAt
        reportSHA256 = sha256
        self.previous = previous?.digest
    }
}
