package import BackupModel
import BackupStorage

/// Archives a file of WAL, as `archive_command` asks for it.
package struct WALPush: Sendable {
    /// What came of it.
    package struct Result: Sendable, Hashable, Encodable {
        /// The name of the file.
        package var name: String
        /// Whether it was there already, with the same content.
        package var wasPresent: Bool
        package var contentBytes: Int64
    }

    let repository: Repository
    let level: Int

    /// Stores at zstd's `level`.
    package init(repository: Repository, level: Int = WALPush.standardLevel) {
        self.repository = repository
        self.level = level
    }

    /// The level of the program's default.
    package static let standardLevel = WALObjectWriter.level

    /// Stores the file at `path`, whose last component is the name that PostgreSQL gives it; durable when it returns.
    ///
    /// With `ahead`, one that a worker has archived is not archived again, and those behind it are archived meanwhile.
    ///
    /// - Throws: ``ErrorCode/walSegmentInvalid`` for a segment that is not the one that its name says,
    ///   ``ErrorCode/wrongCluster`` for one of another cluster, ``ErrorCode/walConflict`` when the name is taken by other
    ///   content.
    package func run(
        _ path: String, of systemIdentifier: String? = nil, ahead: WALLookAhead.Settings? = nil
    ) throws(BackupError) -> Result {
        try store(path, of: systemIdentifier, ahead: ahead).result
    }

    /// What came of it, and SHA-256 of what was read and stored; without that a worker had archived the file.
    struct Stored: Sendable {
        var result: Result
        var contentSHA256: SHA256Digest?
    }

    /// The same, for whoever acknowledges the file.
    func store(
        _ path: String, of systemIdentifier: String?, ahead: WALLookAhead.Settings? = nil
    ) throws(BackupError) -> Stored {
        do {
            return try push(LocalWALFile(path), of: systemIdentifier, ahead: ahead)
        } catch {
            throw error.leaving("'\(path)' was not archived; PostgreSQL keeps it and asks again.")
        }
    }

    private func push(
        _ file: consuming LocalWALFile, of systemIdentifier: String?, ahead: WALLookAhead.Settings?
    ) throws(BackupError) -> Stored {
        let identity = try file.identity(named: systemIdentifier)
        guard let name = WALFileName(parsing: file.name, segmentSize: identity.segmentSize) else {
            throw BackupError(
                .usage, "'\(file.name)' cannot be the name of a file of WAL.",
                reason: "PostgreSQL names them by 1 to 64 letters, digits and dots",
                remedy: "Give the path that archive_command gets as %p.")
        }
        try repository.requireIncarnation(identity.systemIdentifier)
        let archive = try WALArchive(repository, systemIdentifier: identity.systemIdentifier)
        let size = try file.source.size()
        let lookAhead = ahead.flatMap { WALLookAhead($0, beside: file.folder, for: archive) }
        lookAhead?.goOn(besides: file.name)
        let claim = lookAhead?.claim(file.name)
        defer { claim?.giveBack() }
        var result = Result(name: file.name, wasPresent: true, contentBytes: size)
        if lookAhead?.isArchived(file, name) == true { return Stored(result: result) }
        let published: PublishedWAL
        if case .segment(let segment) = name {
            try file.check(segment, size: size, in: archive)
            let writer = try archive.makeWriter(segment, level: level, workers: min(2, HostFacts.processorCount))
            defer { writer.discard() }
            try file.copy(into: writer)
            published = try writer.publish()
        } else {
            let writer = try archive.makeWriter(name, level: level)
            defer { writer.discard() }
            try file.copy(into: writer)
            published = try writer.publish(summary: nil)
        }
        result.wasPresent = published.wasPresent
        return Stored(result: result, contentSHA256: published.contentSHA256)
    }
}

/// A file of WAL on this host, in the place where PostgreSQL has it.
struct LocalWALFile: ~Copyable {
    /// Whose WAL it is.
    struct Identity {
        var systemIdentifier: String
        var segmentSize: WALSegmentSize
    }

    let name: String
    let source: OpenFile
    let folder: String
    private let header: WALSegmentHeader?

    init(_ path: String) throws(BackupError) {
        let source = try OpenFile(reading: path)
        let start = try source.read(at: 0, count: WALPageHeader.longestSize)
        self.init(path, source, start: start)
    }

