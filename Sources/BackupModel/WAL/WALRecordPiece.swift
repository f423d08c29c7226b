/// What one segment has of a record that a segment's end cuts: enough to know, with the other pieces, what the record
/// says and whether its checksum is right.
///
/// Page headers are no part of it.
package struct WALRecordPiece: Sendable, Hashable, Codable {
    /// How many bytes of the record the segment has.
    package private(set) var length: UInt64
    /// CRC-32C of all of them.
    package private(set) var checksum: UInt32
    /// The first of them: all, or ``keptBytes``.
    package private(set) var first: HexBytes

    /// How much of a piece is kept, at most.
    ///
    /// Whatever a summary says of a record is in its first 332 bytes: the longest is a heartbeat, whose text begins
    /// behind 24 bytes of the record's header, at most 13 of headers of data (PostgreSQL,
    /// src/include/access/xlogrecord.h), 24 of the message's header and 15 of its prefix.
    package static let keptBytes = 384

    /// A piece of no bytes yet.
    package init() {
        length = 0
        checksum = 0
        first = HexBytes([])
    }

    /// A piece of these bytes.
    package init(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        self.init(length: UInt64(bytes.count), checksum: CRC32C.checksum(of: bytes), first: bytes)
    }

    /// A piece of `length` bytes of which `first` are the first ones, at least as many as are kept.
    init(length: UInt64, checksum: UInt32, first: [UInt8]) {
        self.length = length
        self.checksum = checksum
        self.first = HexBytes(first.prefix(Self.keptBytes))
    }

    /// Reads a piece, of which as many of the first bytes have to be there as it must have.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        length = try container.decode(UInt64.self, forKey: .length)
        checksum = try container.decode(UInt32.self, forKey: .checksum)
        first = try container.decode(HexBytes.self, forKey: .first)
        guard length <= UInt64(WALRecordHeader.greatestLength), first.bytes.count == min(Int(length), Self.keptBytes)
        else {
            throw DecodingError.dataCorruptedError(
                forKey: .first, in: container,
                debugDescription: "\(first.bytes.count) bytes are not the first of \(length)")
        }
    }

    /// Adds bytes that follow in the same segment.
    mutating func append(_ bytes: Span<UInt8>) {
        let room = min(Self.keptBytes - first.bytes.count, bytes.count)
        if room > 0 { first = HexBytes(first.bytes + (0..<room).map { bytes[$0] }) }
        var sum = CRC32C(continuing: checksum)
        sum.update(bytes, 0..<bytes.count)
        checksum = sum.value
        length += UInt64(bytes.count)
    }

    /// This piece and the one that follows it, as one.
    package func followed(by next: WALRecordPiece) -> WALRecordPiece {
        let room = Self.keptBytes - first.bytes.count
        return WALRecordPiece(
            length: length &+ next.length, checksum: CRC32C.joined(checksum, next.checksum, length: next.length),
            first: first.bytes + next.first.bytes.prefix(room))
    }
}

extension WALRecordPiece {
    /// What a record says whose pieces this is, all of them.
    enum Reading: Sendable, Hashable {
        /// It is valid and says this; `nil` for one that is not reported.
        case record(transactionID: UInt32, WALRecord.Content?)
        /// It is none, for this reason.
        case invalid(WALEnd.Reason)
    }

    /// Reads the record at `start`, all of which this piece is.
    ///
    /// Its checksum is that of all its bytes, also of those that were not kept, so that what is said of the kept ones is
    /// as certain as if the record had been read whole.
    func reading(start: LogSequenceNumber, major: Int) -> Reading {
        let kept = first.bytes.span
        guard kept.count >= WALRecordHeader.size else { return .invalid(.wrongLength(UInt32(clamping: length))) }
        let header = WALRecordHeader(kept, at: 0, start: start.position)
        guard UInt64(header.totalLength) == length else { return .invalid(.wrongLength(header.totalLength)) }
        guard header.hasKnownResourceManager(major: major) else {
            return .invalid(.wrongResourceManager(header.resourceManager))
        }
        guard header.previous < header.start else {
            return .invalid(.wrongPreviousRecord(LogSequenceNumber(position: header.previous)))
        }
        let bodyLength = length - UInt64(WALRecordHeader.size)
        let front = CRC32C.checksum(of: first.bytes.prefix(WALRecordHeader.size))
        let body = CRC32C(continuing: CRC32C.remainder(checksum, without: front, length: bodyLength))
        guard header.matches(body) else { return .invalid(.wrongChecksum) }
        guard let kind = header.kind else { return .record(transactionID: header.transactionID, nil) }
        let keptBody = kept.extracting(droppingFirst: WALRecordHeader.size)
        guard let layout = WALRecordLayout(keptBody, length: Int(bodyLength), major: major),
            layout.mainOffset <= keptBody.count
        else { return .invalid(.malformedRecord) }
        let main = keptBody.extracting(droppingFirst: layout.mainOffset)
        guard
            let content = WALRecord.Content(
                kind, header, main: main.extracting(first: layout.mainLength), length: layout.mainLength, major: major)
        else { return .invalid(.malformedRecord) }
        return .record(transactionID: header.transactionID, content)
    }
}
