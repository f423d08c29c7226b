import Testing

@testable import BackupModel

@Suite struct `Guarding against a wrong clock` {
    private let newest = instant("2026-03-10T00:00:00Z")
    private let day = Duration.seconds(86_400)

    /// Ten nightly backups, the last of them `newest`.
    private var nights: [Timestamp] { (0..<10).map { newest.advanced(by: .zero - day * $0) } }

    @Test func `refuses a clock behind the newest backup`() throws {
        let history = ClockGuard.History(backups: [newest], believedUntil: newest)
        let error = try #require(ClockGuard.refusal(now: newest.advanced(by: .microseconds(-1)), history: history))
        #expect(error.code == .clockImplausible)
        #expect(error.remedy.contains("--now-is-right to each 'apex-backup prune' until 2026-03-10 00:00:00 UTC"))
        #expect(error.unchanged == "No backup was removed.")
        #expect(ClockGuard.refusal(now: newest, history: history) == nil)
    }

    @Test func `refuses one that skipped more than a week and three intervals`() throws {
        func isRefused(after age: Duration, every interval: Duration) -> Bool {
            let backups = (0..<3).map { newest.advanced(by: .zero - interval * $0) }
            return ClockGuard.refusal(now: newest.advanced(by: age), history: .init(backups: backups)) != nil
        }
        #expect(!isRefused(after: day * 7, every: day))
        #expect(isRefused(after: day * 7 + .seconds(1), every: day))
        #expect(!isRefused(after: day * 21, every: day * 7))
        #expect(isRefused(after: day * 21 + .seconds(1), every: day * 7))
        #expect(!isRefused(after: day * 6, every: .seconds(60)))
        #expect(ClockGuard.refusal(now: newest.advanced(by: day * 4000), history: .init(backups: [newest])) == nil)
        #expect(ClockGuard.refusal(now: newest, history: .init(backups: [])) == nil)
    }

    @Test func `is not taken in by backups that the wrong clock stamped, however many`() throws {
        for wrong in 1...20 {
            let ahead = (0..<wrong).map { newest.advanced(by: day * (365 + $0)) }
            let now = newest.advanced(by: day * (364 + wrong) + .seconds(60))
            let history = ClockGuard.History(backups: nights + ahead, runs: ahead, believedUntil: newest)
            let error = try #require(ClockGuard.refusal(now: now, history: history), "\(wrong)")
            #expect(error.reason?.contains("from 2026-03-10 00:00:00 UTC to 2027-03-10 00:00:00 UTC") == true)
            #expect(error.remedy.contains("'apex-backup prune --apply --now-is-right' once"))
        }
    }

    @Test func `believes what a prune that was carried out has believed, and judges anew what came after it`() {
        let back = newest.advanced(by: day * 14)
        var history = ClockGuard.History(backups: nights + [back])
        #expect(ClockGuard.refusal(now: back, history: history) != nil)
        history.believedUntil = newest.advanced(by: day * 13)
        #expect(ClockGuard.refusal(now: back, history: history) != nil)
        history.believedUntil = back
        #expect(ClockGuard.refusal(now: back.advanced(by: day), history: history) == nil)
        #expect(ClockGuard.refusal(now: back.advanced(by: day * 8), history: history) != nil)
    }

    @Test func `takes every recorded run as a sign that the time did pass`() {
        let now = newest.advanced(by: day * 14)
        let failed = (1...13).map { newest.advanced(by: day * $0) }
        #expect(ClockGuard.refusal(now: now, history: .init(backups: nights)) != nil)
        #expect(ClockGuard.refusal(now: now, history: .init(backups: nights, runs: failed)) == nil)
    }

    @Test func `is not misled by gaps that retention itself has made`() {
        let months = (1...12).map { newest.advanced(by: .zero - day * (30 * $0)) }
        #expect(ClockGuard.refusal(now: newest, history: .init(backups: nights + months)) == nil)
        // Nor by those of one that was broken off when only a few were left.
        let left = [30, 20, 2, 1].map { newest.advanced(by: .zero - day * $0) }
        for count in 2...4 {
            #expect(ClockGuard.refusal(now: newest, history: .init(backups: left.suffix(count))) == nil, "\(count)")
        }
    }

    @Test func `finds the median interval in any order`() {
        let starts = [0, 10, 20, 30, 1000].map { newest.advanced(by: .seconds($0)) }
        #expect(ClockGuard.medianInterval(of: starts.reversed()) == .seconds(10))
        #expect(ClockGuard.medianInterval(of: starts.suffix(3)) == .seconds(10))
        #expect(ClockGuard.medianInterval(of: [newest]) == nil)
        #expect(ClockGuard.medianInterval(of: []) == nil)
    }
}
