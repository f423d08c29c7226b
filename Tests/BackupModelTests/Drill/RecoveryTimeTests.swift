import TestSupport
import Testing

@testable import BackupModel

private let noAssumptions = DrillPolicy.Objectives(rto: .seconds(60), rpo: .seconds(60))

@Suite struct `Measuring recovery` {
    @Test func `counts overlapping phases once and what no phase covers too`() {
        let time = RecoveryTime(
            spans: [
                DrillSpan(.provision, start: .seconds(0), duration: .seconds(2)),
                DrillSpan(.fetch, start: .seconds(3), duration: .seconds(4)),
                DrillSpan(.restore, start: .seconds(4), duration: .seconds(5)),
                DrillSpan(.verify, start: .seconds(9), duration: .seconds(1)),
                DrillSpan(.cleanup, start: .seconds(10), duration: .seconds(5)),
            ], recoveredAt: .seconds(10), gaveUpAt: .seconds(10),
            objectives: .init(rto: .seconds(60), rpo: .seconds(60), detect: .seconds(30), declare: .seconds(15)))
        #expect(time.technical == .seconds(10))
        #expect(time.measured == .seconds(10))
        #expect(time.assumed == .seconds(45))
        #expect(time.total == .seconds(55))
        #expect(time.notRecoveredWithin == nil)
        #expect(
            time.spans.map(\.phase) == [
                .detect, .declare, .provision, .fetch, .restore, .verify, .cleanup, .other,
            ])
        #expect(time.spans.last?.duration == .seconds(1))
        #expect(time.spans.prefix(2).allSatisfy { $0.basis == .assumed && $0.start == nil })
    }

    @Test func `leaves out time in which only advisory checks ran`() {
        let time = RecoveryTime(
            spans: [
                DrillSpan(.restore, start: .seconds(0), duration: .seconds(4)),
                DrillSpan(.verify, start: .seconds(4), duration: .seconds(1)),
                DrillSpan(.deepVerify, start: .seconds(5), duration: .seconds(100)),
                DrillSpan(.verify, start: .seconds(105), duration: .seconds(1)),
            ], recoveredAt: .seconds(106), gaveUpAt: .seconds(106), objectives: noAssumptions)
        #expect(time.total == .seconds(6))
    }

    @Test func `has no recovery time when recovery was not proved, only how long it was tried`() {
        let time = RecoveryTime(
            spans: [DrillSpan(.restore, start: .zero, duration: .seconds(4))], recoveredAt: nil, gaveUpAt: .seconds(5),
            objectives: noAssumptions)
        #expect(time.total == nil)
        #expect(time.technical == nil)
        #expect(time.notRecoveredWithin == .seconds(5))
    }

    @Test(arguments: 0..<200) func `is at least the longest phase and at most the sum of all`(seed: UInt64) {
        var chance = SeededGenerator(seed: seed)
        let spans = (0..<Int.random(in: 1...12, using: &chance)).map { _ in
            DrillSpan(
                .restore, start: .milliseconds(Int.random(in: 0...2000, using: &chance)),
                duration: .milliseconds(Int.random(in: 0...1000, using: &chance)))
        }
        let path = spans.criticalPath(until: .seconds(100))
        let longest = spans.map(\.duration).max() ?? .zero
        #expect(path >= longest)
        #expect(path <= spans.reduce(.zero) { $0 + $1.duration })
        #expect(path == spans.shuffled(using: &chance).criticalPath(until: .seconds(100)))
        // The same, one millisecond at a time.
        let slots = (0..<3000).filter { slot in
            spans.contains { span in
                let start = span.start ?? .zero
                return start <= .milliseconds(slot) && start + span.duration >= .milliseconds(slot + 1)
            }
        }
        #expect(path == .milliseconds(slots.count))
    }

    @Test func `takes the oldest snapshot of a backup as its recovery point`() throws {
        let t0 = Timestamp(microseconds: 1_000_000_000)
        let point = try #require(
            RecoveryPoint(
                dumps: [
                    .init(database: "b", at: t0.advanced(by: .seconds(-50))),
                    .init(database: "a", at: t0.advanced(by: .seconds(-60)), lsn: LogSequenceNumber(position: 7)),
                ], declaredFailure: t0, clockUncertainty: .milliseconds(20)))
        #expect(point.actual == .seconds(60))
        #expect(point.database == "a")
        #expect(point.lsn == LogSequenceNumber(position: 7))
        #expect(point.uncertainty == .milliseconds(20))
        #expect(RecoveryPoint(dumps: [], declaredFailure: t0, clockUncertainty: .zero) == nil)
    }

    @Test func `adds to the uncertainty what clocks that differ make of a snapshot after the failure`() throws {
        let t0 = Timestamp(microseconds: 1_000_000_000)
        let point = try #require(
            RecoveryPoint(
                dumps: [.init(database: "a", at: t0.advanced(by: .seconds(2)))], declaredFailure: t0,
                clockUncertainty: .seconds(1)))
        #expect(point.actual == .zero)
        #expect(point.uncertainty == .seconds(3))
    }

    @Test(arguments: [(0, 100, 50, 0, 50), (0, 100, 1050, 1000, 50), (0, 100, -950, -1000, 50), (0, 0, 7, 7, 0)])
    func `knows two clocks as well as the time between two readings of one allows`(
        start: Int64, end: Int64, server: Int64, skew: Int64, uncertainty: Int64
    ) {
        let difference = ClockDifference(
            server: Timestamp(microseconds: server), between: Timestamp(microseconds: start),
            and: Timestamp(microseconds: end))
        #expect(difference.skew == .microseconds(skew))
        #expect(difference.uncertainty == .microseconds(uncertainty))
        #expect(difference.bound == .microseconds(abs(skew) + uncertainty))
    }
}
