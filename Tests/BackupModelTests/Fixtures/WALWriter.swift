/// Writes WAL as PostgreSQL does: records after each other, over pages and segments.
struct WALWriter {
    private(set) var bytes: [UInt8] = []
    let start: UInt64
    let magic: UInt16
    var timeline: UInt32 = 1
    var systemIdentifier: UInt64 = 7_000_000_000_000_000_001
    var segmentSize: UInt32 = 1 << 20
    var pageSize: UInt32 = 8192
    /// Where the last record begins.
    var previous: UInt64

    init(start: UInt64 = 0x300_0000, magic: UInt16 = 0xD118) {
        self.start = start
        self.magic = magic
        previous = start - 0x100
    }

    var position: UInt64 { start + UInt64(bytes.count) }

    /// Writes a record and returns where it begins; `data` is everything behind its fixed header.
    @discardableResult mutating func record(
        _ resourceManager: UInt8, _ info: UInt8, xid: UInt32 = 0, _ data: [UInt8], previous link: UInt64? = nil
    ) -> UInt64 {
        align()
        if position % UInt64(pageSize) == 0 { header(remaining: nil) }
        let begin = position
        var front: [UInt8] = []
        front.number(UInt32(24 + data.count))
        front.number(xid)
        front.number(link ?? previous)
        front += [info, resourceManager, 0, 0]
        let checksum = slowCRC32C(data + front)
        front.number(checksum)
        raw(front + data)
        previous = begin
        return begin
    }

    /// Writes bytes of a record, with the headers of the pages that they reach.
    private mutating func raw(_ record: [UInt8]) {
        for (index, byte) in record.enumerated() {
            if position % UInt64(pageSize) == 0 { header(remaining: UInt32(record.count - index)) }
            bytes.append(byte)
        }
        align()
    }

    /// Writes the header of a page; `remaining` bytes of a record go on in it.
    mutating func header(remaining: UInt32?, extraFlags: UInt16 = 0, address: UInt64? = nil) {
        let isLong = position % UInt64(segmentSize) == 0
        let begin = address ?? position
        bytes.number(magic)
        bytes.number((remaining == nil ? 0 : 1) | (isLong ? 2 : 0) | extraFlags)
        bytes.number(timeline)
        bytes.number(begin)
        bytes.number(remaining ?? 0)
        bytes.number(UInt32(0))
        guard isLong else { return }
        bytes.number(systemIdentifier)
        bytes.number(segmentSize)
        bytes.number(pageSize)
    }

    mutating func align() { while position % 8 != 0 { bytes.append(0) } }

    mutating func zeros(upTo end: UInt64) { while position < end { bytes.append(0) } }

    /// Main data of less than 256 bytes, or more, with the header that they have.
    static func main(_ data: [UInt8]) -> [UInt8] {
        guard data.count > 255 else { return [255, UInt8(data.count)] + data }
        var bytes: [UInt8] = [254]
        bytes.number(UInt32(data.count))
        return bytes + data
    }

    @discardableResult mutating func commit(xid: UInt32, at time: Int64) -> UInt64 {
        var data: [UInt8] = []
        data.number(UInt64(bitPattern: time))
        return record(1, 0, xid: xid, Self.main(data))
    }

    @discardableResult mutating func message(_ prefix: String, _ payload: [UInt8], isTransactional: Bool = false)
        -> UInt64
    {
        var data: [UInt8] = [5, 0, 0, 0, isTransactional ? 1 : 0, 0, 0, 0]
        data.number(UInt64(prefix.utf8.count + 1))
        data.number(UInt64(payload.count))
        return record(21, 0, xid: 9, Self.main(data + Array(prefix.utf8) + [0] + payload))
    }

    /// A record of another resource manager, of this many bytes behind its header.
    @discardableResult mutating func filler(_ size: Int) -> UInt64 {
        record(10, 0, xid: 9, [UInt8](repeating: 0xAA, count: size))
    }
}

extension [UInt8] {
    /// Adds a number, least significant byte first.
    mutating func number(_ value: some FixedWidthInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}

/// CRC-32C bit by bit.
func slowCRC32C(_ bytes: [UInt8]) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
    }
    return ~crc
}
