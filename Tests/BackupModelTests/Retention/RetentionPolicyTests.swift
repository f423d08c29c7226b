import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Planning retention` {
    private static let now = instant("2026-03-10T12:00:00Z")

    @Test func `keeps everything without a rule`() throws {
        #expect(
            plan(
                RetentionPolicy(),
                """
                2020-01-01
                2026-03-09 damaged
                """) == """
                    keep   2020-01-01 no retention rule is set
                    keep   2026-03-09 no retention rule is set
                    """)
    }

    @Test func `keeps by days, and the minimum whatever its age`() {
        #expect(
            plan(
                RetentionPolicy(minimum: 2, days: 30),
                """
                2026-01-01
                2026-01-02
                2026-01-03
                """) == """
                    expire 2026-01-01 older than 30 days
                    keep   2026-01-02 minimum of 2
                    keep   2026-01-03 minimum of 2, newest undamaged
                    """)
        #expect(
            plan(
                RetentionPolicy(minimum: 1, days: 7),
                """
                2026-03-03T11:59:59
                2026-03-03T12:00:00
                2026-03-09
                2026-03-11
                """) == """
                    expire 2026-03-03T11:59:59 older than 7 days
                    keep   2026-03-03T12:00:00 within 7 days
                    keep   2026-03-09 within 7 days
                    keep   2026-03-11 within 7 days, minimum of 1, newest undamaged
                    """)
    }

    @Test func `keeps by count`() {
        #expect(
            plan(
                RetentionPolicy(minimum: 0, keepLast: 2),
                """
                2026-03-06
                2026-03-07 damaged
                2026-03-08
                2026-03-09
                """) == """
                    expire 2026-03-06 not among the 2 newest
                    expire 2026-03-07 damaged, so that no other rule keeps it
                    keep   2026-03-08 among the 2 newest
                    keep   2026-03-09 among the 2 newest, newest undamaged
                    """)
    }

    @Test func `keeps the newest of each day, week, month and year that has one`() {
        #expect(
            plan(
                RetentionPolicy(minimum: 0, days: 1, daily: 2, weekly: 3, monthly: 2, yearly: 5),
                """
                2023-07-01
                2024-12-30
                2026-01-31T22:00:00
                2026-01-31T23:59:59
                2026-02-01
                2026-03-01
                2026-03-02
                2026-03-08T01:00:00
                2026-03-08T02:00:00
                2026-03-09T01:00:00
                2026-03-09T02:00:00
                """) == """
                    keep   2023-07-01 yearly 2023
                    keep   2024-12-30 yearly 2024
                    expire 2026-01-31T22:00:00 older than 1 days, in no daily, weekly, monthly or yearly slot
                    expire 2026-01-31T23:59:59 older than 1 days, in no daily, weekly, monthly or yearly slot
                    keep   2026-02-01 monthly 2026-02
                    keep   2026-03-01 weekly 2026-W09
                    expire 2026-03-02 older than 1 days, in no daily, weekly, monthly or yearly slot
                    expire 2026-03-08T01:00:00 older than 1 days, in no daily, weekly, monthly or yearly slot
                    keep   2026-03-08T02:00:00 daily 2026-03-08, weekly 2026-W10
                    expire 2026-03-09T01:00:00 older than 1 days, in no daily, weekly, monthly or yearly slot
                    keep   2026-03-09T02:00:00 daily 2026-03-09, weekly 2026-W11, monthly 2026-03, yearly 2026, \
                    newest undamaged
                    """)
    }

    @Test func `never lets the newest verified, a held, or the newest undamaged one go`() {
        #expect(
            plan(
                RetentionPolicy(minimum: 0, days: 1),
                """
                2025-01-01 held
                2025-01-02 held: audit 2026
                2025-01-03 verified
                2025-01-04 verified
                2025-01-05 verified damaged
                2025-01-06
                2025-01-07
                2025-01-08 damaged
                """) == """
                    keep   2025-01-01 held
                    keep   2025-01-02 held: audit 2026
                    expire 2025-01-03 older than 1 days
                    keep   2025-01-04 newest verified
                    expire 2025-01-05 older than 1 days, damaged, so that no other rule keeps it
                    expire 2025-01-06 older than 1 days
                    keep   2025-01-07 newest undamaged
                    expire 2025-01-08 older than 1 days, damaged, so that no other rule keeps it
                    """)
    }

    @Test func `does not let damaged ones fill a slot, a count or the minimum`() {
        #expect(
            plan(
                RetentionPolicy(minimum: 2, keepLast: 1, daily: 1),
                """
                2026-03-01
                2026-03-02
                2026-03-08T01:00:00
                2026-03-08T02:00:00 damaged
                2026-03-09 damaged
                """) == """
                    expire 2026-03-01 not among the 1 newest, in no daily slot
                    keep   2026-03-02 minimum of 2
                    keep   2026-03-08T01:00:00 among the 1 newest, daily 2026-03-08, minimum of 2, newest undamaged
                    expire 2026-03-08T02:00:00 damaged, so that no other rule keeps it
                    expire 2026-03-09 damaged, so that no other rule keeps it
                    """)
    }

    @Test func `lets no backup of one database stand in for those of all`() {
        #expect(
            plan(
                RetentionPolicy(minimum: 1, keepLast: 2, daily: 1),
                """
                2026-03-01 verified
                2026-03-02
                2026-03-03
                2026-03-04 of one
                2026-03-05 of one verified
                2026-03-06 of one
                """) == """
                    keep   2026-03-01 newest verified
                    keep   2026-03-02 among the 2 newest
                    keep   2026-03-03 among the 2 newest, daily 2026-03-03, minimum of 1, newest undamaged
                    expire 2026-03-04 not among the 2 newest, in no daily slot
                    keep   2026-03-05 among the 2 newest, newest verified
                    keep   2026-03-06 among the 2 newest, daily 2026-03-06, minimum of 1, newest undamaged
                    """)
    }

    @Test func `looks at each kind and each system identifier by itself`() {
        #expect(
            plan(
                RetentionPolicy(minimum: 1, days: 1),
                """
                2025-01-01
                2025-01-02 physical
                2025-01-03 physical
                2025-01-04 system 2
                2025-01-05 physical system 2
                2025-01-06
                """) == """
                    expire 2025-01-01 older than 1 days
                    expire 2025-01-02 older than 1 days
                    keep   2025-01-03 minimum of 1, newest undamaged
                    keep   2025-01-04 minimum of 1, newest undamaged
                    keep   2025-01-05 minimum of 1, newest undamaged
                    keep   2025-01-06 minimum of 1, newest undamaged
                    """)
    }

    @Test func `orders backups of one second by their names`() {
        let backups = (0..<3).map { chance in
            RetentionCandidate(
                id: RunID(at: Self.now, chance: chance), kind: .logical, systemIdentifier: "1", startedAt: Self.now)
        }
        let plan = RetentionPolicy(minimum: 0, keepLast: 1).plan(for: backups.reversed(), at: Self.now)
        #expect(plan.expired.map(\.candidate) == Array(backups.dropLast()))
        #expect(plan.kept.map(\.candidate) == Array(backups.suffix(1)))
    }

    @Test(arguments: 0..<300)
    func `keeps its promises whatever the backups and the policy are`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let policy = RetentionPolicy(
            minimum: .random(in: 0...4, using: &random), keepLast: [nil, 0, 1, 5].randomElement(using: &random) ?? nil,
            days: [nil, 0, 3, 30].randomElement(using: &random) ?? nil, daily: .random(in: 0...3, using: &random),
            weekly: .random(in: 0...3, using: &random), monthly: .random(in: 0...3, using: &random),
            yearly: .random(in: 0...2, using: &random))
        let backups = (0..<Int.random(in: 0...60, using: &random)).map { number in
            let started = Self.now.advanced(by: .seconds(-Int64.random(in: -90_000...70_000_000, using: &random)))
            return RetentionCandidate(
                id: RunID(at: started, chance: UInt16(number)), kind: .random(using: &random),
                systemIdentifier: Bool.random(using: &random) ? "1" : "2",
                scope: Bool.random(using: &random) ? "one" : "all", startedAt: started,
                isVerified: Int.random(in: 0..<6, using: &random) == 0,
                isDamaged: Int.random(in: 0..<5, using: &random) == 0,
                isHeld: Int.random(in: 0..<10, using: &random) == 0)
        }
        let plan = policy.plan(for: backups, at: Self.now)
        let kept = Set(plan.kept.map(\.candidate))
        #expect(kept.union(plan.expired.map(\.candidate)) == Set(backups))
        #expect(plan.kept.count + plan.expired.count == backups.count)
        #expect(backups.filter(\.isHeld).allSatisfy(kept.contains))
        for group in Dictionary(grouping: backups, by: { "\($0.kind) \($0.systemIdentifier) \($0.scope)" }).values {
            let newestFirst = group.filter { !$0.isDamaged }.sorted { ($0.startedAt, $0.id) > ($1.startedAt, $1.id) }
            #expect(newestFirst.prefix(max(1, policy.minimum)).allSatisfy(kept.contains))
            #expect(newestFirst.first(where: \.isVerified).map(kept.contains) ?? true)
        }
        #expect(plan.kept.allSatisfy { !$0.reasons.isEmpty })
        #expect(plan.expired.allSatisfy { !$0.reason.isEmpty })
        let again = policy.plan(for: plan.kept.map(\.candidate).shuffled(using: &random), at: Self.now)
        #expect(again.expired.isEmpty, "seed \(seed)")
        #expect(again == RetentionPlan(kept: plan.kept))
    }

    /// A line for each backup: when it started and what is to be known of it; then the plan, in the same words.
    private func plan(_ policy: RetentionPolicy, _ table: String) -> String {
        let lines = table.split(separator: "\n").map { $0.split(separator: " ", maxSplits: 1).map(String.init) }
        var names: [RunID: String] = [:]
        let backups = lines.enumerated().map { number, line in
            let words = line.count > 1 ? line[1] : ""
            let started = instant(line[0].contains("T") ? "\(line[0])Z" : "\(line[0])T00:00:00Z")
            let id = RunID(at: started, chance: UInt16(number))
            names[id] = line[0]
            return RetentionCandidate(
                id: id, kind: words.contains("physical") ? .physical : .logical,
                systemIdentifier: words.contains("system 2") ? "2" : "1",
                scope: words.contains("of one") ? "one" : "all", startedAt: started,
                isVerified: words.contains("verified"), isDamaged: words.contains("damaged"),
                isHeld: words.hasPrefix("held"),
                holdReason: words.hasPrefix("held: ") ? String(words.dropFirst(6)) : nil)
        }
        let plan = policy.plan(for: backups.reversed(), at: Self.now)
        let kept = plan.kept.map {
            (
                $0.candidate.id,
                "keep   \(names[$0.candidate.id] ?? "") \($0.reasons.map(\.description).joined(separator: ", "))"
            )
        }
        let expired = plan.expired.map { ($0.candidate.id, "expire \(names[$0.candidate.id] ?? "") \($0.reason)") }
        return (kept + expired).sorted { $0.0 < $1.0 }.map(\.1).joined(separator: "\n")
    }
}

extension BackupKind {
    fileprivate static func random(using generator: inout SeededGenerator) -> BackupKind {
        Bool.random(using: &generator) ? .logical : .physical
    }
}

@Suite struct `Naming calendar periods` {
    @Test(arguments: [
        ("2020-12-31T23:59:59Z", "2020-W53"), ("2021-01-03T00:00:00Z", "2020-W53"),
        ("2021-01-04T00:00:00Z", "2021-W01"),
        ("2018-12-31T00:00:00Z", "2019-W01"), ("2024-12-29T00:00:00Z", "2024-W52"),
        ("2024-12-30T00:00:00Z", "2025-W01"),
        ("2026-03-01T00:00:00Z", "2026-W09"), ("2026-03-02T00:00:00Z", "2026-W10"),
        ("1969-12-28T00:00:00Z", "1969-W52"),
        ("1970-01-01T00:00:00Z", "1970-W01"), ("2000-01-01T00:00:00Z", "1999-W52"),
    ])
    func `counts weeks as ISO 8601 does`(time: String, week: String) {
        #expect(CalendarPeriod.weekly.name(of: instant(time)) == week)
    }

    @Test func `names days, months and years in UTC`() {
        let time = instant("2026-01-01T00:30:00+01:00")
        #expect(CalendarPeriod.daily.name(of: time) == "2025-12-31")
        #expect(CalendarPeriod.monthly.name(of: time) == "2025-12")
        #expect(CalendarPeriod.yearly.name(of: time) == "2025")
    }
}

func instant(_ text: String) -> Timestamp {
    guard case .instant(let time) = TimeText.parse(text) else { preconditionFailure("'\(text)' is no time") }
    return time
}
