import BackupModel
import BackupStorage

/// What the trailer of a stored file of WAL says of it.
struct WALObjectRecord: Sendable, Hashable, Codable {
    /// The name that PostgreSQL gives it; of a piece, its segment's.
    var name: String
    /// Of a piece: from where to where it goes, as its name says; earlier versions did not put it down.
    var piece: String?
    var contentBytes: Int64
    /// SHA-256 of the content: what makes two stored files the same.
    var contentSHA256: SHA256Digest
    /// The stored bytes of each zstd frame that the content is cut into, so that several are read at a time; `nil` for
    /// one stream.
    var frames: [Int]?
    /// What the records of a segment say: the index of the archive is made of these.
    var summary: WALSegmentSummary?
}

/// The WAL of one incarnation of a cluster in its repository.
struct WALArchive: Sendable {
    let repository: Repository
    let systemIdentifier: UInt64
    let layout: IncarnationLayout

    init(_ repository: Repository, systemIdentifier text: String) throws(BackupError) {
        guard let layout = repository.layout.incarnationObjects(text), let systemIdentifier = UInt64(text) else {
            throw BackupError(
                .serverUnsupported, "The server's system identifier '\(text)' is not a number.",
                remedy: "Check that the connection leads to PostgreSQL itself.")
        }
        self.repository = repository
        self.systemIdentifier = systemIdentifier
        self.layout = layout
    }

    /// Begins to store `segment`; with `isStreamed` its server is still writing it.
    func makeWriter(
        _ segment: WALSegmentName, level: Int = WALObjectWriter.level, workers: Int = 1, isStreamed: Bool = false
    ) throws(BackupError) -> WALSegmentWriter {
        try WALSegmentWriter(
            segment, key: layout.segment(segment), in: self, level: level, workers: workers, isStreamed: isStreamed)
    }

    /// Begins to store another file that PostgreSQL hands to its archiver.
    func makeWriter(_ name: WALFileName, level: Int) throws(BackupError) -> WALObjectWriter {
        try WALObjectWriter("\(name)", key: layout.file(name), in: self, level: level)
    }

    /// Begins to store a piece of an unfinished segment.
    func makeWriter(_ piece: WALPiece) throws(BackupError) -> WALObjectWriter {
        try WALObjectWriter(piece.segment.description, piece: piece, key: layout.piece(piece), in: self)
    }

    /// Stores where a timeline comes from: without it no server recovers along it.
    func store(_ history: [UInt8], of timeline: UInt32) throws(BackupError) {
        let writer = try makeWriter(.history(timeline: timeline), level: WALObjectWriter.level)
        defer { writer.discard() }
        try writer.write(history.span)
        try writer.finish()
    }

    /// What is stored of `segment`, or `nil` if there is certainly nothing.
    func record(of segment: WALSegmentName) throws(BackupError) -> WALObjectRecord? {
        try record(at: layout.segment(segment), named: "\(segment)")
    }

    /// What is stored by that name, or `nil` if there is certainly nothing.
    func record(of name: WALFileName) throws(BackupError) -> WALObjectRecord? {
        try record(at: layout.file(name), named: "\(name)")
    }

    /// What is stored at `key` as the file `name`, or `nil` if there is certainly nothing.
    func record(at key: ObjectKey, named name: String) throws(BackupError) -> WALObjectRecord? {
        guard let info = try repository.storage.info(key) else { return nil }
        return try record(of: info, named: name)
    }

    /// What the trailer of a stored object says, which must be the file `name` of this cluster: whole objects can change
    /// places too.
    func record(of object: ObjectInfo, named name: String) throws(BackupError) -> WALObjectRecord {
        let trailer = try ObjectTrailer.read(object.key, size: object.size, from: repository.storage)
        let record = try RepositoryJSON.decodePlain(
            WALObjectRecord.self, from: trailer.payload, name: object.key.text)
        let owner = record.summary?.systemIdentifier ?? "\(systemIdentifier)"
        guard record.name == name, owner == "\(systemIdentifier)" else {
            throw BackupError(
                .objectDamaged, "'\(object.key)' is another WAL file than its name says.",
                reason: "it was stored as \(record.name) of the system identifier \(owner)",
                remedy: "Put it back from a copy of the repository.")
        }
        return record
    }
}

