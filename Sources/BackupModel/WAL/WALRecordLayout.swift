/// Where the main data of a WAL record are: at its end, behind the references to blocks, their page images and their
/// data (PostgreSQL, src/include/access/xlogrecord.h).
struct WALRecordLayout: Sendable, Hashable {
    /// Where they begin, counted from the end of the record's fixed header.
    let mainOffset: Int
    let mainLength: Int

    /// The most bytes that the headers of blocks and data can take: 33 blocks of 27, the origin, the top-level
    /// transaction and the length of the main data.
    static let mostHeaderBytes = 1024

    /// Reads the headers at the beginning of a record's body; `nil` if they do not fit the body.
    ///
    /// - Parameters:
    ///   - body: The body behind the fixed header, or at least its first ``mostHeaderBytes``.
    ///   - length: The length of the whole body.
    ///   - major: PostgreSQL's major version.
    init?(_ body: Span<UInt8>, length: Int, major: Int) {
        var offset = 0
        var dataLength = 0
        var mainLength = 0
        var nextBlock: UInt8 = 0
        headers: while length - offset > dataLength {
            guard offset < body.count else { return nil }
            let id = body[offset]
            offset += 1
            switch id {
            case 255:
                guard offset + 1 <= body.count else { return nil }
                mainLength = Int(body[offset])
                offset += 1
                break headers
            case 254:
                guard offset + 4 <= body.count else { return nil }
                mainLength = Int(body.uint32(at: offset))
                offset += 4
                break headers
            case 253: offset += 2
            case 252: offset += 4
            case let block where (nextBlock..<33).contains(block):
                guard let block = BlockReference(body, at: offset, major: major) else { return nil }
                offset += block.headerLength
                dataLength += block.dataLength
                nextBlock = id + 1
            default: return nil
            }
        }
        guard offset + dataLength + mainLength == length else { return nil }
        mainOffset = offset + dataLength
        self.mainLength = mainLength
    }
}

/// The header of a reference to a block of a relation.
private struct BlockReference {
    /// The bytes of the header behind its identifier.
    var headerLength = 3
    /// The bytes of the page image and of the data that belong to it.
    var dataLength: Int

    init?(_ body: Span<UInt8>, at offset: Int, major: Int) {
        guard offset + headerLength <= body.count else { return nil }
        let flags = body[offset]
        dataLength = Int(body.uint16(at: offset + 1))
        if flags & 0x10 != 0 {
            guard offset + headerLength + 5 <= body.count else { return nil }
            dataLength += Int(body.uint16(at: offset + headerLength))
            let image = body[offset + headerLength + 4]
            headerLength += 5
            // Version 15 moved the bit for "compressed" to make room for three algorithms.
            let isCompressed = image & (major < 15 ? 0x02 : 0x1C) != 0
            if isCompressed && image & 0x01 != 0 { headerLength += 2 }
        }
        if flags & 0x80 == 0 { headerLength += 12 }
        headerLength += 4
        guard offset + headerLength <= body.count else { return nil }
    }
}
