/// Reads the records of WAL from bytes that may be cut anywhere, from the beginning of a segment on.
///
/// The bytes of the next segment may follow, of the same timeline or of one that continues it. Memory is bounded by a
/// little more than a megabyte, whatever the records hold. What a page or a record must fulfil to be valid is what
/// PostgreSQL's own reader asks for (src/backend/access/transam/xlogreader.c); from the first that does not, everything
/// is ignored.
package struct WALReader: Sendable {
    /// Which records' checksums are computed.
    package enum Checksums: Sendable, Hashable {
        /// Those of the records that are reported. Of the others, length, resource manager and link are checked.
        case ofReportedRecords
        /// Those of all records.
        case ofAllRecords
    }

    /// The header of the first segment, once it was read.
    package var header: WALSegmentHeader? { pages.header }
    /// The timeline of the page that was read last; 0 if there is none.
    package var timeline: UInt32 { pages.timeline }
    /// Where the first record begins; a segment may have none, if a record of an earlier one goes on to its end.
    package private(set) var firstRecord: LogSequenceNumber?
    /// Where the last record begins that begins in the first segment and was read to its end.
    package private(set) var lastWholeRecord: LogSequenceNumber?
    /// What the first segment has of a record that begins before it.
    package private(set) var continuation: WALRecordPiece?
    /// How many records were read to their end.
    package private(set) var recordCount = 0

    private let checksums: Checksums
    private var step = Step.betweenRecords
    /// The position of the next byte.
    private var position: UInt64
    private var pages = WALPageSequence()
    /// Bytes of a record header that is cut.
    private var recordHeader: [UInt8] = []
    /// Where the record begins whose header is cut.
    private var recordStart: UInt64 = 0
    /// Where the last whole record begins; 0 if there was none yet.
    private var previous: UInt64 = 0
    private var body: WALRecordBody?
    private var checksum: CRC32C?
    private var ended: WALEnd?
    /// The position behind the first segment.
    private var endOfFirstSegment: UInt64 = 0

    private enum Step: Sendable {
        /// The rest of a record that begins before the first segment.
        case continuation(remaining: UInt32)
        case betweenRecords
        /// A record whose header is cut.
        case recordHeader
        case recordBody(WALRecordHeader, remaining: UInt32)
        /// What follows a switch, up to the end of the segment.
        case unused
    }

    /// Reads from `start` on, where a segment must begin.
    package init(from start: LogSequenceNumber, checksums: Checksums = .ofReportedRecords) {
        position = start.position
        self.checksums = checksums
    }

    /// The end of the valid WAL, once it was met.
    package var end: WALEnd? { ended }

    /// Takes the next bytes and calls `report` for each record of interest that ends in them.
    ///
    /// - Parameters:
    ///   - bytes: What follows the bytes taken before.
    ///   - report: Takes a record.
    package mutating func consume(_ bytes: Span<UInt8>, report: (WALRecord) -> Void) {
        var index = 0
        while index < bytes.count, ended == nil {
            if case .unused = step {
                skipUnused(bytes, &index)
                continue
            }
            guard isInsidePage else {
                readPageHeader(bytes, &index)
                continue
            }
            let room = pageSize &- Int(truncatingIfNeeded: position & UInt64(pageSize &- 1))
            let end = index &+ min(room, bytes.count &- index)
            switch step {
            case .betweenRecords: readRecords(bytes, &index, upTo: end, report)
            case .recordHeader: readHeader(bytes, &index, upTo: end, report)
            case .recordBody(let header, let remaining):
                readBody(header, remaining, bytes, &index, upTo: end, report)
            case .continuation(let remaining):
                let taken = UInt32(truncatingIfNeeded: min(end &- index, Int(remaining)))
                continuation?.append(bytes.extracting(index..<index &+ Int(taken)))
                skip(Int(taken), &index)
                step = taken == remaining ? .betweenRecords : .continuation(remaining: remaining &- taken)
            case .unused: break
            }
        }
    }

    /// Where and why the reading ended, given that no more bytes follow.
    package func finish() -> WALEnd {
        ended ?? WALEnd(position: nextRecord, reason: .inputEnded, unfinished: unfinishedRecord)
    }
}

// MARK: Pages

extension WALReader {
    private var pageSize: Int { header?.pageSize ?? 0 }

    /// Whether the next byte is behind a page's header.
    private var isInsidePage: Bool {
        guard let header else { return false }
        return !pages.isInsideHeader && position & UInt64(header.pageSize &- 1) != 0
    }

    private mutating func readPageHeader(_ bytes: Span<UInt8>, _ index: inout Int) {
        let isFirst = header == nil
        guard let page = pages.take(bytes, &index) else { return }
        var problem = pages.problem(of: page, at: position)
        if problem == nil { problem = self.problem(ofContinuationIn: page, isFirst: isFirst) }
        if let problem { return stop(.wrongPage(LogSequenceNumber(position: position), problem)) }
        if isFirst { endOfFirstSegment = endOfSegment(holding: position) }
        position &+= UInt64(page.size)
        if isFirst, page.flags.contains(.continuesRecord) {
            step = .continuation(remaining: page.remainingLength)
            continuation = WALRecordPiece()
        }
    }

