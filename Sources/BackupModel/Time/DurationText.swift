/// Durations as people write them in policies: a whole number and a unit, `90s`, `15m`, `24h`, `30d`.
public enum DurationText {
    /// A century: nothing that is kept or waited for takes longer, and every instant stays within its range.
    private static let longest = Duration.seconds(36_500 * 86_400)

    /// Reads a duration with its unit (`ms`, `s`, `m`, `h`, `d`, `w`), or several (`1h30m`), of at most 36,500 days; a
    /// number without a unit is no duration.
    public static func parse(_ text: String) -> Duration? {
        var total = Duration.zero
        var rest = Substring(text)
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let value = Int64(digits), value <= 1_000_000_000 else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            switch unit {
            case "ms": total += .milliseconds(value)
            case "s": total += .seconds(value)
            case "m": total += .seconds(value * 60)
            case "h": total += .seconds(value * 3600)
            case "d": total += .seconds(value * 86_400)
            case "w": total += .seconds(value * 604_800)
            default: return nil
            }
        }
        return total <= longest ? total : nil
    }

    /// A duration for people: `4 h`, `1 h 30 min`, `15 min`, `12.3 s`, `450 ms`.
    public static func format(_ duration: Duration) -> String {
        let seconds = duration.seconds
        if seconds < 0 { return "-\(format(.zero - duration))" }
        if seconds < 0.9995 { return "\(Int((seconds * 1000).rounded())) ms" }
        if seconds < 59.95 { return "\(formatFixed(seconds, digits: 1)) s" }
        let whole = Int64(seconds.rounded())
        let fields = [(whole / 86_400, "d"), (whole / 3600 % 24, "h"), (whole / 60 % 60, "min"), (whole % 60, "s")]
        return fields.drop { $0.0 == 0 }.prefix(2).filter { $0.0 != 0 }.map { "\($0.0) \($0.1)" }.joined(separator: " ")
    }
}
