import BackupStorage
import FoundationEssentials
import TestSupport

@testable import ApexBackup
@testable import BackupModel

/// The archive of a server that never was: segments that hold a few records each.
///
/// They have 1 GiB unless a test says otherwise, so that four make a log folder. In the segment of number `n` a
/// transaction is committed `n` minutes after the year 2026 began.
struct CraftedArchive: Sendable {
    let site: PruneSite
    let size: WALSegmentSize

    /// The clocks stand at two o'clock, 120 minutes into the year, unless others are given.
    init(segmentBytes: Int = 1 << 30, clock: HandClock = HandClock("2026-01-01T02:00:00Z")) throws {
        guard let size = WALSegmentSize(bytes: segmentBytes) else { throw CraftingFailure() }
        self.size = size
        site = try PruneSite(clock: clock)
    }

    /// The system identifier of the server that ``succeed()`` registers.
    static let successor = "7000000000000000002"

    /// Registers another server under the cluster's name, as after pg_upgrade; returns its WAL, of which there is none.
    func succeed() throws -> WALArchive {
        let repository = try site.repository()
        try repository.recordIncarnation(
            ClusterIncarnation(
                systemIdentifier: Self.successor, major: 16, firstSeen: site.clock.now.advanced(by: .seconds(1))))
        return try WALArchive(repository, systemIdentifier: Self.successor)
    }

    func archive(_ storage: (any Storage)? = nil) throws -> WALArchive {
        try WALArchive(site.repository(storage), systemIdentifier: CraftedRepository.systemIdentifier)
    }

    func name(_ number: UInt64, _ timeline: UInt32 = 1) throws -> WALSegmentName {
        guard let name = WALSegmentName(timeline: timeline, number: number, segmentSize: size) else {
            throw CraftingFailure()
        }
        return name
    }

    static func time(_ minutes: UInt64) -> Timestamp {
        Timestamp(Timestamp.Parts(year: 2026, month: 1, day: 1)).advanced(by: .seconds(60 * Int64(minutes)))
    }

    /// Stores segments; at the end of those in `cut` a commit begins that ends in the next, half a minute later, and those
    /// in `quiet` say that they have none.
    func store(
        _ numbers: some Sequence<UInt64>, timeline: UInt32 = 1, cut: Set<UInt64> = [], quiet: Set<UInt64> = []
    ) throws {
        let archive = try archive()
        for number in numbers {
            let name = try name(number, timeline)
            let log = CraftedLog(name)
            let content = log.content
            var summary = try log.summary
            if cut.contains(number) { summary.begin(log.cutRecord, at: name.end.position - 24) }
            if number > 0, cut.contains(number - 1) {
                summary.goOn(with: CraftedLog(try self.name(number - 1, timeline)).cutRecord)
            }
            if quiet.contains(number) {
                summary.commits = 0
                summary.latestTime = nil
                summary.lastTransactionEnd = nil
            }
            let writer = try WALObjectWriter("\(name)", key: archive.layout.segment(name), in: archive)
            defer { writer.discard() }
            try writer.write(content.span)
            _ = try writer.publish(summary: summary)
        }
    }

    /// Stores a segment of its whole size, as a server hands it over.
    func storeWhole(_ number: UInt64) throws {
        let writer = try archive().makeWriter(name(number))
        defer { writer.discard() }
        let content = try content(number)
        try writer.write(content.span)
        try writer.write([UInt8](repeating: 0, count: Int(size.bytes) - content.count).span)
        try writer.finish()
    }

    /// Stores PostgreSQL's `.partial` file of a segment, as a standby hands it over that is promoted in its middle.
    func storePartial(_ number: UInt64) throws {
        let archive = try archive()
        let file = WALFileName.partial(try name(number))
        let content = try content(number)
        let writer = try archive.makeWriter(file, level: 1)
        defer { writer.discard() }
        try writer.write(content.span)
        try writer.finish()
    }