    private mutating func problem(ofContinuationIn page: WALPageHeader, isFirst: Bool) -> WALEnd.PageProblem? {
        let continues = page.flags.contains(.continuesRecord)
        switch step {
        case .betweenRecords:
            return continues && !(isFirst && page.remainingLength > 0) ? .continuation(page.remainingLength) : nil
        case .unused: return nil
        case .continuation, .recordHeader, .recordBody:
            if page.flags.contains(.replacesContinuation) {
                forgetRecord()
                return continues ? .continuation(page.remainingLength) : nil
            }
            return continues && page.remainingLength == remainingOfRecord ? nil : .continuation(page.remainingLength)
        }
    }
}

// MARK: Records

extension WALReader {
    /// Skips what follows a switch, up to the end of the segment: PostgreSQL gives those pages no headers.
    private mutating func skipUnused(_ bytes: Span<UInt8>, _ index: inout Int) {
        let end = endOfSegment(holding: position)
        let count = min(UInt64(bytes.count &- index), end &- position)
        skip(Int(count), &index)
        if position == end { step = .betweenRecords }
    }

    /// The end of the segment that holds the byte at `position`.
    private func endOfSegment(holding position: UInt64) -> UInt64 {
        let size = header?.segmentSize.bytes ?? 1
        return (position | (size - 1)) &+ 1
    }

    /// Reads the records between `index` and `end`, which are in one page, and begins the one that goes on behind.
    private mutating func readRecords(
        _ bytes: Span<UInt8>, _ index: inout Int, upTo end: Int, _ report: (WALRecord) -> Void
    ) {
        let padding = Int(truncatingIfNeeded: (0 &- position) & 7)
        skip(min(padding, end &- index), &index)
        while end &- index >= WALRecordHeader.size {
            let length = Int(bytes.uint32(at: index))
            let padded = (length &+ 7) & ~7
            guard padded <= end &- index, length >= WALRecordHeader.size else { break }
            let header = WALRecordHeader(bytes, at: index, start: position)
            guard isValid(header) else { return }
            let range = index &+ WALRecordHeader.size..<index &+ length
            if let kind = header.kind {
                var checksum = CRC32C()
                checksum.update(bytes, range)
                guard header.matches(checksum) else { return stop(.wrongChecksum) }
                let body = bytes.extracting(range)
                guard let layout = WALRecordLayout(body, length: body.count, major: major),
                    let content = WALRecord.Content(
                        kind, header,
                        main: body.extracting(layout.mainOffset..<layout.mainOffset &+ layout.mainLength),
                        length: layout.mainLength, major: major)
                else { return stop(.malformedRecord) }
                skip(padded, &index)
                close(header, content, report)
                if kind == .segmentSwitch { return }
            } else {
                if checksums == .ofAllRecords {
                    var checksum = CRC32C()
                    checksum.update(bytes, range)
                    guard header.matches(checksum) else { return stop(.wrongChecksum) }
                }
                skip(padded, &index)
                close(header, nil, report)
            }
        }
        guard index < end else { return }
        recordStart = position
        step = .recordHeader
        readHeader(bytes, &index, upTo: end, report)
    }

    /// Gathers the header of a record that is cut by the end of the page or of the bytes, or that is not valid.
    private mutating func readHeader(
        _ bytes: Span<UInt8>, _ index: inout Int, upTo end: Int, _ report: (WALRecord) -> Void
    ) {
        while recordHeader.count < WALRecordHeader.size, index < end {
            recordHeader.append(bytes[index])
            skip(1, &index)
            guard recordHeader.count == 4 else { continue }
            let length = recordHeader.span.uint32(at: 0)
            if length == 0 { return stop(.zeroLength) }
            guard (UInt32(WALRecordHeader.size)...WALRecordHeader.greatestLength).contains(length) else {
                return stop(.wrongLength(length))
            }
        }
        guard recordHeader.count == WALRecordHeader.size else { return }
        let header = WALRecordHeader(recordHeader.span, at: 0, start: recordStart)
        guard isValid(header) else { return }
        recordHeader.removeAll(keepingCapacity: true)
        let length = header.totalLength - UInt32(WALRecordHeader.size)
        if let kind = header.kind {
            body = WALRecordBody(kind, length: Int(length), major: major)
            checksum = CRC32C()
        } else if checksums == .ofAllRecords {
            checksum = CRC32C()
        }
        step = .recordBody(header, remaining: length)
        if length == 0 { finishRecord(header, report) }
    }

    private mutating func readBody(
        _ header: WALRecordHeader, _ remaining: UInt32, _ bytes: Span<UInt8>, _ index: inout Int, upTo end: Int,
        _ report: (WALRecord) -> Void
    ) {
        let taken = min(end &- index, Int(remaining))
        checksum?.update(bytes, index..<index &+ taken)
        body?.append(bytes.extracting(index..<index &+ taken))
        skip(taken, &index)
        let left = remaining &- UInt32(truncatingIfNeeded: taken)
        step = .recordBody(header, remaining: left)
        if left == 0 { finishRecord(header, report) }
    }

