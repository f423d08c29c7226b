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

    private func endOfWAL(
        covered seconds: Int, hasHeartbeat: Bool = true, source: UInt64? = nil
    ) -> RecoveryPoint {
        let t0 = Timestamp(microseconds: 1_000_000_000)
        let clock = ClockDifference(server: t0, between: t0, and: t0)
        return RecoveryPoint(
            endOfWAL: t0.advanced(by: .seconds(-seconds)), hasHeartbeat: hasHeartbeat,
            lsn: LogSequenceNumber(position: 1000), stored: LogSequenceNumber(position: 1040), timeline: 3,
            declaredFailure: t0, clockUncertainty: .milliseconds(20),
            source: source.map { SourcePosition(lsn: LogSequenceNumber(position: $0), timeline: 3, clock: clock) })
    }

    @Test func `compares what was replayed with what the source had written, or else with what is stored`() {
        let silent = endOfWAL(covered: 30)
        #expect(silent.actual == .seconds(30) && silent.basis == .heartbeat && !silent.isUpperBound)
        #expect(silent.loss == .init(from: LogSequenceNumber(position: 1000), to: .init(position: 1040), .archive))
        #expect(endOfWAL(covered: 30, hasHeartbeat: false).isUpperBound)

        let behind = endOfWAL(covered: 30, source: 5000)
        #expect(behind.actual == .seconds(30) && behind.loss?.bytes == 4000 && behind.loss?.basis == .source)

        // A source that had written no more proves that nothing is lost, however long it was idle.
        let idle = endOfWAL(covered: 7200, hasHeartbeat: false, source: 1000)
        #expect(idle.actual == .zero && idle.uncertainty == .zero && idle.basis == .sourcePosition)
        #expect(idle.loss?.bytes == 0 && !idle.isUpperBound && !idle.basis.comparesClocks)
        #expect(idle.covered == Timestamp(microseconds: 1_000_000_000))
        #expect(endOfWAL(covered: 7200, source: 999).loss?.bytes == 0)
    }

    @Test func `measures a recovery to the end of a backup by what the WAL tells, not by when the backup ended`() {
        let stop = Timestamp(microseconds: 1_000_000_000)
        func point(_ seconds: Int, hasHeartbeat: Bool) -> RecoveryPoint {
            RecoveryPoint(
                consistentAt: stop, covered: stop.advanced(by: .seconds(-seconds)), hasHeartbeat: hasHeartbeat,
                lsn: LogSequenceNumber(position: 1000), timeline: 1, clockUncertainty: .milliseconds(20))
        }
        let known = point(12, hasHeartbeat: true)
        #expect(known.actual == .seconds(12) && known.basis == .heartbeat && known.failure == stop)
        #expect(!known.isUpperBound && known.uncertainty == .milliseconds(20) && known.loss == nil)
        let bound = point(600, hasHeartbeat: false)
        #expect(bound.actual == .seconds(600) && bound.basis == .lastRecord && bound.isUpperBound)
        #expect(point(-1, hasHeartbeat: true).actual == .zero)
    }

    @Test func `takes the word of a source only if it is that cluster's primary, on the timeline that is recovered`() {
        var facts = ServerFacts(
            version: "15.13", versionNumber: 150_013, systemIdentifier: "7", inRecovery: false, timeline: 3,
            currentLSN: LogSequenceNumber(position: 1000), clock: Timestamp(microseconds: 0), dataChecksums: true,
            encoding: "UTF8", isSuperuser: false, canReadRolePasswords: false)
        let now = Timestamp(microseconds: 0)
        let clock = ClockDifference(server: now, between: now, and: now)
        func answer(_ identifier: String = "7", _ timeline: UInt32 = 3) -> SourceAnswer {
            SourceAnswer(facts, clock: clock, of: identifier, onTimeline: timeline)
        }
        #expect(answer().position == SourcePosition(lsn: facts.currentLSN, timeline: 3, clock: clock))
        #expect(answer("8").position == nil && answer("7", 2).position == nil)
        facts.inRecovery = true
        #expect(answer() == .none("a standby answers, which does not know what its primary wrote"))
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
