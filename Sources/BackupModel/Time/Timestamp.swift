/// An instant in UTC, to the microsecond, as PostgreSQL's `timestamptz` holds it.
public struct Timestamp: Sendable, Hashable, Comparable {
    /// Microseconds since 1970-01-01T00:00:00Z.
    public var microseconds: Int64

    /// The instant `microseconds` after 1970-01-01T00:00:00Z.
    public init(microseconds: Int64) { self.microseconds = microseconds }

    /// Whether `lhs` is before `rhs`.
    public static func < (lhs: Timestamp, rhs: Timestamp) -> Bool { lhs.microseconds < rhs.microseconds }

    /// The time from `start` to this instant; negative when this instant is earlier.
    public func since(_ start: Timestamp) -> Duration { .microseconds(microseconds - start.microseconds) }

    /// This instant moved by `duration`, which may be negative.
    public func advanced(by duration: Duration) -> Timestamp {
        Timestamp(microseconds: microseconds + duration.wholeMicroseconds)
    }
}

extension Timestamp {
    /// The parts of a UTC date and time of day.
    public struct Parts: Sendable, Hashable {
        /// The year, for example 2026.
        public var year: Int
        /// The month, 1…12.
        public var month: Int
        /// The day of the month, 1…31.
        public var day: Int
        /// The hour, 0…23.
        public var hour = 0
        /// The minute, 0…59.
        public var minute = 0
        /// The second, 0…59.
        public var second = 0
        /// The microsecond, 0…999,999.
        public var microsecond = 0
    }

    /// The instant of a UTC date and time of day; values outside their range carry over.
    public init(_ parts: Parts) {
        let seconds =
            Self.daysFromCivil(year: parts.year, month: parts.month, day: parts.day) * 86_400
            + parts.hour * 3600 + parts.minute * 60 + parts.second
        self.init(microseconds: Int64(seconds) * 1_000_000 + Int64(parts.microsecond))
    }

    /// This instant's UTC date and time of day.
    public var parts: Parts {
        let (seconds, fraction) = microseconds.flooredDivision(by: 1_000_000)
        let (days, rest) = seconds.flooredDivision(by: 86_400)
        var parts = Self.civilFromDays(Int(days))
        parts.hour = Int(rest / 3600)
        parts.minute = Int(rest / 60 % 60)
        parts.second = Int(rest % 60)
        parts.microsecond = Int(fraction)
        return parts
    }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar.
    ///
    /// The algorithm is days_from_civil of H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    static func daysFromCivil(year: Int, month: Int, day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// The date of a day since 1970-01-01 (same source, civil_from_days).
    static func civilFromDays(_ days: Int) -> Parts {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        return Parts(
            year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month: month,
            day: dayOfYear - (153 * monthIndex + 2) / 5 + 1)
    }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC: `2026-11-21T02:00:00Z`, with a fraction of six digits unless it is zero.
    public var description: String {
        let p = parts
        let fraction = p.microsecond == 0 ? "" : ".\(padded(p.microsecond, to: 6))"
        return "\(padded(p.year, to: 4))-\(padded(p.month, to: 2))-\(padded(p.day, to: 2))"
            + "T\(padded(p.hour, to: 2)):\(padded(p.minute, to: 2)):\(padded(p.second, to: 2))\(fraction)Z"
    }

    /// `20261121T020000Z`: UTC to the second, sortable, safe in names.
    public var compact: String {
        let p = parts
        return "\(padded(p.year, to: 4))\(padded(p.month, to: 2))\(padded(p.day, to: 2))"
            + "T\(padded(p.hour, to: 2))\(padded(p.minute, to: 2))\(padded(p.second, to: 2))Z"
    }

    /// `2026-11-21 02:00:00 UTC`: to the second, for people.
    public var readable: String {
        let p = parts
        return "\(padded(p.year, to: 4))-\(padded(p.month, to: 2))-\(padded(p.day, to: 2)) "
            + "\(padded(p.hour, to: 2)):\(padded(p.minute, to: 2)):\(padded(p.second, to: 2)) UTC"
    }
}

extension Timestamp: CodedAsText {
    /// What an error calls the text.
    public static var codedForm: String { "a UTC time" }

    /// Reads the text that ``description`` is.
    public init?(codedText text: String) {
        guard case .instant(let value) = TimeText.parse(text) else { return nil }
        self = value
    }
}

extension Duration {
    /// The whole microseconds of this duration, rounded towards zero.
    public var wholeMicroseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }

    /// This duration in seconds.
    public var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}

extension Int64 {
    /// Quotient rounded down and a remainder that is never negative, for a positive divisor.
    fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let quotient = self / divisor
        let remainder = self % divisor
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

private func padded(_ value: Int, to width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: Swift.max(0, width - text.count)) + text
}
