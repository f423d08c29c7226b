import BackupModel
import BackupStorage

/// Stores one segment as its content comes, if it is the one that its name says.
final class WALSegmentWriter: ByteSink {
    private let segment: WALSegmentName
    private let archive: WALArchive
    private let object: WALObjectWriter
    private var reader: WALSegmentReader

    init(
        _ segment: WALSegmentName, key: ObjectKey, in archive: WALArchive, level: Int, workers: Int, isStreamed: Bool
    ) throws(BackupError) {
        self.segment = segment
        self.archive = archive
        reader = WALSegmentReader(from: segment.start)
        object = try WALObjectWriter(
            segment.description, key: key, in: archive, level: level, workers: workers, isStreamed: isStreamed)
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        reader.consume(bytes)
        try object.write(bytes)
    }

    func finish() throws(BackupError) { _ = try publish() }

    /// Publishes the segment, all of which was written; durable when it returns.
    ///
    /// One whose records do not go through it is stored all the same, as nobody has another; a warning tells of it while
    /// the server may still have what came before.
    func publish() throws(BackupError) -> PublishedWAL {
        let published = try object.publish(summary: try summary())
        if !published.wasPresent, let summary = published.summary, let damage = summary.damage {
            archive.repository.environment.warn(
                "WAL segment \(segment) was stored, and its records end at \(summary.validEnd), before it does "
                    + "(\(damage)): no recovery gets past that. The server's disk is damaged, or two servers write WAL of "
                    + "one name. Take a new base backup when that is mended: apex-backup backup --kind physical")
        }
        return published
    }

    func discard() { object.discard() }

    /// What the records say, of a segment that belongs where it is stored.
    ///
    /// The timeline of its first page may be an ancestor's: PostgreSQL begins the first segment of a new timeline with a
    /// copy of the old one's.
    private func summary() throws(BackupError) -> WALSegmentSummary {
        do throws(BackupError) {
            try WALSegmentHeader.check(
                reader.header, of: segment, length: UInt64(object.byteCount), expecting: archive.systemIdentifier)
            guard let summary = reader.finish() else { throw WALSegmentHeader.unreadable(segment) }
            return summary
        } catch {
            throw error.leaving("It was not stored.")
        }
    }
}
