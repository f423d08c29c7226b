/// The name of one attempt of an operation, and of the backup it makes: UTC to the second and four hexadecimal digits
/// of chance, `20261121T020000Z-7f3a`.
///
/// Sorts by the second.
public struct RunID: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The whole name.
    public let text: String

    /// Returns `nil` unless `text` has the exact form.
    public init?(parsing text: some StringProtocol) {
        let bytes = Array(text.utf8)
        let form = Array("dddddddd\u{54}dddddd\u{5A}-hhhh".utf8)
        guard bytes.count == form.count else { return nil }
        for (byte, wanted) in zip(bytes, form) {
            let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            let isHex = isDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
            switch wanted {
            case UInt8(ascii: "d"): guard isDigit else { return nil }
            case UInt8(ascii: "h"): guard isHex else { return nil }
            default: guard byte == wanted else { return nil }
            }
        }
        self.text = String(text)
    }

    /// The name of a run that starts at `instant`; `chance` tells two of one second apart.
    public init(at instant: Timestamp, chance: UInt16) {
        let hex = String(chance, radix: 16)
        text = "\(instant.compact)-\(String(repeating: "0", count: 4 - hex.count))\(hex)"
    }

    /// When the run started, to the second: `20261121T020000Z`.
    public var second: Substring { text.prefix(while: { $0 != "-" }) }

    /// The name.
    public var description: String { text }

    /// Whether `lhs` sorts before `rhs`: by second, then by chance.
    public static func < (lhs: RunID, rhs: RunID) -> Bool {
        lhs.text.utf8.lexicographicallyPrecedes(rhs.text.utf8)
    }
}

extension RunID: CodedAsText {
    /// What an error calls the text.
    public static var codedForm: String { "a run id" }

    /// Reads the text that ``description`` is.
    public init?(codedText text: String) { self.init(parsing: text) }
}
