/// Counts the rows of every table in the stream of `pg_dump --format=custom --compress=0`, while it passes by.
///
/// The stream may be cut into chunks anywhere. Memory grows with the number of tables, not with their size.
package struct ArchiveRowCounter: Sendable {
    private var reader = ArchiveContentsReader()
    private var place = Place.blockType
    private var tables: [Table] = []
    private var tableOfDumpID: [Int32: Int] = [:]
    /// Dump ids of entries that have data which has not come yet.
    private var awaited: Set<Int32> = []
    private var current: CurrentBlock?
    private var end = CopyEnd()
    private var bytesBefore: Int64 = 0
    private var blockStart: Int64 = 0
    private var blockStarts: [Int32: Int64] = [:]

    /// Large objects in the archive.
    package private(set) var largeObjects: Int64 = 0

    package init() {}

    /// What the header and the table of contents say; whole once the first data came, and after ``finish()``.
    package var contents: ArchiveContents { reader.contents }

    /// Takes the next bytes of the stream.
    package mutating func consume(_ bytes: Span<UInt8>) throws(BackupError) {
        var position = 0
        if !reader.isComplete {
            try reader.consume(bytes, from: &position)
            if reader.isComplete { expectData() }
        }
        while position < bytes.count {
            switch place {
            case .blockType: try beginBlock(bytes[position], at: &position)
            case .blockID: try readBlockID(bytes, &position)
            case .objectID: readObjectID(bytes, &position)
            case .chunkLength: try readChunkLength(bytes, &position)
            case .chunk(let left): try countChunks(bytes, &position, left: left)
            }
        }
        bytesBefore += Int64(bytes.count)
    }

    /// What pg_dump writes into the table of contents when it can go back in its output, and cannot in a pipe: where the
    /// data of each entry begins.
    ///
    /// pg_restore with several jobs finds data by it without reading what comes before, and begins with the largest
    /// tables. The bytes are a state (`K_OFFSET_POS_SET`) and the position (`WriteOffset` of PostgreSQL's
    /// pg_backup_archiver.c).
    package var offsets: [(position: Int64, bytes: [UInt8])] {
        contents.offsetFields.compactMap { dumpID, field in
            blockStarts[dumpID].map { start in
                let digits = (0..<reader.values.offsetSize).map { UInt8(truncatingIfNeeded: start >> Int64(8 * $0)) }
                return (field, [2] + digits)
            }
        }.sorted { $0.0 < $1.0 }
    }

    /// The rows of each table that has data, in the order of the dump.
    ///
    /// - Throws: ``ErrorCode/dumpIncomplete`` unless the archive ended at the end of a block, with the data of every
    ///   entry that has some.
    package mutating func finish() throws(BackupError) -> [TableRowCount] {
        guard reader.isComplete else {
            throw incomplete("it ends after \(formatBytes(bytesBefore)), inside its table of contents")
        }
        guard case .blockType = place, !reader.values.isInsideValue else {
            let what =
                switch current {
                case .table(let index): "the data of \(tables[index].name)"
                case .largeObjects: "the large objects"
                case nil: "the head of a data block"
                }
            throw incomplete("it ends after \(formatBytes(bytesBefore)), inside \(what)")
        }
        guard awaited.isEmpty else {
            let missing = tables.first { awaited.contains($0.dumpID) }
            throw incomplete(
                "the data of \(awaited.count) of its entries is missing"
                    + (missing.map { ", first that of \($0.name)" } ?? " (large objects)"))
        }
        return tables.map(\.count)
    }

    private func incomplete(_ reason: String) -> BackupError {
        BackupError(
            .dumpIncomplete, "The archive that pg_dump wrote is not complete.", reason: reason,
            remedy: "Look at pg_dump's own messages and the server's log, then take the backup again.")
    }
}

extension ArchiveRowCounter {
    private enum Place: Sendable {
        case blockType, blockID, objectID, chunkLength
        case chunk(left: Int)
    }

    private enum CurrentBlock: Sendable {
        case table(Int)
        case largeObjects
    }

    /// The last bytes of a table's data so far.
    ///
    /// pg_dump ends it with a line `\.` and two empty lines.
    private struct CopyEnd: Sendable {
        static let length: Int64 = 5
        static let lineFeeds: Int64 = 3
        private static let whole: UInt64 = 0x5C_2E_0A_0A_0A

        private var last: UInt64 = 0

        var isWhole: Bool { last & 0xFF_FFFF_FFFF == Self.whole }

        /// Follows the end of the data through the chunks of one span, looking at few of its bytes.
        struct Tracker {
            private var base: CopyEnd
            /// Where the last chunk of five or more bytes ends.
            private var anchor = 0
            /// The bytes of the shorter chunks after it.
            private var since: UInt64 = 0
            private var bytesSince = 0

            init(_ end: CopyEnd) { base = end }

            mutating func pass(_ count: Int, endingAt stop: Int, in bytes: Span<UInt8>) {
                if count >= 5 {
                    anchor = stop
                    since = 0
                    bytesSince = 0
                } else {
                    for index in stop &- count..<stop { since = since &<< 8 | UInt64(bytes[index]) }
                    bytesSince &+= count
                }
            }

