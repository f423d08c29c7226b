/// What a text that may be a time says.
public enum TimeText: Sendable, Hashable {
    /// A time with an offset.
    case instant(Timestamp)
    /// A date and time without an offset, read as if it were UTC: what it means depends on whose clock is meant.
    case withoutOffset(asUTC: Timestamp)
    /// No time at all.
    case notATime

    /// Reads `2025-01-27T14:30:00Z`, `2025-01-27 14:30:00+00`, `2025-01-27 14:30:00.123456+05:30` and the forms without
    /// seconds or offset; a date alone is no time.
    public static func parse(_ text: String) -> TimeText {
        var scanner = DigitScanner(text)
        guard let year = scanner.digits(4), scanner.skip("-"), let month = scanner.digits(2), scanner.skip("-"),
            let day = scanner.digits(2), scanner.skip("T") || scanner.skip("t") || scanner.skip(" "),
            let hour = scanner.digits(2), scanner.skip(":"), let minute = scanner.digits(2)
        else { return .notATime }
        var parts = Timestamp.Parts(year: year, month: month, day: day, hour: hour, minute: minute)
        if scanner.skip(":") {
            guard let second = scanner.digits(2) else { return .notATime }
            parts.second = second
            if scanner.skip(".") {
                guard let fraction = scanner.fraction() else { return .notATime }
                parts.microsecond = fraction
            }
        }
        guard (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, parts.second < 60 else {
            return .notATime
        }
        let local = Timestamp(parts)
        guard local.parts.day == day else { return .notATime }
        if scanner.isAtEnd { return .withoutOffset(asUTC: local) }
        _ = scanner.skip(" ")
        guard let offset = scanner.offset(), scanner.isAtEnd else { return .notATime }
        return .instant(local.advanced(by: .seconds(-offset)))
    }
}

/// Reads digits and single characters off the front of a text.
private struct DigitScanner {
    private var rest: Substring.UTF8View

    init(_ text: String) { rest = Substring(text).utf8 }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ character: Character) -> Bool {
        guard let first = rest.first, first == character.asciiValue else { return false }
        rest.removeFirst()
        return true
    }

    mutating func digits(_ count: Int) -> Int? {
        guard rest.count >= count else { return nil }
        var value = 0
        for byte in rest.prefix(count) {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        rest.removeFirst(count)
        return value
    }

    /// One to nine digits after the point, as microseconds; digits beyond the sixth are cut off.
    mutating func fraction() -> Int? {
        var value = 0
        var count = 0
        while count < 9, let digit = digits(1) {
            if count < 6 { value = value * 10 + digit }
            count += 1
        }
        guard count > 0 else { return nil }
        for _ in min(count, 6)..<6 { value *= 10 }
        return value
    }

    /// `Z`, `UTC`, `+00`, `+0530`, `+05:30`, in seconds east of UTC.
    mutating func offset() -> Int? {
        if skip("Z") || skip("z") { return 0 }
        if rest.elementsEqual("UTC".utf8) || rest.elementsEqual("utc".utf8) {
            rest.removeFirst(3)
            return 0
        }
        let sign: Int
        if skip("+") { sign = 1 } else if skip("-") { sign = -1 } else { return nil }
        guard let hours = digits(2), hours <= 15 else { return nil }
        let hasColon = skip(":")
        let minutes = isAtEnd && !hasColon ? 0 : digits(2)
        guard let minutes, minutes < 60 else { return nil }
        return sign * (hours * 3600 + minutes * 60)
    }
}
