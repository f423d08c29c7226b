import BackupModel
import BackupStorage

/// The side of `wal get` in reading ahead: it takes what a worker has brought, and keeps a worker going.
///
/// As the spool, it is a hint: an error here means that the segment is brought from the archive, where the same error is
/// told if it matters.
package struct WALPrefetch: Sendable {
    /// How much is read ahead, and by whom.
    package struct Settings: Sendable {
        /// How many segments.
        let count: Int
        /// The spool's directory; `nil` is that beside the server's WAL.
        let spool: String?
        /// What starts a worker that goes on behind the segment that was asked for.
        let worker: WALWorker

        package init(count: Int, spool: String?, worker: WALWorker) {
            self.count = count
            self.spool = spool
            self.worker = worker
        }
    }

    private let settings: Settings
    private let segment: WALSegmentName
    private let path: String
    private let archive: WALArchive
    private let spool: WALSpool

    /// `nil` where nothing is to be read ahead: unless a server recovers on the current directory, nobody will ask for it.
    init?(_ settings: Settings, segment: WALSegmentName, path: String, in archive: WALArchive) {
        guard settings.count > 0, isRecovery("."), isServerRunning(on: "."),
            let spool = try? WALSpool(
                .get, at: settings.spool ?? WALPrefetchWorker.standardSpool, for: archive, dataDirectory: ".")
        else { return nil }
        self.settings = settings
        self.segment = segment
        self.path = path
        self.archive = archive
        self.spool = spool
    }

    /// How long a caller waits for a segment that a worker brings just now, before it brings it itself.
    private static let patience = Duration.seconds(30)

    /// Puts the segment in its place if it was read ahead, and goes on; false if it was not.
    func take() -> Bool {
        guard (try? delivers()) == true else { return false }
        goOn()
        return true
    }

    /// Takes the exclusive right to bring the segment; a worker that is bringing it is waited for.
    func claim() -> WALClaim? { spool.claim("\(segment)", waitingUpTo: Self.patience) }

    /// Tells the worker how far the server is, and starts one if there is none and something is to be brought.
    func goOn() {
        try? spool.announce(segment)
        guard (try? isWorkerNeeded()) == true else { return }
        try? settings.worker.start()
    }

    private func isWorkerNeeded() throws(BackupError) -> Bool {
        guard try !spool.hasWorker() else { return false }
        let spooled = try Set(spool.segments(size: segment.size).map(\.segment))
        let plan = WALReadAhead.plan(after: segment, spooled: spooled, count: settings.count)
        guard let first = plan.fetch.first,
            WALReadAhead.hasRoom(try spool.directory.freeBytes(), count: settings.count, size: segment.size)
        else { return false }
        return try archive.record(of: first) != nil
    }

    private func delivers() throws(BackupError) -> Bool {
        for spooled in try spool.segments(size: segment.size) where spooled.segment == segment {
            let name = "\(spooled)"
            guard let file = try spool.directory.file(name) else { continue }
            do throws(BackupError) {
                try check(file, spooled)
                if try !spool.directory.move(name, to: path) { try copy(file) }
                try spool.directory.remove(name)
                return true
            } catch {
                try spool.directory.remove(name)
            }
        }
        return false
    }

    /// Refuses a file that is not the one that was proved: another size, another header, or changed since.
    private func check(_ file: borrowing OpenFile, _ spooled: SpooledSegment) throws(BackupError) {
        let identity = try file.identity()
        let start = try file.read(at: 0, count: WALPageHeader.longestSize)
        try WALSegmentHeader.check(
            identity.modified == spooled.modified ? WALSegmentHeader(parsing: start.span) : nil, of: segment,
            length: UInt64(max(0, identity.size)), expecting: archive.systemIdentifier)
    }

    /// Copies from a spool on another file system.
    private func copy(_ file: borrowing OpenFile) throws(BackupError) {
        let placed = try PlacedFile(path)
        try file.forEachChunk(ofSize: 1 << 20) { bytes throws(BackupError) in try placed.write(bytes) }
        try placed.finish()
    }
}

extension WALSpool {
    private static let askedFile = "asked"

    /// Says which segment the server has got last.
    func announce(_ segment: WALSegmentName) throws(BackupError) {
        try directory.replace(Self.askedFile, with: Array("\(segment)".utf8))
    }

    /// The segment that the server has got last; `nil` if that is not known.
    func asked(size: WALSegmentSize) throws(BackupError) -> WALSegmentName? {
        guard let text = try directory.file(Self.askedFile)?.read(at: 0, count: 64) else { return nil }
        return WALSegmentName(parsing: String(decoding: text, as: UTF8.self), segmentSize: size)
    }

    /// The segments that were read ahead.
    func segments(size: WALSegmentSize) throws(BackupError) -> [SpooledSegment] {
        try directory.names().compactMap { SpooledSegment(parsing: $0, segmentSize: size) }
    }
}
