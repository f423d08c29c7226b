import BackupModel
import BackupStorage

/// Which segments of an incarnation are stored, as far as it was looked.
///
/// A log folder that has a roll-up, and is there, is believed to be whole until it is listed. All others are listed at
/// once. So a look at a million segments costs a few listings; what a plan needs is listed before it is relied on.
struct ArchiveSurvey {
    let rollUps: WALRollUps
    /// The folders that are believed to be whole.
    private(set) var believed: Set<WALLogName>
    /// How many folders were listed.
    private(set) var listedLogs = 0
    /// Segments of which pieces are stored, in order.
    let unfinished: [WALSegmentName]
    private var listed: WALCoverage

    init(_ archive: WALArchive, size: WALSegmentSize) throws(BackupError) {
        rollUps = try WALRollUps(archive, size: size)
        listed = WALCoverage(segmentSize: size)
        believed = []
        unfinished = try archive.unfinished(size: size)
        for log in try archive.logs() {
            if rollUps.logs.contains(log) { believed.insert(log) } else { try list(log) }
        }
    }

    /// The segments that are stored whole: listed, or believed to be there.
    var wholeSegments: WALCoverage {
        var coverage = listed
        for range in believed.sorted().compactMap({ $0.segments(listed.segmentSize) }) {
            coverage.insert(range.numbers, timeline: range.timeline)
        }
        return coverage
    }

    /// The same, with those of which only the beginning is stored.
    var allSegments: WALCoverage {
        var coverage = wholeSegments
        for segment in unfinished { coverage.insert(segment) }
        return coverage
    }

    /// Lists the folders of these segments; returns whether any of them had not been.
    mutating func list(_ segments: [WALSegmentRange]) throws(BackupError) -> Bool {
        var isNew = false
        for log in segments.lazy.flatMap(\.logs) where believed.contains(log) {
            try list(log)
            isNew = true
        }
        return isNew
    }

    /// Lists every folder; returns whether any had not been.
    mutating func listAll() throws(BackupError) -> Bool {
        let rest = believed.sorted()
        for log in rest { try list(log) }
        return !rest.isEmpty
    }

    private mutating func list(_ log: WALLogName) throws(BackupError) {
        try Task.checkNotCancelled()
        let size = listed.segmentSize
        let stored = try rollUps.archive.stored(in: log, size: size)
        let others = try others(than: stored, in: log)
        believed.remove(log)
        listedLogs += 1
        for number in stored.segments.keys where !others.contains(number) {
            listed.insert(number...number, timeline: log.timeline)
        }
    }

    /// The segments that are others than when the roll-up was made: they count as missing.
    ///
    /// Only those of another size are looked at: one that was put back may be compressed otherwise.
    private func others(than stored: StoredLog, in log: WALLogName) throws(BackupError) -> Set<UInt64> {
        let bytes = stored.segments.values.reduce(0) { $0 + $1.size }
        guard let entry = try rollUps.entry(of: log), entry.summary.storedBytes != bytes,
            let rollUp = try rollUps.stored(log)?.rollUp
        else { return [] }
        var others: Set<UInt64> = []
        for (number, object) in stored.segments {
            guard
                let name = WALSegmentName(timeline: log.timeline, number: number, segmentSize: listed.segmentSize),
                let indexed = rollUp.segment(name), indexed.storedBytes != object.size
            else { continue }
            if try rollUps.archive.holds(object, indexed) { continue }
            rollUps.archive.repository.environment.warn(
                "WAL segment \(name) has \(object.size) bytes in the repository instead of \(indexed.storedBytes), and "
                    + "not the content that was stored: it counts as missing.")
            others.insert(number)
        }
        return others
    }
}
