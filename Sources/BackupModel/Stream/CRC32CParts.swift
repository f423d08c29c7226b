/// Checksums of bytes that were never together: that of two parts follows from those of the parts.
///
/// A checksum is the remainder of a polynomial over GF(2); bytes that follow multiply it by x to the power of eight for
/// each of them, and what they are is added to it. The complement before and after cancels out.
extension CRC32C {
    /// The checksum of two parts that follow each other, of which the second has `length` bytes.
    package static func joined(_ first: UInt32, _ second: UInt32, length: UInt64) -> UInt32 {
        product(first, power(ofBytes: length)) ^ second
    }

    /// The checksum of the `length` bytes that remain of `whole` without the first part.
    package static func remainder(_ whole: UInt32, without first: UInt32, length: UInt64) -> UInt32 {
        product(first, power(ofBytes: length)) ^ whole
    }

    /// 1, in the reflected order of coefficients: the highest bit is that of x to the power of 0.
    private static let one: UInt32 = 1 << 31
    /// x to the power of 8.
    private static let oneByte: UInt32 = 1 << 23

    /// x to the power of eight times `count`, modulo the polynomial.
    private static func power(ofBytes count: UInt64) -> UInt32 {
        var power = one
        var square = oneByte
        var rest = count
        while rest > 0 {
            if rest & 1 == 1 { power = product(power, square) }
            square = product(square, square)
            rest >>= 1
        }
        return power
    }

    /// The product of two polynomials modulo that of the checksum.
    private static func product(_ first: UInt32, _ second: UInt32) -> UInt32 {
        var product: UInt32 = 0
        var shifted = second
        for degree in 0..<UInt32(32) {
            if first & one >> degree != 0 { product ^= shifted }
            shifted = shifted >> 1 ^ (shifted & 1) &* 0x82F6_3B78
        }
        return product
    }
}