    /// Stores a segment again in place of itself, as one zstd stream, with some bytes behind its content.
    func storeOtherwise(_ number: UInt64, addedBytes: Int) throws {
        let archive = try archive()
        let name = try name(number)
        guard var record = try archive.record(of: name) else { throw CraftingFailure() }
        let content = CollectingSink(limit: 1 << 20)
        try archive.read(name, into: content)
        let key = archive.layout.segment(name)
        try archive.repository.storage.remove(key)
        let bytes = content.bytes + [UInt8](repeating: 0, count: addedBytes)
        let object = ProvedObjectWriter(try archive.repository.storage.makeWriter(key))
        defer { object.discard() }
        let compressor = try makeCompressor(.zstd(level: 3), into: UnfinishedSink(object))
        try compressor.write(bytes.span)
        try compressor.finish()
        record.frames = nil
        record.contentBytes = Int64(bytes.count)
        record.contentSHA256 = SHA256.digest(of: bytes.span)
        _ = try object.finish(payload: RepositoryJSON.encodePlain(record, pretty: false))
    }

    /// Writes a file that is no object, below the folder `root` or that of the WAL, as if it had been written `age` ago by the clock;
    /// returns its path.
    @discardableResult
    func leave(_ bytes: Int, at name: String, in root: ObjectKey? = nil, age: Duration = .zero) throws -> String {
        let path = try path((root ?? archive().layout.wal).appending(name))
        try site.directory.write([UInt8](repeating: 1, count: bytes), to: path)
        let file = site.directory.path(of: path)
        let time = Double(site.clock.now.advanced(by: .zero - age).microseconds) / 1_000_000
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: time)], ofItemAtPath: file)
        return file
    }

    /// What a roll-up says of a segment that need not be stored.
    func indexed(_ number: UInt64) throws -> WALLogSegment {
        let name = try name(number)
        return WALLogSegment(
            name: "\(name)", storedBytes: 1, contentSHA256: SHA256.digest(of: [UInt8]().span),
            summary: try CraftedLog(name).summary)
    }

    /// The bytes of a segment's records, with nothing behind them.
    func content(_ number: UInt64) throws -> [UInt8] { CraftedLog(try name(number)).content }

    /// Adds a physical backup that begins and ends in a segment, and was finished so many minutes into the year.
    @discardableResult
    func addBackup(inSegment number: UInt64, timeline: UInt32 = 1, minutes: UInt64? = nil) throws -> RunID {
        let name = try name(number, timeline)
        let end = Self.time(minutes ?? number)
        return try site.crafted.addPhysicalBackup(
            PhysicalRecord(
                start: LogSequenceNumber(position: name.start.position + 40),
                stop: LogSequenceNumber(position: name.start.position + 48), timeline: timeline,
                walSegmentBytes: Int64(size.bytes), files: 0, packs: 0, tablespaces: [], configuration: [],
                configurationMissing: false, damage: nil), finishedAt: end)
    }

    /// The paths of the roll-ups below the folder of the index.
    func rollUps() throws -> [String] {
        var paths: [String] = []
        let archive = try archive()
        try archive.repository.storage.list(under: archive.layout.index) { object in
            paths.append(String(object.key.text.dropFirst(archive.layout.index.text.count + 1)))
        }
        return paths
    }

    /// The path of an object of the incarnation in the test's directory.
    func path(_ key: ObjectKey) -> String { "repository/\(key)" }

    @discardableResult
    func index(_ storage: (any Storage)? = nil, limit: Int = .max) throws -> WALIndexing.Result? {
        try WALIndexing(repository: site.repository(storage)).run(limit: limit).first
    }

    func status(_ storage: (any Storage)? = nil) throws -> WALArchiveInspection.Report {
        guard
            let report = try WALArchiveInspection(repository: site.repository(storage), rpo: .seconds(900)).reports()
                .first
        else { throw CraftingFailure() }
        return report
    }
}

