import BackupModel
import BackupStorage

/// What a listing of one log folder shows.
struct StoredLog {
    /// The whole segments, by number.
    var segments: [UInt64: ObjectInfo] = [:]

    /// Whether all segments of the folder are there.
    func isWhole(_ size: WALSegmentSize) -> Bool { UInt64(segments.count) == size.segmentsPerLog }
}

extension WALArchive {
    /// The log folders in which anything is stored, by timeline and position.
    ///
    /// Costs a listing for each timeline, and one more.
    func logs() throws(BackupError) -> [WALLogName] {
        var logs: [WALLogName] = []
        for timeline in try repository.storage.children(of: layout.wal).compactMap({ UInt32(eightHexDigits: $0) }) {
            let folder = layout.wal.appending(timeline.eightHexDigits)
            for log in try repository.storage.children(of: folder).compactMap({ UInt32(eightHexDigits: $0) }) {
                logs.append(WALLogName(timeline: timeline, log: log))
            }
        }
        return logs.sorted()
    }

    /// Whether any WAL is stored.
    func holdsWAL() throws(BackupError) -> Bool {
        guard try logs().isEmpty else { return true }
        return try !repository.storage.children(of: layout.pieces).isEmpty
    }

    /// What is stored in a log folder; costs a listing.
    func stored(in log: WALLogName, size: WALSegmentSize) throws(BackupError) -> StoredLog {
        var stored = StoredLog()
        try repository.storage.list(under: layout.log(log)) { object in
            if case .segment(let segment) = layout.walFile(object.key, segmentSize: size) {
                stored.segments[segment.number] = object
            }
        }
        return stored
    }

    /// Whether a stored segment says that it has the content that its roll-up tells of.
    func holds(_ object: ObjectInfo, _ indexed: WALLogSegment) throws(BackupError) -> Bool {
        do throws(BackupError) {
            return try record(of: object, named: indexed.name).contentSHA256 == indexed.contentSHA256
        } catch {
            guard error.code.isDamage else { throw error }
            return false
        }
    }

    /// The segments that have a folder of pieces; costs a listing.
    func begun(size: WALSegmentSize) throws(BackupError) -> [WALSegmentName] {
        try repository.storage.children(of: layout.pieces).compactMap { WALSegmentName(parsing: $0, segmentSize: size) }
    }

    /// The segments of which pieces are stored, in order.
    func unfinished(size: WALSegmentSize) throws(BackupError) -> [WALSegmentName] {
        var segments: [WALSegmentName] = []
        for segment in try begun(size: size) {
            if try !pieces(of: segment).isEmpty { segments.append(segment) }
        }
        return segments.sorted()
    }
}

extension [CatalogueEntry] {
    /// The size of the WAL segments of a server of which there is a physical backup.
    func walSegmentSize(of systemIdentifier: String) -> WALSegmentSize? {
        reversed().lazy.compactMap { $0.manifest }
            .filter { $0.systemIdentifier == systemIdentifier }
            .compactMap { $0.physical.flatMap { WALSegmentSize(bytes: $0.walSegmentBytes) } }.first
    }
}
