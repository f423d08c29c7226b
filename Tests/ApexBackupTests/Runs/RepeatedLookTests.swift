import Testing

@testable import ApexBackup

@Suite struct `Waiting for what nobody announces` {
    /// Looks every second for three, and counts.
    private func look(_ find: (Int) -> String?) async throws -> (found: String?, looks: Int, slept: Duration) {
        let clock = HandClock()
        var looks = 0
        let found = try await clock.clocks.find(within: .seconds(3), every: .seconds(1)) {
            looks += 1
            return find(looks)
        }
        return (found, looks, clock.slept)
    }

    @Test func `looks at once, and no more when it has found something`() async throws {
        let atOnce = try await look { _ in "it" }
        #expect(atOnce == ("it", 1, .zero))
        let later = try await look { $0 == 3 ? "it" : nil }
        #expect(later == ("it", 3, .seconds(2)))
    }

    @Test func `looks once more when the time has passed, and then gives up`() async throws {
        let last = try await look { $0 == 4 ? "it" : nil }
        #expect(last == ("it", 4, .seconds(3)))
        let never = try await look { _ in nil }
        #expect(never == (nil, 4, .seconds(3)))
    }

    @Test func `tells whether something came to be so`() async throws {
        let clock = HandClock()
        #expect(try await clock.clocks.wait(within: .seconds(2), every: .seconds(1)) { clock.slept == .seconds(1) })
        #expect(try await !clock.clocks.wait(within: .seconds(2), every: .seconds(1)) { false })
        #expect(clock.slept == .seconds(3))
    }

    @Test func `ends when it is cancelled`() async throws {
        let clock = HandClock { _ in throw CancellationError() }
        await #expect(throws: CancellationError.self) {
            _ = try await clock.clocks.wait(within: .seconds(2), every: .seconds(1)) { false }
        }
    }
}