/// The bytes of a segment's first records.
private struct CraftedLog {
    let name: WALSegmentName

    init(_ name: WALSegmentName) { self.name = name }

    var summary: WALSegmentSummary {
        get throws {
            var reader = WALSegmentReader(from: name.start)
            reader.consume(content.span)
            guard let summary = reader.finish() else { throw CraftingFailure() }
            return summary
        }
    }

    /// A header, a commit, what begins a timeline but the first, a restore point, and in each third segment a change of max_connections.
    var content: [UInt8] {
        var bytes: [UInt8] = []
        bytes.add(UInt16(0xD110))
        bytes.add(UInt16(2))
        bytes.add(name.timeline)
        bytes.add(name.start.position)
        bytes.add(UInt32(0))
        bytes.add(UInt32(0))
        bytes.add(UInt64(CraftedRepository.systemIdentifier) ?? 0)
        bytes.add(UInt32(name.size.bytes))
        bytes.add(UInt32(8192))
        var previous = name.start.position == 0 ? 0 : name.start.position - 8
        func append(_ manager: UInt8, _ info: UInt8, _ data: [UInt8]) {
            let start = name.start.position + UInt64(bytes.count)
            bytes += Self.record(manager, info, data, previous: previous)
            bytes += [UInt8](repeating: 0, count: (8 - bytes.count % 8) % 8)
            previous = start
        }
        append(1, 0, Self.time(CraftedArchive.time(name.number)))
        if name.timeline > 1 {
            var beginning = Self.time(CraftedArchive.time(name.number))
            beginning.add(name.timeline)
            beginning.add(UInt32(1))
            append(0, 0x90, beginning)
        }
        let point = Array("point \(name.number)".utf8)
        append(
            0, 0x70,
            Self.time(CraftedArchive.time(name.number)) + point + [UInt8](repeating: 0, count: 64 - point.count))
        if name.number % 3 == 0 {
            var data: [UInt8] = []
            for value in [Int32(100 + name.number % 50), 8, 10, 0, 64, 1] { data.add(value) }
            append(0, 0x60, data + [0, 0, 0, 0])
        }
        return bytes
    }

    /// A commit that begins 24 bytes before the segment's end.
    var cutRecord: [UInt8] {
        Self.record(
            1, 0, Self.time(CraftedArchive.time(name.number).advanced(by: .seconds(30))),
            previous: name.start.position + 40)
    }

    private static func time(_ time: Timestamp) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.add(time.microseconds - 946_684_800_000_000)
        return bytes
    }

    private static func record(_ manager: UInt8, _ info: UInt8, _ main: [UInt8], previous: UInt64) -> [UInt8] {
        let data = [255, UInt8(main.count)] + main
        var front: [UInt8] = []
        front.add(UInt32(24 + data.count))
        front.add(UInt32(7))
        front.add(previous)
        front += [info, manager, 0, 0]
        var bytes = front
        bytes.add(CRC32C.checksum(of: data + front))
        return bytes + data
    }
}

extension WALSegmentSummary {
    /// The record's first 24 bytes end the segment.
    fileprivate mutating func begin(_ record: [UInt8], at position: UInt64) {
        unfinished = UnfinishedRecord(
            start: LogSequenceNumber(position: position), totalLength: UInt32(record.count),
            missingBytes: UInt32(record.count - 24), mayBeReported: true)
        unfinishedPiece = WALRecordPiece(record.prefix(24))
        validEnd = LogSequenceNumber(position: position)
        lastRecord = validEnd
    }

    /// The record's other bytes begin the segment.
    fileprivate mutating func goOn(with record: [UInt8]) {
        continuedBytes = UInt32(record.count - 24)
        continuation = WALRecordPiece(record.dropFirst(24))
    }
}

extension [UInt8] {
    /// Adds a number, least significant byte first.
    mutating func add(_ value: some FixedWidthInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}
