/// CRC-32C (Castagnoli) over bytes that may come in pieces, as PostgreSQL's `INIT_`, `COMP_` and `FIN_CRC32C`.
///
/// PostgreSQL, src/include/port/pg_crc32c.h: reflected polynomial 0x1EDC6F41, initial value and final inversion of all
/// bits.
package struct CRC32C: Sendable, Hashable {
    private var register: UInt32 = .max

    /// The checksum of no bytes.
    package init() {}

    /// The checksum of the bytes so far.
    package var value: UInt32 { ~register }

    /// Takes in `bytes` after what was taken before.
    package mutating func update(_ bytes: some Sequence<UInt8>) {
        for byte in bytes {
            register = Self.table[Int(UInt8(truncatingIfNeeded: register) ^ byte)] ^ (register >> 8)
        }
    }

    /// The checksum of `bytes` alone.
    package static func checksum(of bytes: some Sequence<UInt8>) -> UInt32 {
        var sum = CRC32C()
        sum.update(bytes)
        return sum.value
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in (value & 1 == 0 ? 0 : 0x82F6_3B78) ^ (value >> 1) }
    }
}
