/// A decimal number as text, compared exactly: no digit of PostgreSQL's `numeric` or `bigint` is lost.
struct DecimalText: Comparable {
    private let isNegative: Bool
    /// Digits without leading or trailing zeros; empty for zero.
    private let digits: [UInt8]
    /// The number of digits before the point, which may be negative.
    private let exponent: Int

    /// Returns `nil` unless `text` is a number: a sign, digits, a fraction and an exponent of at most four digits.
    init?(_ text: String) {
        var rest = text.utf8[...]
        let sign = rest.first
        if sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest = rest.dropFirst() }
        let whole = Self.takeDigits(&rest)
        var fraction: [UInt8] = []
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            fraction = Self.takeDigits(&rest)
            guard !fraction.isEmpty else { return nil }
        }
        guard !whole.isEmpty else { return nil }
        var power = 0
        if let mark = rest.first, mark | 0x20 == UInt8(ascii: "e") {
            guard let value = Int(Substring(rest.dropFirst())), value.magnitude <= 9999 else { return nil }
            power = value
            rest = rest.suffix(0)
        }
        guard rest.isEmpty else { return nil }
        let all = whole + fraction
        let significant = all.drop { $0 == UInt8(ascii: "0") }
        let end = significant.lastIndex { $0 != UInt8(ascii: "0") }
        digits = end.map { Array(significant[...$0]) } ?? []
        exponent = digits.isEmpty ? 0 : whole.count - (all.count - significant.count) + power
        isNegative = sign == UInt8(ascii: "-") && !digits.isEmpty
    }

    static func < (lhs: Self, rhs: Self) -> Bool {
        if lhs.isNegative != rhs.isNegative { return lhs.isNegative }
        return lhs.isNegative ? rhs.magnitudeIsLess(than: lhs) : lhs.magnitudeIsLess(than: rhs)
    }

    private func magnitudeIsLess(than other: Self) -> Bool {
        if digits.isEmpty || other.digits.isEmpty { return digits.isEmpty && !other.digits.isEmpty }
        if exponent != other.exponent { return exponent < other.exponent }
        return digits.lexicographicallyPrecedes(other.digits)
    }

    private static func takeDigits(_ rest: inout Substring.UTF8View) -> [UInt8] {
        let digits = Array(rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        rest = rest.dropFirst(digits.count)
        return digits
    }
}
