import TestSupport

@testable import BackupModel

/// A random log of a few segments on up to three timelines, with holes, broken files, clocks that go back, and backups.
struct RandomLog {
    let log = SyntheticLog()
    private(set) var backups: [RecoveryCandidate] = []
    private var clocks: [UInt64: Int64] = [:]
    private var clock: Int64 = 100
    private var random: SeededGenerator

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        let timelines = UInt32(pick(1...3))
        let forks = [UInt64(pick(3...6)), UInt64(pick(5...8))]
        write(1, from: 1 << 20, breaks: forks)
        if timelines > 1 { fork(2, from: 1, segment: forks[0], breaks: forks) }
        if timelines > 2 { fork(3, from: UInt32(pick(1...2)), segment: forks[1], breaks: forks) }
        for number in 0..<pick(1...4) { takeBackup(number) }
        for timeline in log.own.keys.sorted() { store(timeline) }
    }

    mutating func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    private mutating func chance(_ percent: Int) -> Bool { pick(1...100) <= percent }

    private mutating func fork(_ timeline: UInt32, from parent: UInt32, segment: UInt64, breaks: [UInt64]) {
        let ends = (log.own[parent] ?? []).map(\.end).filter { $0 >> 20 == segment }
        guard let end = ends.randomElement(using: &random), let history = log.histories[parent] else { return }
        let lines = history.ancestors.map { "\($0.timeline)\t\($0.end)\tx\n" }.joined()
        let text = lines + "\(parent)\t\(LogSequenceNumber(position: end))\tx\n"
        guard let made = try? TimelineHistory(timeline: timeline, parsing: text) else { return }
        log.histories[timeline] = made
        write(timeline, from: end, breaks: breaks)
    }

    /// Records to somewhere in segment 7 to 10; none goes on into a segment of `breaks`.
    private mutating func write(_ timeline: UInt32, from start: UInt64, breaks: [UInt64]) {
        let limit = UInt64(pick(7...10)) << 20 + UInt64(pick(0...1000)) * 8
        var position = start
        var records: [SyntheticLog.Record] = []
        while position < limit {
            var length = UInt64(chance(4) ? pick(150_000...330_000) : pick(1...50_000)) * 8
            for number in breaks where position < number << 20 { length = min(length, number << 20 - position) }
            clock += Int64(pick(0...4)) + (chance(5) ? Int64(pick(-25...25)) : 0)
            let time = clock + Int64(pick(-2...2))
            let kind: SyntheticLog.Record.Kind =
                switch pick(1...100) {
                case 1...40: .end(xid: UInt32(pick(1...60)), time: time)
                case 41...48: .point(name: pick(0...1) == 0 ? "a" : "b", time: time)
                case 49...56: .checkpoint(time: clock)
                default: .other
                }
            records.append(.init(start: position, end: position + length, kind: kind))
            position += length
            clocks[position] = clock
        }
        log.own[timeline] = records
    }

    private mutating func takeBackup(_ number: Int) {
        let timeline = log.own.keys.sorted().randomElement(using: &random) ?? 1
        guard let count = log.own[timeline]?.count, count > 0 else { return }
        let first = pick(0...count - 1)
        let last = min(first + pick(0...6), count - 1)
        log.own[timeline]?[last].kind = .other
        guard let records = log.own[timeline] else { return }
        let time = clocks[records[last].end] ?? 0
        let backup = RecoveryCandidate(
            id: RunID(at: Timestamp(microseconds: 0), chance: UInt16(number)),
            start: LogSequenceNumber(position: records[first].start),
            stop: LogSequenceNumber(position: records[last].end), timeline: timeline,
            startedAt: Timestamp(microseconds: time - 1), stoppedAt: Timestamp(microseconds: time),
            isDamaged: chance(15))
        backups.append(backup)
    }

    private mutating func store(_ timeline: UInt32) {
        guard let records = log.own[timeline], let first = records.first, let last = records.last else { return }
        var newest = (last.end - 1) >> 20
        if chance(30), newest > first.start >> 20 { newest -= 1 }
        let hole = chance(40) ? UInt64(pick(1...9)) : 0
        for number in first.start >> 20...newest where number != hole {
            guard let name = WALSegmentName(timeline: timeline, number: number, segmentSize: SyntheticLog.size) else {
                continue
            }
            log.coverage.insert(name)
            if chance(1) { log.broken[name] = number << 20 + UInt64(pick(8...131_000)) * 8 }
        }
    }

    /// Every position of interest, and those beside them.
    var positions: [UInt64] {
        var positions: Set<UInt64> = [0, 1 << 30]
        for record in log.own.values.joined() { positions.formUnion([record.start, record.start + 8]) }
        for number in UInt64(1)...11 { positions.insert(number << 20) }
        return positions.sorted()
    }

    /// Every time of interest, and those beside them.
    var times: [Int64] {
        var times: Set<Int64> = [0, 100_000]
        for record in log.own.values.joined() {
            if let time = record.time { times.formUnion([time - 1, time, time + 1]) }
        }
        for backup in backups { times.insert(backup.stoppedAt.microseconds) }
        return times.sorted()
    }
}
