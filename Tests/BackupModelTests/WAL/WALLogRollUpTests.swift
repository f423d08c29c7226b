import FoundationEssentials
import TestSupport
import Testing

@testable import BackupModel

@Suite struct `The roll-up of a log folder` {
    /// Four segments; a commit begins at the end of each but the last, and ends in the next.
    private func cutLog() throws -> [WALSegmentSummary] {
        var writer = WALWriter()
        for segment in UInt64(1)...4 {
            let end = writer.start + segment << 20
            var xid = UInt32(segment) * 100
            while writer.position + 40 < end {
                let room = end - writer.position
                if room > 20_000 {
                    writer.filler(15_000)
                } else if room > 200 {
                    writer.commit(xid: xid, at: Int64(xid))
                    xid += 1
                    if xid % 5 == 0 { writer.message("apex.heartbeat", [UInt8](repeating: 0x7A, count: 30)) }
                } else {
                    writer.filler(0)
                }
            }
            if writer.position + 40 == end { writer.filler(0) }
            if segment < 4 { writer.commit(xid: 1, at: Int64(segment) * 1_000_000) }
        }
        return try (0..<4).map { index in
            var reader = WALSegmentReader(from: LogSequenceNumber(position: writer.start + UInt64(index) << 20))
            reader.consume(writer.bytes.span.extracting((index << 20)..<min((index + 1) << 20, writer.bytes.count)))
            return try #require(reader.finish())
        }
    }

    private func segments(_ summaries: [WALSegmentSummary]) -> [WALLogSegment] {
        summaries.map {
            WALLogSegment(
                name: "\($0.start)", storedBytes: 10,
                contentSHA256: SHA256Digest(bytes: [UInt8](repeating: 1, count: 32)),
                summary: $0)
        }
    }

    private func rollUp(_ summaries: [WALSegmentSummary]) throws -> WALLogRollUp {
        try #require(WALLogRollUp(WALLogName(timeline: 1, log: 7), SyntheticLog.size, segments(summaries)))
    }

    @Test func `completes what crosses its segments' ends, and leaves what crosses its own to its reader`() throws {
        let raw = try cutLog()
        // What the segments themselves say, each with those behind it.
        let exact = raw.indices.map { index in
            var summary = raw[index]
            _ = summary.complete(with: raw[(index + 1)...])
            return summary
        }
        #expect(zip(raw, exact).map { $1.commits - $0.commits } == [1, 1, 1, 0])
        for cut in 1...3 {
            let first = try rollUp(Array(raw[..<cut]))
            let second = try rollUp(Array(raw[cut...]))
            #expect(first.summary.isOpen && !second.summary.isOpen)
            #expect(first.segments.dropLast().map(\.summary) == Array(exact[..<(cut - 1)]))
            #expect(second.segments.map(\.summary) == Array(exact[cut...]))
            #expect(first.summary.storedBytes == Int64(10 * cut))
            // Its reader has the neighbour's roll-up, and no raw segment.
            var last = try #require(first.segments.last).summary
            #expect(last == raw[cut - 1])
            #expect(last.complete(with: second.segments.lazy.map(\.summary)) == .completed)
            #expect(last == exact[cut - 1])
        }
        let whole = try rollUp(raw)
        var overview = WALOverview()
        for summary in exact { overview.add(summary) }
        #expect(whole.summary.overview == overview && !whole.summary.isOpen)
    }

    @Test func `is the same whenever it is written, and the same when it is read`() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        for seed in UInt64(0)..<20 {
            let random = RandomLog(seed: seed)
            for range in random.log.coverage.runs.sorted(by: { $0.key < $1.key }).flatMap({ timeline, runs in
                runs.map { WALSegmentRange(timeline: timeline, numbers: $0, size: SyntheticLog.size) }
            }) {
                let summaries = try range.numbers.map { number in
                    try random.log.summary(
                        of: #require(WALSegmentName(timeline: range.timeline, number: number, segmentSize: range.size)))
                }
                let rollUp = try rollUp(summaries)
                let bytes = try encoder.encode(rollUp.summary)
                #expect(try encoder.encode(try self.rollUp(summaries).summary) == bytes)
                #expect(try JSONDecoder().decode(WALLogSummary.self, from: bytes) == rollUp.summary)
                for segment in rollUp.segments {
                    let line = try encoder.encode(segment)
                    #expect(try JSONDecoder().decode(WALLogSegment.self, from: line) == segment)
                }
            }
        }
        #expect(WALLogRollUp(WALLogName(timeline: 1, log: 7), SyntheticLog.size, []) == nil)
    }

