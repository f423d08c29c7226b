/// A position in the write-ahead log, as PostgreSQL prints it: two hexadecimal numbers, `16/B374D848`.
public struct LogSequenceNumber: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The byte position since the beginning of the log.
    public var position: UInt64

    /// The position `position` bytes after the beginning of the log.
    public init(position: UInt64) { self.position = position }

    /// Returns `nil` unless `text` is two hexadecimal numbers of one to eight digits with a slash between them.
    public init?(parsing text: some StringProtocol) {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2, halves.allSatisfy({ (1...8).contains($0.utf8.count) && $0.allSatisfy(\.isHexDigit) }),
            let high = UInt32(halves[0], radix: 16), let low = UInt32(halves[1], radix: 16)
        else { return nil }
        position = UInt64(high) << 32 | UInt64(low)
    }

    /// PostgreSQL's form.
    public var description: String {
        let high = String(position >> 32, radix: 16, uppercase: true)
        let low = String(position & 0xFFFF_FFFF, radix: 16, uppercase: true)
        return "\(high)/\(low)"
    }

    /// Whether `lhs` is before `rhs`.
    public static func < (lhs: Self, rhs: Self) -> Bool { lhs.position < rhs.position }
}

extension LogSequenceNumber: CodedAsText {
    /// What an error calls the text.
    public static var codedForm: String { "an LSN" }

    /// Reads the text that ``description`` is.
    public init?(codedText text: String) { self.init(parsing: text) }
}
