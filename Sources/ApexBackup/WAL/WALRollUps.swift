import BackupModel
import BackupStorage
import Synchronization

/// The roll-ups of the WAL of one incarnation: which there are, by their names, and what they say.
///
/// One that is damaged or gone counts as one that was never made; then the segments are asked. The first time a warning
/// names it.
final class WALRollUps: Sendable {
    let archive: WALArchive
    let size: WALSegmentSize
    /// The log folders that have one.
    let logs: Set<WALLogName>
    /// Those over roll-ups.
    let spans: [WALLogSpan]
    private let read = Mutex(Read())

    /// What was read already; only the last few, as a search goes on from one to the next.
    private struct Read {
        var logs = RecentValues<WALLogName, Stored?>(limit: 4)
        /// Together they reach over a million segments of 16 MiB.
        var entries = RecentValues<WALLogSpan, [UInt32: WALLogEntry]>(limit: 4)
    }

    /// A roll-up, and the SHA-256 of its content.
    struct Stored: Sendable {
        var rollUp: WALLogRollUp
        var contentSHA256: SHA256Digest
    }

    /// Costs two listings for each timeline, and one more.
    init(_ archive: WALArchive, size: WALSegmentSize) throws(BackupError) {
        self.archive = archive
        self.size = size
        var logs: Set<WALLogName> = []
        var spans: [WALLogSpan] = []
        let storage = archive.repository.storage
        let index = archive.layout.index
        for timeline in try storage.children(of: index).compactMap({ UInt32(eightHexDigits: $0) }) {
            for name in try storage.children(of: index.appending(timeline.eightHexDigits)) where name.hasSuffix(".zst")
            {
                guard let log = UInt32(eightHexDigits: name.dropLast(4)) else { continue }
                logs.insert(WALLogName(timeline: timeline, log: log))
            }
            for name in try storage.children(of: archive.layout.spans(of: timeline)) where name.hasSuffix(".zst") {
                if let span = WALLogSpan(parsing: name.dropLast(4), timeline: timeline) { spans.append(span) }
            }
        }
        self.logs = logs
        self.spans = spans
    }
}

extension WALRollUps {
    /// The greatest content of a roll-up: one that would have more is not made.
    static let largestContent = 64 << 20

    /// What the segments of a folder say together; of most folders without their own roll-up being read.
    func entry(of log: WALLogName) throws(BackupError) -> WALLogEntry? {
        guard logs.contains(log) else { return nil }
        if let span = span(holding: log), let entry = try entries(of: span)[log.log] { return entry }
        return try stored(log).map { WALLogEntry(contentSHA256: $0.contentSHA256, summary: $0.rollUp.summary) }
    }

    /// What the roll-up of its folder says of a segment.
    func segment(_ name: WALSegmentName) throws(BackupError) -> WALLogSegment? {
        try stored(name.log)?.rollUp.segment(name)
    }

    /// The roll-up of a folder.
    func stored(_ log: WALLogName) throws(BackupError) -> Stored? {
        guard logs.contains(log) else { return nil }
        if let known = read.withLock({ $0.logs[log] }) { return known }
        let key = archive.layout.rollUp(of: log)
        let found = try usable(key) { () throws(BackupError) in try load(log) }
        read.withLock { $0.logs[log] = .some(found) }
        return found
    }

    private func entries(of span: WALLogSpan) throws(BackupError) -> [UInt32: WALLogEntry] {
        if let known = read.withLock({ $0.entries[span] }) { return known }
        let key = archive.layout.span(span)
        let found = try usable(key) { () throws(BackupError) in try load(span) } ?? [:]
        read.withLock { $0.entries[span] = found }
        return found
    }

    private func span(holding log: WALLogName) -> WALLogSpan? {
        WALLogSpan.longest(of: spans.filter { $0.timeline == log.timeline }, holding: log.log)
    }

    private func usable<Value>(
        _ key: ObjectKey, _ body: () throws(BackupError) -> Value
    ) throws(BackupError) -> Value? {
        do throws(BackupError) {
            return try body()
        } catch {
            guard error.code.isDamage else { throw error }
            // One that is gone was removed, together with WAL, since the names were listed.
            if error.code != .objectMissing {
                archive.repository.environment.warn(
                    "\(error.message) The segments themselves are read instead: remove it, and run 'apex-backup wal "
                        + "index'.")
            }
            return nil
        }
    }
}

extension WALRollUps {
    /// Reads and proves the roll-up of a folder.
    func load(_ log: WALLogName) throws(BackupError) -> Stored {
        let key = archive.layout.rollUp(of: log)
        let content = try archive.repository.rollUpContent(at: key)
        var lines = content.split(separator: UInt8(ascii: "\n")).map(Array.init)[...]
        let summary = try RepositoryJSON.decodePlain(
            WALLogSummary.self, from: lines.popFirst() ?? [], name: key.text)
        var segments: [WALLogSegment] = []
        for line in lines {
            segments.append(try RepositoryJSON.decodePlain(WALLogSegment.self, from: line, name: key.text))
        }
        guard let rollUp = WALLogRollUp(log, size, read: summary, segments) else {
            throw ObjectTrailer.damaged(key, "it does not tell of the segments that its name says")
        }
        return Stored(rollUp: rollUp, contentSHA256: SHA256.digest(of: content.span))
    }

    /// Reads and proves a roll-up over roll-ups.
    func load(_ span: WALLogSpan) throws(BackupError) -> [UInt32: WALLogEntry] {
        let key = archive.layout.span(span)
        var entries: [UInt32: WALLogEntry] = [:]
        for line in try archive.repository.rollUpContent(at: key).split(separator: UInt8(ascii: "\n")) {
            let entry = try RepositoryJSON.decodePlain(WALLogEntry.self, from: Array(line), name: key.text)
            guard entry.summary.timeline == span.timeline, entry.summary.segmentSize == size else { continue }
            entries[entry.summary.log] = entry
        }
        guard Set(entries.keys) == Set(span.logs) else {
            throw ObjectTrailer.damaged(key, "it does not tell of the log folders that its name says")
        }
        return entries
    }
}

extension Repository {
    /// The content of a roll-up, which is proved.
    ///
    /// - Throws: ``ErrorCode/objectMissing``, ``ErrorCode/objectDamaged``.
    fileprivate func rollUpContent(at key: ObjectKey) throws(BackupError) -> [UInt8] {
        let content = CollectingSink(limit: WALRollUps.largestContent)
        let decompressor = try makeDecompressor(.zstd(level: WALIndexing.level), into: content)
        let proof = ObjectProof(of: key, into: decompressor)
        do throws(BackupError) {
            try storage.read(key, into: proof)
            try proof.finish()
            try decompressor.finish()
        } catch {
            guard error.code == .objectDamaged, !error.message.contains(key.text) else { throw error }
            throw ObjectTrailer.damaged(key, error.reason ?? error.message)
        }
        return content.bytes
    }
}