    private init(_ path: String, _ source: consuming OpenFile, start: [UInt8]) {
        let slash = path.lastIndex(of: "/")
        name = String(path[(slash.map { path.index(after: $0) } ?? path.startIndex)...])
        folder = slash.map { String(path[..<$0]) } ?? "."
        self.source = source
        header = WALSegmentHeader(parsing: start.span)
    }

    /// Whose WAL it is: what was named, what the control file of its data directory says, or where there is none, the
    /// file's own header.
    func identity(named systemIdentifier: String?) throws(BackupError) -> Identity {
        let dataDirectory = dataDirectory(ofWAL: folder)
        let control = try controlFile(inDataDirectory: dataDirectory)
        let size =
            control.flatMap { WALSegmentSize(bytes: $0.layout.walSegmentSize) } ?? header?.segmentSize ?? .standard
        if let known = systemIdentifier ?? (control?.systemIdentifier ?? header?.systemIdentifier).map({ "\($0)" }) {
            return Identity(systemIdentifier: known, segmentSize: size)
        }
        throw BackupError(
            .usage, "It is not known to which server '\(name)' belongs.",
            reason: "it has no header that says so, and there is no control file at '\(dataDirectory)'",
            remedy: "Run it in the server's data directory, as PostgreSQL does, or name the server with "
                + "--system-identifier.")
    }

    /// Refuses a segment that is not the one that its name says.
    func check(_ segment: WALSegmentName, size: Int64, in archive: WALArchive) throws(BackupError) {
        let isOfAncestor = header.map { $0.page.timeline != segment.timeline } ?? false
        try WALSegmentHeader.check(
            header, of: segment, length: UInt64(max(0, size)), expecting: archive.systemIdentifier,
            ancestors: isOfAncestor ? history(of: segment.timeline, in: archive)?.ancestorTimelines : nil)
    }

    /// The history of a timeline: the server's own file, or what is archived.
    private func history(of timeline: UInt32, in archive: WALArchive) throws(BackupError) -> TimelineHistory? {
        let path = "\(folder)/\(WALFileName.history(timeline: timeline))"
        guard HostFacts.exists(path) else { return try archive.history(of: timeline) }
        let bytes = try OpenFile(reading: path).read(at: 0, count: WALArchive.largestHistory)
        return try TimelineHistory(timeline: timeline, parsing: String(decoding: bytes, as: UTF8.self))
    }

    func copy(into sink: some ByteSink) throws(BackupError) {
        try source.forEachChunk(ofSize: 1 << 20) { bytes throws(BackupError) in try sink.write(bytes) }
    }
}

/// The directory that holds the folder of WAL by its name: `pg_wal` may be a link that leads elsewhere.
func dataDirectory(ofWAL folder: String) -> String {
    guard folder != "." else { return ".." }
    guard let slash = folder.lastIndex(of: "/") else { return "." }
    return slash == folder.startIndex ? "/" : String(folder[..<slash])
}

/// The control file of a data directory, or `nil` if there is none.
///
/// A server may be writing it: as PostgreSQL's own programs do, one that is not whole is read again.
func controlFile(inDataDirectory directory: String) throws(BackupError) -> ControlFile? {
    let path = "\(directory)/global/pg_control"
    guard HostFacts.exists(path) else { return nil }
    var attempts = 10
    while true {
        do throws(BackupError) {
            return try ControlFile(
                parsing: try OpenFile(reading: path).read(at: 0, count: ControlFile.size), named: path)
        } catch {
            attempts -= 1
            guard attempts > 0, error.code == .objectDamaged else { throw error }
        }
    }
}

extension Repository {
    /// The system identifier of the cluster, of which only one is known.
    func soleIncarnation() throws(BackupError) -> String {
        let known = try incarnations()
        guard let only = known.first, known.count == 1 else {
            throw BackupError(
                .usage, "It is not known to which server of '\(layout.cluster)' the file belongs.",
                reason: known.isEmpty
                    ? "none is registered" : "registered are \(known.map(\.systemIdentifier).joined(separator: ", "))",
                remedy: "Run it in the server's data directory, as PostgreSQL does, or name it with "
                    + "--system-identifier.")
        }
        return only.systemIdentifier
    }
}
