/// CRC-32C (Castagnoli; polynomial 0x1EDC6F41, reflected) over bytes that may come in pieces, as PostgreSQL computes it for
/// WAL records and its control file (src/include/port/pg_crc32c.h).
///
/// Eight table lookups for eight bytes at a time (Kounavis and Berry, "A Systematic Approach to Building High
/// Performance Software-Based CRC Generators", 2005).
package struct CRC32C: Sendable, Hashable {
    private var state: UInt32 = .max

    /// The checksum of no bytes.
    package init() {}

    /// The checksum of bytes of which `value` is that of those that came before.
    package init(continuing value: UInt32) { state = ~value }

    /// The checksum of all bytes so far.
    package var value: UInt32 { ~state }

    /// The checksum of `bytes` alone.
    package static func checksum(of bytes: some Sequence<UInt8>) -> UInt32 {
        var sum = CRC32C()
        sum.update(bytes)
        return sum.value
    }

    /// Takes in `bytes`, one by one: for few of them.
    package mutating func update(_ bytes: some Sequence<UInt8>) {
        for byte in bytes {
            state = Self.tables[Int(truncatingIfNeeded: (state ^ UInt32(byte)) & 0xFF)] ^ state >> 8
        }
    }

    /// Takes the bytes in `range`, which has to be inside `bytes`.
    mutating func update(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        let tables = Self.tables.span.extracting(0..<2048)
        var crc = state
        var index = range.lowerBound
        while index &+ 8 <= range.upperBound {
            crc = Self.step(crc, bytes.uint64(at: index), tables)
            index &+= 8
        }
        while index < range.upperBound {
            crc = tables[Int(truncatingIfNeeded: (crc ^ UInt32(bytes[index])) & 0xFF)] ^ crc >> 8
            index &+= 1
        }
        state = crc
    }

    /// Takes eight bytes, the lowest first.
    mutating func update(_ bytes: UInt64) {
        state = Self.step(state, bytes, Self.tables.span.extracting(0..<2048))
    }

    /// Takes four bytes, the lowest first.
    mutating func update(_ word: UInt32) {
        let tables = Self.tables.span
        var crc = state ^ word
        for _ in 0..<4 { crc = tables[Int(truncatingIfNeeded: crc & 0xFF)] ^ crc >> 8 }
        state = crc
    }

    @inline(__always)
    private static func step(_ crc: UInt32, _ bytes: UInt64, _ tables: Span<UInt32>) -> UInt32 {
        let bytes = bytes ^ UInt64(crc)
        return tables[1792 | Int(truncatingIfNeeded: bytes & 0xFF)]
            ^ tables[1536 | Int(truncatingIfNeeded: bytes >> 8 & 0xFF)]
            ^ tables[1280 | Int(truncatingIfNeeded: bytes >> 16 & 0xFF)]
            ^ tables[1024 | Int(truncatingIfNeeded: bytes >> 24 & 0xFF)]
            ^ tables[768 | Int(truncatingIfNeeded: bytes >> 32 & 0xFF)]
            ^ tables[512 | Int(truncatingIfNeeded: bytes >> 40 & 0xFF)]
            ^ tables[256 | Int(truncatingIfNeeded: bytes >> 48 & 0xFF)]
            ^ tables[Int(truncatingIfNeeded: bytes >> 56)]
    }

    /// Eight tables of 256: the k-th is for a byte with k bytes behind it.
    private static let tables: [UInt32] = {
        var tables = (0..<256).map { (byte: UInt32) in
            (0..<8).reduce(byte) { crc, _ in crc >> 1 ^ (crc & 1) &* 0x82F6_3B78 }
        }
        for index in 256..<2048 {
            let before = tables[index - 256]
            tables.append(tables[Int(before & 0xFF)] ^ before >> 8)
        }
        return tables
    }()
}
