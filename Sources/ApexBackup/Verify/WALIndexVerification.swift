package import BackupModel
import BackupStorage

/// Compares the roll-ups of the WAL with the segments of which they tell.
///
/// A roll-up that is damaged costs time and no data: what reads it takes the segments instead. A segment that a roll-up
/// tells of and that is gone is a hole.
package struct WALIndexVerification: Sendable {
    /// What was found of one incarnation of the cluster.
    package struct Report: Sendable, Encodable {
        package var systemIdentifier: String
        package var level: BackupVerification.Level
        package var problems: [BackupError] = []
        /// The log folders that have a roll-up.
        package var logs: Int
        /// The roll-ups over roll-ups.
        package var spans: Int
        package var seconds = 0.0
        package var succeeded: Bool { problems.isEmpty }
    }

    let repository: Repository
    /// How much is compared.
    ///
    /// With `list`, that every segment is there of which a roll-up tells; with `checksum` also the digests of the roll-ups
    /// and the sizes of the segments; with `deep` also what the segments' trailers say.
    let level: BackupVerification.Level

    /// A report for each incarnation that has a physical backup among `entries`, and roll-ups.
    func run(_ entries: [CatalogueEntry]) throws(BackupError) -> [Report] {
        var reports: [Report] = []
        for system in Set(entries.compactMap { $0.manifest?.systemIdentifier }).sorted() {
            guard let size = entries.walSegmentSize(of: system) else { continue }
            let start = repository.environment.clocks.monotonic()
            let rollUps = try WALRollUps(WALArchive(repository, systemIdentifier: system), size: size)
            guard !rollUps.logs.isEmpty || !rollUps.spans.isEmpty else { continue }
            var report = Report(
                systemIdentifier: system, level: level, logs: rollUps.logs.count, spans: rollUps.spans.count)
            try check(rollUps, &report)
            report.seconds = (repository.environment.clocks.monotonic() - start).seconds
            reports.append(report)
        }
        return reports
    }

    private func check(_ rollUps: WALRollUps, _ report: inout Report) throws(BackupError) {
        var digests: [WALLogName: SHA256Digest] = [:]
        for log in rollUps.logs.sorted() {
            try Task.checkNotCancelled()
            let stored = try rollUps.archive.stored(in: log, size: rollUps.size)
            report.problems += missing(from: stored, log, rollUps.size)
            guard level != .list else { continue }
            try note(&report) { () throws(BackupError) in
                let found = try rollUps.load(log)
                digests[log] = found.contentSHA256
                if stored.isWhole(rollUps.size) { try compare(found.rollUp, log, with: stored, rollUps) }
            }
        }
        for span in rollUps.spans where level != .list {
            try Task.checkNotCancelled()
            try note(&report) { () throws(BackupError) in
                for (log, entry) in try rollUps.load(span).sorted(by: { $0.key < $1.key }) {
                    // A folder has none any more when WAL of it was removed.
                    guard let digest = digests[WALLogName(timeline: span.timeline, log: log)],
                        digest != entry.contentSHA256
                    else { continue }
                    throw Self.differs(
                        rollUps.archive.layout.span(span), "it tells of another roll-up of log \(log.eightHexDigits)")
                }
            }
        }
    }

    private func missing(from stored: StoredLog, _ log: WALLogName, _ size: WALSegmentSize) -> [BackupError] {
        guard !stored.isWhole(size), let range = log.segments(size) else { return [] }
        let names = range.names.filter { stored.segments[$0.number] == nil }
        guard let first = names.first else { return [] }
        return [
            BackupError(
                .walMissing,
                names.count == 1
                    ? "WAL segment \(first) is missing from the repository."
                    : "\(names.count) WAL segments of the log folder \(log) are missing from the repository, the first "
                        + "is \(first).",
                reason: "the roll-up of their folder says that they were stored",
                remedy: "Put them back from a copy of the repository. Without them, no moment behind the first is "
                    + "reached from a backup before it.")
        ]
    }

    private func compare(
        _ rollUp: WALLogRollUp, _ log: WALLogName, with stored: StoredLog, _ rollUps: WALRollUps
    ) throws(BackupError) {
        for name in log.segments(rollUps.size)?.names.map(\.self) ?? [] {
            guard let object = stored.segments[name.number], let indexed = rollUp.segment(name),
                object.size != indexed.storedBytes, try !rollUps.archive.holds(object, indexed)
            else { continue }
            throw BackupError(
                .objectDamaged,
                "WAL segment \(name) has \(object.size) bytes in the repository instead of \(indexed.storedBytes).",
                reason: "it has not the content that its roll-up tells of",
                remedy: "Put it back from a copy of the repository.")
        }
        guard level == .deep else { return }
        var segments = try rollUps.archive.indexed(stored, of: log, rollUps.size)
        // How well it is compressed says nothing.
        for index in segments.indices {
            guard let name = WALSegmentName(parsing: segments[index].name, segmentSize: rollUps.size),
                let indexed = rollUp.segment(name)
            else { continue }
            segments[index].storedBytes = indexed.storedBytes
        }
        guard WALLogRollUp(log, rollUps.size, segments) != rollUp else { return }
        throw Self.differs(rollUps.archive.layout.rollUp(of: log), "it does not say what the segments say")
    }

    private static func differs(_ key: ObjectKey, _ reason: String) -> BackupError {
        BackupError(
            .objectDamaged, "The roll-up '\(key)' is wrong.", reason: reason,
            remedy: "Remove it, and run 'apex-backup wal index'.")
    }

    private func note(
        _ report: inout Report, _ step: () throws(BackupError) -> Void
    ) throws(BackupError) {
        do throws(BackupError) { try step() } catch {
            guard BackupVerification.isProblem(error.code) else { throw error }
            report.problems.append(error)
        }
    }
}