    @Test func `is believed only if it is of its folder, with all segments of that`() throws {
        let size = try #require(WALSegmentSize(bytes: 1 << 30))
        let log = WALLogName(timeline: 1, log: 2)
        let summary = WALLogSummary(timeline: 1, log: 2, segmentSize: size)
        let any = try cutLog()[3]
        let all = (UInt64(8)...11).compactMap { number in
            WALSegmentName(timeline: 1, number: number, segmentSize: size).map {
                WALLogSegment(
                    name: "\($0)", storedBytes: 1, contentSHA256: SHA256Digest(bytes: [UInt8](repeating: 1, count: 32)),
                    summary: any)
            }
        }
        let read = try #require(WALLogRollUp(log, size, read: summary, all))
        let eleventh = try #require(WALSegmentName(timeline: 1, number: 11, segmentSize: size))
        #expect(read.segment(eleventh)?.name == "000000010000000200000003")
        #expect(read.segment(try #require(WALSegmentName(timeline: 1, number: 7, segmentSize: size))) == nil)
        #expect(WALLogRollUp(log, size, read: summary, all.dropLast()) == nil)
        #expect(WALLogRollUp(log, size, read: summary, all.reversed()) == nil)
        #expect(WALLogRollUp(log, .standard, read: summary, all) == nil)
        #expect(WALLogRollUp(WALLogName(timeline: 1, log: 3), size, read: summary, all) == nil)
        #expect(WALLogRollUp(WALLogName(timeline: 2, log: 2), size, read: summary, all) == nil)
    }

    @Test func `has the greatest values of all changes of settings`() throws {
        var raw = try cutLog()
        for (index, values) in [(0, (40, 8)), (2, (30, 12))] as [(Int, (Int32, Int32))] {
            raw[index].parameterChanges.append(
                .init(
                    lsn: raw[index].start,
                    parameters: WALParameters(
                        maxConnections: values.0, maxWorkerProcesses: values.1, maxWALSenders: 1,
                        maxPreparedTransactions: 0, maxLocksPerTransaction: 64, walLevel: 1)))
        }
        let greatest = try #require(try rollUp(raw).summary.greatestParameters)
        #expect(greatest.maxConnections == 40 && greatest.maxWorkerProcesses == 12)
        #expect(try rollUp(cutLog()).summary.greatestParameters == nil)
    }
}

/// On random logs a plan that is made from roll-ups is the one that is made from the segments.
@Suite struct `A plan from roll-ups` {
    /// A log of which each few segments were rolled up as if they were a log folder.
    private struct RolledUp: RecoveryIndex {
        let log: SyntheticLog
        let length: UInt64
        var rollUps: [UInt32: [UInt64: WALLogRollUp]] = [:]

        init(_ log: SyntheticLog, length: UInt64) throws {
            self.log = log
            self.length = length
            for (timeline, runs) in log.coverage.runs {
                for run in runs {
                    for first in run where first % length == 0 && first + length - 1 <= run.upperBound {
                        let segments = try (first..<first + length).map { number in
                            let name = try #require(
                                WALSegmentName(timeline: timeline, number: number, segmentSize: SyntheticLog.size))
                            return WALLogSegment(
                                name: "\(name)", storedBytes: 1,
                                contentSHA256: SHA256Digest(bytes: [UInt8](repeating: 0, count: 32)),
                                summary: try log.summary(of: name))
                        }
                        rollUps[timeline, default: [:]][first] = WALLogRollUp(
                            WALLogName(timeline: timeline, log: 0), SyntheticLog.size, segments)
                    }
                }
            }
        }

        func overview(of segments: WALSegmentRange) throws(BackupError) -> WALOverview {
            var overview = WALOverview()
            var next = segments.numbers.lowerBound
            while next <= segments.numbers.upperBound {
                if let rollUp = rollUps[segments.timeline]?[next], next + length - 1 <= segments.numbers.upperBound {
                    overview.add(rollUp.summary.overview)
                    next += length
                } else if let name = WALSegmentName(
                    timeline: segments.timeline, number: next, segmentSize: segments.size)
                {
                    overview.add(try summary(of: name))
                    next += 1
                }
            }
            return overview
        }

        func summary(of segment: WALSegmentName) throws(BackupError) -> WALSegmentSummary {
            let index = Int(segment.number % length)
            let rollUp = rollUps[segment.timeline]?[segment.number - UInt64(index)]
            if let rollUp { return rollUp.segments[index].summary }
            return try log.summary(of: segment)
        }

