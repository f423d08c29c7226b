/// The periods of which daily, weekly, monthly and yearly backups are kept, all in UTC.
package enum CalendarPeriod: String, Sendable, Hashable, CaseIterable {
    case daily, weekly, monthly, yearly

    /// The period that holds `instant`: `2026-11-21`, the ISO week `2026-W47`, `2026-11`, `2026`.
    package func name(of instant: Timestamp) -> String {
        let day = instant.description.prefix(10)
        switch self {
        case .daily: return String(day)
        case .weekly: return Self.isoWeek(of: instant)
        case .monthly: return String(day.prefix(7))
        case .yearly: return String(day.prefix(4))
        }
    }

    /// ISO 8601: weeks begin on Monday and belong to the year of their Thursday.
    private static func isoWeek(of instant: Timestamp) -> String {
        let date = instant.parts
        let day = Timestamp.daysFromCivil(year: date.year, month: date.month, day: date.day)
        // 1970-01-01 was a Thursday; shifted so that it cannot become negative before the year 0.
        let daysSinceMonday = (day + 3 + 7 * 200_000) % 7
        let thursday = day - daysSinceMonday + 3
        let year = Timestamp.civilFromDays(thursday).year
        let week = (thursday - Timestamp.daysFromCivil(year: year, month: 1, day: 1)) / 7 + 1
        return "\(year)-W\(week < 10 ? "0" : "")\(week)"
    }
}