extension WALArchive {
    /// What the records of a stored segment say, or of what is stored of it; `nil` if nothing is.
    func summary(of segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary? {
        // A receiver may put something longer in the place of a piece while it is read.
        for _ in 0..<10 {
            do throws(BackupError) {
                return try summaryOfStored(segment)
            } catch {
                guard error.code == .walMissing else { throw error }
            }
        }
        return try summaryOfStored(segment)
    }

    private func summaryOfStored(_ segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary? {
        if let record = try record(of: segment) { return record.summary }
        guard try !pieces(of: segment).isEmpty else { return nil }
        let reading = SummarySink(from: segment.start)
        try read(segment, into: reading)
        guard var summary = reading.summary else { return nil }
        // With later segments it is a hole.
        if summary.damage == nil { summary.damage = "only its beginning is stored" }
        return summary
    }

    /// Whether a whole segment of this name is stored, whatever the size of the cluster's segments.
    func holdsFile(named segment: String) throws(BackupError) -> Bool {
        let folder = layout.wal.appending(String(segment.prefix(8)))
        for log in try repository.storage.children(of: folder) where segment.dropFirst(8).hasPrefix(log) {
            if try repository.storage.info(folder.appending(log).appending("\(segment).zst")) != nil { return true }
        }
        return false
    }

    /// Whether a segment is stored whole.
    func isStoredWhole(_ segment: WALSegmentName) throws(BackupError) -> Bool {
        try repository.storage.info(layout.segment(segment)) != nil
    }

    /// Whether a segment is stored, whole or in part.
    func isStored(_ segment: WALSegmentName) throws(BackupError) -> Bool {
        if try isStoredWhole(segment) { return true }
        return try !pieces(of: segment).isEmpty
    }

    /// Which segments of `size` are stored whole, by a listing of all of them: what removes WAL believes no index.
    func coverage(size: WALSegmentSize) throws(BackupError) -> WALCoverage {
        var coverage = WALCoverage(segmentSize: size)
        try repository.storage.list(under: layout.wal) { object in
            if case .segment(let segment) = layout.walFile(object.key, segmentSize: size) { coverage.insert(segment) }
        }
        return coverage
    }

    /// A segment that continues `segment` and is behind it: on its timeline, or on one that goes on from there.
    ///
    /// One of which only pieces are stored is one too. Costs a few small listings.
    func later(than segment: WALSegmentName) throws(BackupError) -> WALSegmentName? {
        let begun = try begun(size: segment.size)
        if let later = try newest(onTimeline: segment.timeline, of: begun, segment.size),
            later.number > segment.number
        {
            return later
        }
        for (timeline, history) in try histories() where timeline > segment.timeline {
            guard let left = history.ancestors.first(where: { $0.timeline == segment.timeline }),
                left.end >= segment.end, let later = try newest(onTimeline: timeline, of: begun, segment.size)
            else { continue }
            return later
        }
        return nil
    }

    /// The newest segment of a timeline, of those that are stored whole and those that were begun.
    private func newest(
        onTimeline timeline: UInt32, of begun: [WALSegmentName], _ size: WALSegmentSize
    ) throws(BackupError) -> WALSegmentName? {
        let whole = try newest(onTimeline: timeline, size: size)
        return (begun.filter { $0.timeline == timeline } + [whole].compactMap(\.self)).max()
    }

    /// The newest segment of a timeline that is stored whole.
    func newest(onTimeline timeline: UInt32, size: WALSegmentSize) throws(BackupError) -> WALSegmentName? {
        let folder = layout.wal.appending(timeline.eightHexDigits)
        for log in try repository.storage.children(of: folder).reversed() {
            let segments = try repository.storage.children(of: folder.appending(log)).compactMap { name in
                name.hasSuffix(".zst") ? WALSegmentName(parsing: name.dropLast(4), segmentSize: size) : nil
            }
            if let newest = segments.max() { return newest }
        }
        return nil
    }

    /// What is being stored in the folder of a file, or was when its writer died.
    func unfinishedWrites(beside name: WALFileName) throws(BackupError) -> [UnfinishedWrite] {
        guard let folder = layout.file(name).folder else { return [] }
        return try repository.storage.unfinishedWrites(in: folder)
    }

    /// The most bytes that a timeline history may have.
    static let largestHistory = 1 << 20

    /// The archived histories of timelines.
    func histories() throws(BackupError) -> [UInt32: TimelineHistory] {
        var histories: [UInt32: TimelineHistory] = [:]
        for (timeline, content) in try historyFiles() {
            histories[timeline] = try TimelineHistory(
                timeline: timeline, parsing: String(decoding: content, as: UTF8.self))
        }
        return histories
    }

    /// The archived history of a timeline, or `nil` if there is certainly none.
    func history(of timeline: UInt32) throws(BackupError) -> TimelineHistory? {
        guard let content = try historyFile(timeline) else { return nil }
        return try TimelineHistory(timeline: timeline, parsing: String(decoding: content, as: UTF8.self))
    }

    /// The archived histories as the servers wrote them.
    func historyFiles() throws(BackupError) -> [UInt32: [UInt8]] {
        var files: [UInt32: [UInt8]] = [:]
        for name in try repository.storage.children(of: layout.wal) where name.hasSuffix(".history.zst") {
            guard case .history(let timeline) = WALFileName(parsing: name.dropLast(4), segmentSize: .standard) else {
                continue
            }
            files[timeline] = try historyFile(timeline)
        }
        return files
    }

    private func historyFile(_ timeline: UInt32) throws(BackupError) -> [UInt8]? {
        let content = CollectingSink(limit: Self.largestHistory)
        return try read(.history(timeline: timeline), into: content) ? content.bytes : nil
    }

    /// The stored pieces of `segment` that together reach furthest from its beginning.
    func pieces(of segment: WALSegmentName) throws(BackupError) -> [WALPiece] {
        var pieces: [WALPiece] = []
        try repository.storage.list(under: layout.pieces(of: segment)) { object in
            guard object.key.text.hasSuffix(".zst"),
                let piece = WALPiece(parsing: object.key.lastComponent.dropLast(4), of: segment)
            else { return }
            pieces.append(piece)
        }
        return WALPiece.chain(pieces)
    }

    /// The end of what is stored of `segment`: its own if it is stored whole, that of its pieces, or `nil` if nothing is.
    func storedEnd(of segment: WALSegmentName) throws(BackupError) -> LogSequenceNumber? {
        try isStoredWhole(segment) ? segment.end : piecesEnd(of: segment)
    }

    /// Reads a stored segment into `sink`, if one is given, and compares its bytes and its content with what was stored;
    /// of a segment that is stored in pieces only, what they have.
    ///
    /// The bytes reach `sink` before they are proved.
    func read(_ segment: WALSegmentName, into sink: (any ByteSink)? = nil) throws(BackupError) {
        if try read(.segment(segment), into: sink) { return }
        var end: UInt32 = 0
        for piece in try pieces(of: segment) {
            // What comes in its place has more: to go on without it would end a recovery too early, without a word.
            guard try read(piece, into: SkippingSink(Int(end - piece.from), into: sink)) else {
                throw BackupError(
                    .walMissing, "A piece of WAL segment \(segment) went away while it was read.",
                    reason: "a receiver has put something longer in its place", remedy: "Run the command again.")
            }
            end = piece.to
        }
        guard end > 0 else { throw Self.missing(segment) }
    }

    /// Reads one piece into `sink` and proves it; returns `false` if it is certainly not there.
    ///
    /// The bytes reach `sink` before they are proved.
    func read(_ piece: WALPiece, into sink: any ByteSink) throws(BackupError) -> Bool {
        let key = layout.piece(piece)
        do throws(BackupError) {
            guard let record = try record(at: key, named: "\(piece.segment)") else { return false }
            try requirePiece(record, at: key)
            try read(key, record, into: sink)
            return true
        } catch {
            // Between its name and its bytes something longer can come in its place.
            guard error.code == .objectMissing else { throw error }
            return false
        }
    }

    /// Refuses what lies in the place of another piece of its segment.
    private func requirePiece(_ record: WALObjectRecord, at key: ObjectKey) throws(BackupError) {
        let name = String(key.lastComponent.dropLast(4))
        let ends = name.split(separator: "-").compactMap { UInt32(eightHexDigits: $0) }
        guard record.piece ?? name == name, ends.count == 2, Int64(ends[1]) - Int64(ends[0]) == record.contentBytes
        else {
            throw BackupError(
                .objectDamaged, "'\(key)' is another piece of WAL than its name says.",
                reason: "it was stored as \(record.piece ?? "one of \(record.contentBytes) bytes")",
                remedy: "Put it back from a copy of the repository.")
        }
    }

    /// Reads a segment, whole or in pieces, into `sink`: what pieces lack is zero, as in a segment that is being written.
    ///
    /// The bytes reach `sink` before they are proved.
    func readPadded(_ segment: WALSegmentName, into sink: any ByteSink) throws(BackupError) {
        let check = SegmentCheck(segment, expecting: systemIdentifier, into: sink)
        try read(segment, into: UnfinishedSink(check))
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        while check.count < segment.size.bytes {
            let length = min(segment.size.bytes - check.count, UInt64(zeros.count))
            try check.write(zeros.span.extracting(0..<Int(length)))
        }
        try check.finish()
    }

    /// Tells every stored file of WAL, also pieces of unfinished segments.
    func forEachStored(_ body: (ObjectInfo) throws(BackupError) -> Void) throws(BackupError) {
        try repository.storage.list(under: layout.wal) { object throws(BackupError) in
            if object.key.text.hasSuffix(".zst") { try body(object) }
        }
    }

    /// Proves that the file at `key` is the one that its name says, and with `reading` that it has the bytes and the
    /// content that were stored.
    func prove(_ key: ObjectKey, reading: Bool) throws(BackupError) {
        let isPiece = key.text.hasPrefix("\(layout.pieces)/")
        let name = isPiece ? key.text.split(separator: "/").dropLast().last : key.lastComponent.dropLast(4)
        guard let record = try record(at: key, named: String(name ?? "")) else { return }
        if isPiece { try requirePiece(record, at: key) }
        if reading { try read(key, record, into: nil) }
    }

    /// Reads a stored file into `sink` and proves it; returns `false` if it is certainly not there.
    ///
    /// The SHA-256 of the stored bytes is always compared, and zstd's checksum of the content; `comparingContent` says
    /// whether its SHA-256 is too, for which recovery would wait longer than for all the rest. The bytes reach `sink`
    /// before they are proved.
    func read(
        _ name: WALFileName, into sink: (any ByteSink)?, comparingContent: Bool = true
    ) throws(BackupError) -> Bool {
        let key = layout.file(name)
        guard let record = try record(at: key, named: "\(name)") else { return false }
        if comparingContent || record.frames == nil {
            try read(key, record, into: sink)
        } else {
            try readContent(of: key, record.frames, into: sink ?? DiscardSink())
        }
        return true
    }

    private func read(
        _ key: ObjectKey, _ record: WALObjectRecord, into sink: (any ByteSink)?
    ) throws(BackupError) {
        let content = DigestSink(into: sink)
        try readContent(of: key, record.frames, into: content)
        guard content.digest == record.contentSHA256, content.byteCount == record.contentBytes else {
            throw BackupError(
                .objectDamaged, "The content of WAL file \(record.name) is not what was stored.",
                reason: "its SHA-256 is \(content.digest), stored was \(record.contentSHA256)",
                remedy: "Put it back from a copy of the repository.")
        }
    }

    /// Streams the content of an object into `sink`, which is finished when all bytes of the object were right.
    private func readContent(of key: ObjectKey, _ frames: [Int]?, into sink: any ByteSink) throws(BackupError) {
        do {
            let decompressor: any ByteSink =
                if let frames {
                    try FrameDecompressingSink(
                        frames: frames, workers: min(2, HostFacts.processorCount), into: sink)
                } else {
                    try makeDecompressor(.zstd(level: WALObjectWriter.level), into: sink)
                }
            let proof = ObjectProof(of: key, into: decompressor)
            try repository.storage.read(key, into: proof)
            try proof.finish()
            try decompressor.finish()
        } catch {
            guard error.code == .objectDamaged, !error.message.contains(key.text) else { throw error }
            throw BackupError(
                .objectDamaged, "'\(key)' is damaged.", reason: error.reason ?? error.message,
                remedy: "Put it back from a copy of the repository, or use another backup.")
        }
    }

    static func missing(_ segment: WALSegmentName) -> BackupError {
        BackupError(
            .walMissing, "WAL segment \(segment) is missing from the repository.",
            remedy: "Put it back from a copy of the repository, or use another backup.")
    }
}

/// Reads a segment for what its records say.
private final class SummarySink: ByteSink {
    private var reader: WALSegmentReader

    init(from start: LogSequenceNumber) { reader = WALSegmentReader(from: start) }

    var summary: WALSegmentSummary? { reader.finish() }

    func write(_ bytes: Span<UInt8>) throws(BackupError) { reader.consume(bytes) }
    func finish() throws(BackupError) {}
}
