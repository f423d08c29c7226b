import Testing

@testable import BackupModel

/// What stays of nightly backups, as lines of date and reasons, and how many go.
@Suite struct `Retention by the calendar` {
    private func plan(
        _ policy: RetentionPolicy, of starts: [Timestamp], at now: String
    ) -> (kept: [String], plan: RetentionPlan) {
        let backups = starts.enumerated().map { number, start in
            RetentionCandidate(
                id: RunID(at: start, chance: UInt16(number)), kind: .logical, systemIdentifier: "1", startedAt: start)
        }
        let plan = policy.plan(for: backups, at: instant(now))
        let kept = plan.kept.map { kept in
            let reasons = kept.reasons.filter { $0 != .newestUndamaged }.map(\.description)
            return "\(kept.candidate.startedAt.description.prefix(10)) \(reasons.joined(separator: ", "))"
        }
        return (kept, plan)
    }

    /// One backup each night at two, the last of them on the day of `last`.
    private func nights(_ count: Int, to last: String) -> [Timestamp] {
        let last = instant("\(last)T02:00:00Z")
        return (0..<count).map { last.advanced(by: .seconds(-86_400 * Int64($0))) }
    }

    @Test func `gives the leap day its day, and February its last one`() {
        let (kept, plan) = plan(
            RetentionPolicy(minimum: 0, daily: 3, weekly: 2, monthly: 3), of: nights(60, to: "2028-03-01"),
            at: "2028-03-01T12:00:00Z")
        #expect(
            kept == [
                "2028-01-31 monthly 2028-01", "2028-02-27 weekly 2028-W08", "2028-02-28 daily 2028-02-28",
                "2028-02-29 daily 2028-02-29, monthly 2028-02",
                "2028-03-01 daily 2028-03-01, weekly 2028-W09, monthly 2028-03",
            ])
        #expect(plan.expired.count == 55)
        #expect(Set(plan.expired.map(\.reason)) == ["in no daily, weekly or monthly slot"])
        let ordinary = self.plan(
            RetentionPolicy(minimum: 0, monthly: 2), of: nights(40, to: "2027-03-01"), at: "2027-03-01T12:00:00Z")
        #expect(ordinary.kept == ["2027-02-28 monthly 2027-02", "2027-03-01 monthly 2027-03"])
    }

    @Test func `splits the week at New Year by Monday, and the year by its last night`() {
        let (kept, plan) = plan(
            RetentionPolicy(minimum: 0, weekly: 3, monthly: 2, yearly: 2), of: nights(45, to: "2027-01-05"),
            at: "2027-01-05T12:00:00Z")
        #expect(
            kept == [
                "2026-12-27 weekly 2026-W52", "2026-12-31 monthly 2026-12, yearly 2026", "2027-01-03 weekly 2026-W53",
                "2027-01-05 weekly 2027-W01, monthly 2027-01, yearly 2027",
            ])
        #expect(plan.expired.count == 41)
    }

    @Test func `knows no summer time: days, weeks and months are those of UTC`() {
        // The nights in which clocks in Berlin and New York are set.
        let spring = ["28T23:30", "29T00:30", "29T01:30", "29T23:30", "30T00:30"].map { instant("2026-03-\($0):00Z") }
        #expect(
            plan(RetentionPolicy(minimum: 0, daily: 3, weekly: 2), of: spring, at: "2026-03-30T12:00:00Z").kept == [
                "2026-03-28 daily 2026-03-28", "2026-03-29 daily 2026-03-29, weekly 2026-W13",
                "2026-03-30 daily 2026-03-30, weekly 2026-W14",
            ])
        let autumn = ["10-31T23:59", "11-01T00:00", "11-01T05:30", "11-01T06:30"].map { instant("2026-\($0):00Z") }
        let (kept, plan) = plan(
            RetentionPolicy(minimum: 0, days: 1, monthly: 2), of: autumn, at: "2026-11-02T05:30:00Z")
        #expect(
            kept == [
                "2026-10-31 monthly 2026-10", "2026-11-01 within 1 days", "2026-11-01 within 1 days, monthly 2026-11",
            ])
        #expect(plan.expired.map(\.reason) == ["older than 1 days, in no monthly slot"])
    }

    @Test func `keeps as many periods as have a backup, however far back they lie`() {
        let starts = ["2021-05-05", "2023-02-28", "2023-03-01", "2026-01-31", "2026-02-01"].map {
            instant("\($0)T02:00:00Z")
        }
        #expect(
            plan(
                RetentionPolicy(minimum: 3, daily: 2, monthly: 3, yearly: 3), of: starts, at: "2026-03-10T12:00:00Z"
            ).kept == [
                "2021-05-05 yearly 2021", "2023-03-01 monthly 2023-03, yearly 2023, minimum of 3",
                "2026-01-31 daily 2026-01-31, monthly 2026-01, minimum of 3",
                "2026-02-01 daily 2026-02-01, monthly 2026-02, yearly 2026, minimum of 3",
            ])
    }

    @Test func `lets every night of three years go in its turn, and never a month or year that it promised`() {
        let policy = RetentionPolicy(minimum: 2, daily: 7, weekly: 4, monthly: 12, yearly: 3)
        var kept: [RetentionCandidate] = []
        var now = instant("2026-01-01T02:00:00Z")
        for night in 0..<1100 {
            kept.append(
                RetentionCandidate(
                    id: RunID(at: now, chance: UInt16(night)), kind: .logical, systemIdentifier: "1", startedAt: now))
            kept = policy.plan(for: kept, at: now).kept.map(\.candidate)
            now = now.advanced(by: .seconds(86_400))
        }
        let days = kept.map { $0.startedAt.description.prefix(10) }
        // The last night is 2029-01-04; what was thinned night by night is what the rules ask for on that day.
        #expect(
            days == [
                "2027-12-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31", "2028-06-30", "2028-07-31",
                "2028-08-31", "2028-09-30", "2028-10-31", "2028-11-30", "2028-12-17", "2028-12-24", "2028-12-29",
                "2028-12-30", "2028-12-31", "2029-01-01", "2029-01-02", "2029-01-03", "2029-01-04",
            ])
    }
}