            func end(in bytes: Span<UInt8>) -> CopyEnd {
                var end = base
                if anchor > 0 {
                    for index in anchor - 5..<anchor { end.last = end.last << 8 | UInt64(bytes[index]) }
                }
                end.last = end.last << UInt64(8 * min(bytesSince, 5)) | since
                return end
            }
        }
    }

    private struct Table: Sendable {
        var dumpID: Int32
        var count: TableRowCount
        var name: String { "table '\(count.schema).\(count.table)'" }
    }

    private mutating func expectData() {
        awaited = reader.contents.withData
        for entry in reader.contents.entries where entry.description == "TABLE DATA" && awaited.contains(entry.dumpID) {
            tableOfDumpID[entry.dumpID] = tables.count
            tables.append(
                Table(dumpID: entry.dumpID, count: TableRowCount(schema: entry.namespace, table: entry.tag)))
        }
    }

    private mutating func beginBlock(_ type: UInt8, at position: inout Int) throws(BackupError) {
        switch type {
        case 1: current = nil
        case 3: current = .largeObjects
        default:
            throw ArchiveContentsReader.malformed("a block of type \(type) at byte \(bytesBefore + Int64(position))")
        }
        blockStart = bytesBefore + Int64(position)
        position += 1
        place = .blockID
    }

    private mutating func readBlockID(_ bytes: Span<UInt8>, _ position: inout Int) throws(BackupError) {
        guard let number = reader.values.integer(bytes, &position) else { return }
        guard let dumpID = Int32(exactly: number), awaited.remove(dumpID) != nil else {
            throw ArchiveContentsReader.malformed("data for an entry \(number) that has none, or has had it")
        }
        blockStarts[dumpID] = blockStart
        if case .largeObjects = current {
            place = .objectID
            return
        }
        guard let index = tableOfDumpID[dumpID] else {
            throw ArchiveContentsReader.malformed("table data for the entry \(number), which is no table")
        }
        current = .table(index)
        end = CopyEnd()
        place = .chunkLength
    }

    /// Large objects follow each other in one block, each with its number first; zero ends the block.
    private mutating func readObjectID(_ bytes: Span<UInt8>, _ position: inout Int) {
        guard let number = reader.values.integer(bytes, &position) else { return }
        if number == 0 {
            place = .blockType
        } else {
            largeObjects += 1
            place = .chunkLength
        }
    }

    private mutating func readChunkLength(_ bytes: Span<UInt8>, _ position: inout Int) throws(BackupError) {
        guard let length = reader.values.integer(bytes, &position) else { return }
        guard length >= 0 else { throw ArchiveContentsReader.malformed("a piece of data of \(length) bytes") }
        if length == 0 { try endStream() } else { place = .chunk(left: Int(length)) }
    }

    private mutating func endStream() throws(BackupError) {
        guard case .table(let index) = current else {
            place = .objectID
            return
        }
        guard end.isWhole else {
            throw incomplete("the data of \(tables[index].name) ends without '\\.'")
        }
        tables[index].count.rows -= CopyEnd.lineFeeds
        tables[index].count.bytes -= CopyEnd.length
        place = .blockType
    }

    /// Passes over as many chunks as `bytes` has, then counts the line feeds of all of them at once and subtracts those
    /// that stood in chunk lengths: pg_dump writes a chunk for every row, too short to be counted one by one.
    private mutating func countChunks(
        _ bytes: Span<UInt8>, _ position: inout Int, left: Int
    ) throws(BackupError) {
        let start = position
        var stop = position
        var left = left
        var lengthBytes = 0
        var lineFeedsInLengths = 0
        var isEndOfStream = false
        var tail = CopyEnd.Tracker(end)
        place = .chunkLength
        while true {
            let taken = min(left, bytes.count &- stop)
            stop &+= taken
            left &-= taken
            tail.pass(taken, endingAt: stop, in: bytes)
            if left > 0 { place = .chunk(left: left) }
            guard left == 0, reader.values.integerSize == 4, bytes.count &- stop >= 5, bytes[stop] == 0 else { break }
            let length =
                UInt32(bytes[stop &+ 1]) | UInt32(bytes[stop &+ 2]) &<< 8 | UInt32(bytes[stop &+ 3]) &<< 16
                | UInt32(bytes[stop &+ 4]) &<< 24
            lengthBytes &+= 5
            lineFeedsInLengths &+= Self.lineFeeds(inBytesOf: length)
            stop &+= 5
            if length == 0 {
                isEndOfStream = true
                break
            }
            left = Int(length)
        }
        position = stop
        if case .table(let index) = current {
            let lineFeeds = countLineFeeds(in: bytes.extracting(start..<stop)) - lineFeedsInLengths
            tables[index].count.rows += Int64(lineFeeds)
            tables[index].count.bytes += Int64(stop - start - lengthBytes)
            end = tail.end(in: bytes)
        }
        if isEndOfStream { try endStream() }
    }

    private static func lineFeeds(inBytesOf number: UInt32) -> Int {
        let others = number ^ 0x0A0A_0A0A
        let markers = ((others & 0x7F7F_7F7F) &+ 0x7F7F_7F7F) | others | 0x7F7F_7F7F
        return (~markers).nonzeroBitCount
    }
}