    /// Checks and reports a record that was read in pieces.
    private mutating func finishRecord(_ header: WALRecordHeader, _ report: (WALRecord) -> Void) {
        if let checksum, !header.matches(checksum) { return stop(.wrongChecksum) }
        let content = body?.content(header)
        guard (body == nil) == (content == nil) else { return stop(.malformedRecord) }
        forgetRecord()
        close(header, content, report)
    }

    /// Goes on behind a whole record; `position` is where it ends.
    private mutating func close(
        _ header: WALRecordHeader, _ content: WALRecord.Content?, _ report: (WALRecord) -> Void
    ) {
        previous = header.start
        if recordCount == 0 { firstRecord = LogSequenceNumber(position: header.start) }
        if header.start < endOfFirstSegment {
            lastWholeRecord = LogSequenceNumber(position: header.start)
        }
        recordCount &+= 1
        guard let content else { return }
        var end = (position &+ 7) & ~7
        if content == .segmentSwitch {
            end = endOfSegment(holding: header.start)
            step = end == position ? .betweenRecords : .unused
        }
        report(
            WALRecord(
                start: LogSequenceNumber(position: header.start), end: LogSequenceNumber(position: end),
                transactionID: header.transactionID, content: content))
    }

    private var major: Int { header?.major ?? 0 }

    /// Whether a record's header may follow the record before; stops the reading if not.
    private mutating func isValid(_ header: WALRecordHeader) -> Bool {
        guard header.hasKnownResourceManager(major: major) else {
            stop(.wrongResourceManager(header.resourceManager))
            return false
        }
        guard recordCount > 0 ? header.previous == previous : header.previous < header.start else {
            stop(.wrongPreviousRecord(LogSequenceNumber(position: header.previous)))
            return false
        }
        return true
    }

    @inline(__always)
    private mutating func skip(_ count: Int, _ index: inout Int) {
        index &+= count
        position &+= UInt64(truncatingIfNeeded: count)
    }

    private mutating func forgetRecord() {
        step = .betweenRecords
        body = nil
        checksum = nil
        recordHeader.removeAll(keepingCapacity: true)
    }

    /// The bytes of the record being read that are still to come.
    private var remainingOfRecord: UInt32 {
        switch step {
        case .continuation(let remaining), .recordBody(_, let remaining): remaining
        case .recordHeader where recordHeader.count >= 4:
            recordHeader.span.uint32(at: 0) - UInt32(recordHeader.count)
        case .recordHeader, .betweenRecords, .unused: 0
        }
    }

    private var unfinishedRecord: UnfinishedRecord? {
        switch step {
        case .continuation(let remaining):
            UnfinishedRecord(start: nil, totalLength: nil, missingBytes: remaining, mayBeReported: true)
        case .recordBody(let header, let remaining):
            UnfinishedRecord(
                start: LogSequenceNumber(position: header.start), totalLength: header.totalLength,
                missingBytes: remaining, mayBeReported: header.kind != nil)
        case .recordHeader where recordHeader.count >= 4:
            UnfinishedRecord(
                start: LogSequenceNumber(position: recordStart), totalLength: recordHeader.span.uint32(at: 0),
                missingBytes: remainingOfRecord, mayBeReported: true)
        case .recordHeader, .betweenRecords, .unused: nil
        }
    }

    /// Where the last record begins, whole or not, if there is one.
    package var lastRecord: LogSequenceNumber? {
        switch step {
        case .recordHeader: LogSequenceNumber(position: recordStart)
        case .recordBody(let header, _): LogSequenceNumber(position: header.start)
        case .continuation, .betweenRecords, .unused:
            recordCount > 0 ? LogSequenceNumber(position: previous) : nil
        }
    }

    /// What there is of the last record, if it may be one that is reported and was not read to its end.
    package var unfinishedPiece: WALRecordPiece? {
        switch step {
        case .recordHeader: return WALRecordPiece(recordHeader)
        case .recordBody(let header, _):
            guard let body, let checksum else { return nil }
            let front = header.bytes
            return WALRecordPiece(
                length: UInt64(front.count + body.position),
                checksum: CRC32C.joined(
                    CRC32C.checksum(of: front), checksum.value, length: UInt64(body.position)),
                first: front + body.headers)
        case .continuation, .betweenRecords, .unused: return nil
        }
    }

    /// Where the first record begins that was not read to its end.
    private var nextRecord: LogSequenceNumber {
        let start =
            switch step {
            case .recordHeader: recordStart
            case .recordBody(let header, _): header.start
            case .betweenRecords, .continuation: (position &+ 7) & ~7
            case .unused: endOfSegment(holding: position)
            }
        return LogSequenceNumber(position: start)
    }

    private mutating func stop(_ reason: WALEnd.Reason) {
        var unfinished: UnfinishedRecord?
        if case .wrongPage = reason { unfinished = unfinishedRecord }
        ended = WALEnd(position: nextRecord, reason: reason, unfinished: unfinished)
        forgetRecord()
    }
}