        func firstTransactionEnd(
            _ condition: TransactionEndCondition, in segment: WALSegmentName, from position: LogSequenceNumber
        ) throws(BackupError) -> LogMark? {
            try log.firstTransactionEnd(condition, in: segment, from: position)
        }
    }

    private func outcome(_ planner: RecoveryPlanner<some RecoveryIndex>, _ request: RecoveryRequest) -> String {
        do throws(BackupError) { return "\(try planner.plan(request))" } catch { return "\(error)" }
    }

    @Test(arguments: [2, 3] as [UInt64])
    func `is the same, and so is every refusal`(length: UInt64) throws {
        var plans = 0
        for seed in UInt64(2000)..<2015 {
            let random = RandomLog(seed: seed)
            var chance = random
            let rolledUp = try RolledUp(random.log, length: length)
            let direct = RecoveryPlanner(
                backups: random.backups, coverage: random.log.coverage, histories: Array(random.log.histories.values),
                production: [], index: random.log)
            let indexed = RecoveryPlanner(
                backups: random.backups, coverage: random.log.coverage, histories: Array(random.log.histories.values),
                production: [], index: rolledUp)
            let times = random.times.filter { _ in chance.pick(1...8) == 1 }
            let positions = random.positions.filter { _ in chance.pick(1...8) == 1 }
            let moments =
                times.map { RestoreMoment.time(Timestamp(microseconds: $0)) }
                + positions.map { .position(LogSequenceNumber(position: $0)) }
                + [.latest, .immediate, .restorePoint("a"), .restorePoint("b")]
            for timeline in random.log.own.keys.sorted() {
                for moment in moments {
                    let request = RecoveryRequest(
                        moment, isInclusive: chance.pick(1...2) == 1, timeline: timeline,
                        otherwise: chance.pick(1...2) == 1 ? .nearest : .refuse)
                    #expect(
                        outcome(indexed, request) == outcome(direct, request),
                        "seed \(seed), timeline \(timeline), \(moment.words)")
                    plans += 1
                }
            }
        }
        #expect(plans > 200)
    }
}

@Suite struct `Log folders and spans of them` {
    @Test func `have the segments that share the middle of their names`() throws {
        let name = try #require(WALSegmentName(parsing: "0000000200000005000000FF", segmentSize: .standard))
        #expect(name.log == WALLogName(timeline: 2, log: 5) && name.log.description == name.logFolder)
        let range = try #require(name.log.segments(.standard))
        #expect(range.first?.description == "000000020000000500000000" && range.last == name && range.count == 256)
        #expect(range.wholeLog == name.log)
        let some = WALSegmentRange(timeline: 2, numbers: 5 * 256 - 1...6 * 256, size: .standard)
        #expect(some.logs.map(\.log) == [4, 5, 6] && some.wholeLog == nil)
        #expect(WALLogName(timeline: 0, log: 1).segments(.standard) == nil)
    }

    @Test func `have names that are read again`() throws {
        let span = WALLogSpan(timeline: 1, logs: 0x10...0x3FF)
        #expect(span.name == "00000010-000003FF" && WALLogSpan(parsing: span.name, timeline: 1) == span)
        for text in [
            "00000010-00000400", "00000010-00000010", "00000011-00000010", "10-3FF", "00000010", "00000010-000003ff",
            "00000010-000003FF-", "00000010_000003FF", "",
        ] { #expect(WALLogSpan(parsing: text, timeline: 1) == nil, "\(text)") }
    }

    @Test func `are made as long as can be, and only once`() {
        func missing(_ logs: [UInt32], _ stored: [ClosedRange<UInt32>] = []) -> [ClosedRange<UInt32>] {
            WALLogSpan.missing(
                of: 1, rolledUp: logs, stored: stored.map { WALLogSpan(timeline: 1, logs: $0) }
            ).map(\.logs)
        }
        #expect(missing([]) == [] && missing([5]) == [])
        #expect(missing([7, 5, 6]) == [5...7])
        #expect(missing([5, 6, 8, 9]) == [5...6, 8...9])
        #expect(missing(Array(1020...1030)) == [1020...1023, 1024...1030])
        #expect(missing(Array(0...3905)) == [0...1023, 1024...2047, 2048...3071, 3072...3905])
        #expect(missing([5, 6, 7], [5...6]) == [5...7] && missing([5, 6, 7], [4...7]) == [])
    }

    @Test func `are of no use when a longer one tells of the same, or nothing is left to tell of`() {
        let stored = [0...3, 0...7, 2...5, 9...12, 1030...1033].map { WALLogSpan(timeline: 1, logs: $0) }
        func superfluous(_ logs: Set<UInt32>) -> [ClosedRange<UInt32>] {
            WALLogSpan.superfluous(of: stored, rolledUp: logs).map(\.logs)
        }
        #expect(superfluous([3, 12, 1030]) == [0...3, 2...5])
        #expect(superfluous([12]) == [0...3, 0...7, 2...5, 1030...1033])
        #expect(WALLogSpan.longest(of: stored, holding: 3)?.logs == 0...7)
        #expect(WALLogSpan.longest(of: stored, holding: 8) == nil)
    }
}
