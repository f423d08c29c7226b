/// A few bytes as they stand in JSON: lower-case hexadecimal digits, two for each byte.
package struct HexBytes: Sendable, Hashable {
    /// The bytes.
    package let bytes: [UInt8]

    /// The most bytes that are read from text.
    package static let limit = 4096

    /// These bytes.
    package init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    /// Returns `nil` unless `hex` is an even number of lower-case hexadecimal digits for at most ``limit`` bytes.
    package init?(hex: some StringProtocol) {
        guard hex.utf8.count <= 2 * Self.limit, hex.utf8.count.isMultiple(of: 2) else { return nil }
        let digits = hex.utf8.compactMap(Self.value)
        guard digits.count == hex.utf8.count else { return nil }
        bytes = stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}

extension HexBytes: CustomStringConvertible {
    /// The hexadecimal digits.
    package var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

extension HexBytes: CodedAsText {
    /// What an error calls the text.
    package static var codedForm: String { "a few bytes in hexadecimal digits" }

    /// Reads the text that ``description`` is.
    package init?(codedText text: String) { self.init(hex: text) }
}
