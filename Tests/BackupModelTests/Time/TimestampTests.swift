import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Telling the time` {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59.999999Z"), (1, "1970-01-01T00:00:00.000001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"), (1_737_988_200_000_000, "2025-01-27T14:30:00Z"),
            (4_107_542_399_500_000, "2100-02-28T23:59:59.500000Z"), (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"), (253_402_300_799_000_000, "9999-12-31T23:59:59Z"),
        ] as [(Int64, String)])
    func `prints RFC 3339 and reads it back`(microseconds: Int64, text: String) {
        #expect(Timestamp(microseconds: microseconds).description == text)
        #expect(TimeText.parse(text) == .instant(Timestamp(microseconds: microseconds)))
    }

    @Test func `prints the forms for names and for people`() {
        let instant = Timestamp(
            .init(year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5, microsecond: 999_999))
        #expect(instant.compact == "20260102T030405Z")
        #expect(instant.readable == "2026-01-02 03:04:05 UTC")
    }

    @Test(arguments: 0..<200)
    func `agrees with itself on every instant`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let instant = Timestamp(
            microseconds: .random(in: -62_135_596_800_000_000...253_402_300_799_999_999, using: &random))
        #expect(Timestamp(instant.parts) == instant)
        #expect(TimeText.parse(instant.description) == .instant(instant))
        let next = Timestamp(microseconds: instant.microseconds + 86_400_000_000)
        #expect(next.since(instant) == .seconds(86_400))
        #expect(instant.advanced(by: .seconds(86_400)) == next)
        #expect(next.advanced(by: .seconds(-86_400)) == instant)
        #expect(instant < next)
    }

    @Test func `walks the calendar day by day`() {
        var expected = (year: 1896, month: 1, day: 1)
        let first = Timestamp.daysFromCivil(year: 1896, month: 1, day: 1)
        for day in first..<first + 80_000 {
            let parts = Timestamp.civilFromDays(day)
            guard (parts.year, parts.month, parts.day) == expected else {
                Issue.record("day \(day) is \(parts), not \(expected)")
                return
            }
            let leap = expected.year % 4 == 0 && (expected.year % 100 != 0 || expected.year % 400 == 0)
            let lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            expected.day += 1
            if expected.day > lengths[expected.month - 1] { expected = (expected.year, expected.month + 1, 1) }
            if expected.month > 12 { expected = (expected.year + 1, 1, 1) }
        }
    }
}

@Suite struct `Reading a time` {
    private static let halfPastTwo = Timestamp(microseconds: 1_737_988_200_000_000)

    @Test(arguments: [
        "2025-01-27T14:30:00Z", "2025-01-27t14:30:00z", "2025-01-27 14:30:00+00", "2025-01-27 14:30+00:00",
        "2025-01-27T14:30Z",
        "2025-01-27 14:30:00 UTC", "2025-01-27 14:30:00utc", "2025-01-27T16:30:00+02:00", "2025-01-27T16:30:00+0200",
        "2025-01-27 20:00:00+05:30", "2025-01-27 11:00:00-0330", "2025-01-27 14:30:00.000000Z",
        "2025-01-28T04:30:00+14",
        "2025-01-27 14:30:00 +00", "2025-01-27T14:30:00.0000009Z", "2025-01-27T14:30:00-00",
    ])
    func `takes every form with an offset`(text: String) {
        #expect(TimeText.parse(text) == .instant(Self.halfPastTwo))
    }

    @Test func `keeps microseconds`() {
        #expect(
            TimeText.parse("2025-01-27T14:30:00.5Z") == .instant(Self.halfPastTwo.advanced(by: .milliseconds(500))))
        #expect(
            TimeText.parse("2025-01-27T14:30:00.123456789+00")
                == .instant(Self.halfPastTwo.advanced(by: .microseconds(123_456))))
    }

    @Test(arguments: ["2025-01-27T14:30:00", "2025-01-27 14:30", "2025-01-27 14:30:00.000"])
    func `tells a time without an offset apart`(text: String) {
        #expect(TimeText.parse(text) == .withoutOffset(asUTC: Self.halfPastTwo))
    }

    @Test(arguments: [
        "", "2025-01-27", "14:30", "2025-01-27T", "2025-1-27T14:30:00Z", "2025-01-27T14:30:00.Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z", "2025-02-29T00:00:00Z", "2025-04-31T00:00:00Z", "2025-01-00T00:00:00Z",
        "2025-01-32T00:00:00Z",
        "2025-01-27T24:00:00Z", "2025-01-27T14:60:00Z", "2025-01-27T14:30:60Z", "2025-01-27T14:30:00+",
        "2025-01-27T14:30:00+0",
        "2025-01-27T14:30:00+05:", "2025-01-27T14:30:00+05:3", "2025-01-27T14:30:00+05:60", "2025-01-27T14:30:00+16",
        "2025-01-27T14:30:00 ", "2025-01-27T14:30:00Z ", " 2025-01-27T14:30:00Z", "2025-01-27T14:30:00ZZ",
        "2025-01-27T14:30:00 Europe/Berlin", "2025-01-27  14:30:00Z", "20250127T143000Z", "２025-01-27T14:30:00Z",
        "2025-01-27T14:30:00.1234567890Z", "latest", "0/3000148",
    ])
    func `takes nothing else for a time`(text: String) {
        #expect(TimeText.parse(text) == .notATime)
    }

    @Test func `refuses the leap day of a year without one`() {
        #expect(TimeText.parse("2100-02-29T00:00:00Z") == .notATime)
        #expect(TimeText.parse("2000-02-29T00:00:00Z") != .notATime)
    }
}

@Suite struct `Reading and writing durations` {
    @Test(
        arguments: [
            ("90s", .seconds(90)), ("15m", .seconds(900)), ("24h", .seconds(86_400)), ("30d", .seconds(2_592_000)),
            ("2w", .seconds(1_209_600)), ("250ms", .milliseconds(250)), ("1h30m", .seconds(5400)), ("0s", .zero),
            ("1m500ms", .milliseconds(60_500)), ("36500d", .seconds(3_153_600_000)),
        ] as [(String, Duration)])
    func `reads whole numbers with their units`(text: String, duration: Duration) {
        #expect(DurationText.parse(text) == duration)
    }

    @Test(arguments: [
        "", "90", "s", "1.5h", "-1s", "+1s", "1 h", "1h 30m", "1H", "1y", "1min", "１s", "1000000001s", "1h30",
        "99999999999999999999s", "36501d", "1000000000w", "36500d1s",
    ])
    func `refuses a number without a unit and everything else`(text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test(
        arguments: [
            (.zero, "0 ms"), (.milliseconds(450), "450 ms"), (.microseconds(999_400), "999 ms"),
            (.microseconds(999_600), "1.0 s"),
            (.seconds(1), "1.0 s"), (.milliseconds(12_340), "12.3 s"), (.milliseconds(59_940), "59.9 s"),
            (.milliseconds(59_960), "1 min"), (.seconds(60), "1 min"), (.seconds(61), "1 min 1 s"),
            (.seconds(900), "15 min"),
            (.milliseconds(3_599_600), "1 h"), (.seconds(5400), "1 h 30 min"), (.seconds(14_400), "4 h"),
            (.seconds(3605), "1 h"),
            (.seconds(86_400), "1 d"), (.seconds(90_000), "1 d 1 h"), (.seconds(2_592_000), "30 d"),
            (.seconds(-900), "-15 min"),
            (.milliseconds(-450), "-450 ms"),
        ] as [(Duration, String)])
    func `writes the two largest units`(duration: Duration, text: String) {
        #expect(DurationText.format(duration) == text)
    }

    @Test func `measures durations`() {
        #expect(Duration.microseconds(-1).wholeMicroseconds == -1)
        #expect(Duration.nanoseconds(1999).wholeMicroseconds == 1)
        #expect(Duration.milliseconds(1500).seconds == 1.5)
    }
}
