package import BackupModel
import BackupStorage

/// Makes the roll-ups of the WAL that are missing: one for each log folder that is whole, and over those others.
///
/// A folder that lacks a segment has none, as that may still be archived. What is made says nothing that the segments do
/// not say, and is put if absent: it may be killed, repeated, and run by several at once.
package struct WALIndexing: Sendable {
    /// What was made for one incarnation of the cluster.
    package struct Result: Sendable, Hashable, Encodable {
        package var systemIdentifier: String
        /// Log folders that got a roll-up now.
        package var logs = 0
        /// The segments in them.
        package var segments: UInt64 = 0
        /// Roll-ups over roll-ups that were made.
        package var spans = 0
    }

    /// zstd's level for roll-ups.
    static let level = 3
    /// How many folders what follows another operation rolls up: so that a first backup does not wait for years of WAL.
    static let fewLogs = 16

    let repository: Repository

    package init(repository: Repository) { self.repository = repository }

    /// Makes what is missing, of at most `limit` log folders of each incarnation that has a physical backup.
    package func run(limit: Int = .max) throws(BackupError) -> [Result] {
        try repository.requireRegistration()
        let entries = try Catalogue(repository).entries()
        var results: [Result] = []
        for incarnation in try repository.incarnations() {
            guard let size = entries.walSegmentSize(of: incarnation.systemIdentifier) else { continue }
            let archive = try WALArchive(repository, systemIdentifier: incarnation.systemIdentifier)
            results.append(try run(archive, incarnation.systemIdentifier, size, limit))
        }
        return results
    }

    /// Makes a little of what is missing after another operation, of which it is no part: a failure is a warning.
    func runAfterwards() {
        do throws(BackupError) {
            _ = try run(limit: Self.fewLogs)
        } catch {
            guard error.code != .interrupted else { return }
            repository.environment.warn(
                "The index of the WAL was not brought up to date: \(error.message) 'apex-backup wal index' tries again."
            )
        }
    }

    private func run(
        _ archive: WALArchive, _ system: String, _ size: WALSegmentSize, _ limit: Int
    ) throws(BackupError) -> Result {
        var result = Result(systemIdentifier: system)
        var rollUps = try WALRollUps(archive, size: size)
        for log in try archive.logs() where !rollUps.logs.contains(log) {
            try Task.checkNotCancelled()
            let stored = try archive.stored(in: log, size: size)
            guard stored.isWhole(size), try rollUp(log, stored, archive, size) else { continue }
            result.logs += 1
            result.segments += size.segmentsPerLog
            if result.logs >= limit { break }
        }
        if result.logs > 0 { rollUps = try WALRollUps(archive, size: size) }
        for span in rollUps.missingSpans {
            try Task.checkNotCancelled()
            if try make(span, rollUps) { result.spans += 1 }
        }
        return result
    }

    /// Rolls up a folder; returns whether it has a roll-up now.
    private func rollUp(
        _ log: WALLogName, _ stored: StoredLog, _ archive: WALArchive, _ size: WALSegmentSize
    ) throws(BackupError) -> Bool {
        let segments: [WALLogSegment]
        do throws(BackupError) {
            segments = try archive.indexed(stored, of: log, size)
        } catch {
            guard error.code.isDamage else { throw error }
            repository.environment.warn("The log folder \(log) gets no roll-up: \(error.message)")
            return false
        }
        guard let rollUp = WALLogRollUp(log, size, segments) else { return false }
        let content = try Self.content(of: rollUp)
        guard content.count <= WALRollUps.largestContent else { return false }
        let key = archive.layout.rollUp(of: log)
        guard try repository.putRollUp(content, at: key) == .stored else { return true }
        // What removes WAL removes the roll-up before and after; it may have looked for this one too early.
        if try archive.stored(in: log, size: size).isWhole(size) { return true }
        try repository.storage.remove(key)
        return false
    }

    private func make(_ span: WALLogSpan, _ rollUps: WALRollUps) throws(BackupError) -> Bool {
        var lines: [UInt8] = []
        for log in span.logs {
            let log = WALLogName(timeline: span.timeline, log: log)
            // One that cannot be read was warned of.
            guard let entry = try rollUps.entry(of: log) else { return false }
            lines += try RepositoryJSON.encodePlain(entry, pretty: false) + [UInt8(ascii: "\n")]
        }
        return try repository.putRollUp(lines, at: rollUps.archive.layout.span(span)) == .stored
    }

    /// The content of a folder's roll-up: its summary, and a line for each segment.
    static func content(of rollUp: WALLogRollUp) throws(BackupError) -> [UInt8] {
        var lines = try RepositoryJSON.encodePlain(rollUp.summary, pretty: false) + [UInt8(ascii: "\n")]
        for segment in rollUp.segments {
            lines += try RepositoryJSON.encodePlain(segment, pretty: false) + [UInt8(ascii: "\n")]
        }
        return lines
    }
}

extension WALRollUps {
    /// The spans that are to be made.
    fileprivate var missingSpans: [WALLogSpan] {
        Dictionary(grouping: logs, by: \.timeline).sorted { $0.key < $1.key }.flatMap { timeline, logs in
            WALLogSpan.missing(
                of: timeline, rolledUp: logs.map(\.log), stored: spans.filter { $0.timeline == timeline })
        }
    }

    /// The roll-ups over roll-ups that are of no use any more.
    var superfluousSpans: [WALLogSpan] {
        Dictionary(grouping: spans, by: \.timeline).flatMap { timeline, spans in
            WALLogSpan.superfluous(
                of: spans, rolledUp: Set(logs.filter { $0.timeline == timeline }.map(\.log)))
        }
    }
}

extension WALArchive {
    /// What the trailers of a folder's segments say, in order.
    func indexed(
        _ stored: StoredLog, of log: WALLogName, _ size: WALSegmentSize
    ) throws(BackupError) -> [WALLogSegment] {
        var segments: [WALLogSegment] = []
        for (number, object) in stored.segments.sorted(by: { $0.key < $1.key }) {
            try Task.checkNotCancelled()
            let name = WALSegmentName(timeline: log.timeline, number: number, segmentSize: size)
            let record = try record(of: object, named: name?.description ?? "")
            guard let summary = record.summary else {
                throw ObjectTrailer.damaged(object.key, "its trailer has no summary of a segment")
            }
            segments.append(
                WALLogSegment(
                    name: record.name, storedBytes: object.size, contentSHA256: record.contentSHA256, summary: summary))
        }
        return segments
    }
}

extension Repository {
    /// Publishes a roll-up unless there is one.
    func putRollUp(_ content: [UInt8], at key: ObjectKey) throws(BackupError) -> PutOutcome {
        let object = ProvedObjectWriter(try storage.makeWriter(key))
        defer { object.discard() }
        let compressor = try makeCompressor(.zstd(level: WALIndexing.level), into: UnfinishedSink(object))
        do throws(BackupError) {
            try compressor.write(content.span)
            try compressor.finish()
            try object.finish()
            return .stored
        } catch {
            guard error.code == .objectExists else { throw error }
            return .present
        }
    }
}
