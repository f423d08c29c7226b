import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Retention of WAL, whatever happened before` {
    @Test(arguments: 0..<600)
    func `keeps every moment of the window and every backup that stays as restorable as it was`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var past = SimulatedCluster(hasTwoWriters: seed % 4 == 3)
        past.live(hours: .random(in: 20...70, using: &random), using: &random)
        past.loseSegments(one: [0, 0, 40, 12].randomElement(using: &random) ?? 0, using: &random)
        let window = Int64.random(in: 0...40, using: &random)
        let now = SimulatedCluster.hour(past.hours)
        var retention = try past.retention(window: .seconds(3600 * window), using: &random)
        let plan = try retention.plan(at: now, believing: nil)

        let rescued = plan.rescued.map(\.backup)
        let staying = retention.kept + rescued
        #expect(rescued.allSatisfy(retention.expiring.contains))
        let before = OracleArchive(past, backups: retention.kept + retention.expiring, segments: past.segments)
        let rest = past.segments.filter { segment in
            !plan.removed.contains { $0.timeline == segment.timeline && $0.numbers.contains(segment.number) }
        }
        let after = OracleArchive(past, backups: staying, segments: rest)

        for moment in past.moments where moment.hour >= past.hours - Int(window) {
            // Of two writers, an older timeline counts while backups show that it goes on.
            guard let anchor = plan.anchor else { break }
            let isPromised =
                moment.timeline >= anchor.timeline
                || before.backups.contains { $0.timeline == moment.timeline && $0.finishedAt > anchor.finishedAt }
            guard isPromised else {
                #expect(past.hasTwoWriters, "a timeline of the window is older than the anchor's")
                continue
            }
            #expect(after.reaches(moment) || !before.reaches(moment), "\(moment)")
        }
        for backup in staying { #expect(after.isConsistent(backup) || !before.isConsistent(backup), "\(backup.id)") }

        let since = now.advanced(by: .seconds(-3600 * window))
        let anchors = before.backups.filter { !$0.isDamaged && $0.finishedAt <= since && before.isConsistent($0) }
        if let newest = anchors.map(\.finishedAt).max() {
            #expect(plan.anchor?.finishedAt == newest)
            #expect(plan.anchor.map(staying.contains) ?? false)
        } else {
            #expect(rest == past.segments)
            for moment in past.moments { #expect(after.reaches(moment) || !before.reaches(moment), "\(moment)") }
        }
        #expect(past.segments.subtracting(rest).allSatisfy { plan.removes(past.name($0)) })
        #expect(rest.allSatisfy { !plan.removes(past.name($0)) })

        retention.kept = staying
        retention.expiring = []
        retention.coverage = past.coverage(of: rest)
        let again = try retention.plan(at: now, believing: nil)
        #expect(again.removed.isEmpty && again.rescued.isEmpty, "it is carried out in one go")
    }

    @Test func `removes most of the WAL of a long past`() throws {
        var stored = 0
        var removed: UInt64 = 0
        for seed in UInt64(0)..<50 {
            var random = SeededGenerator(seed: seed)
            var past = SimulatedCluster(hasTwoWriters: false)
            past.live(hours: 300, using: &random)
            let plan = try past.retention(window: .seconds(3600 * 10), using: &random)
                .plan(at: SimulatedCluster.hour(past.hours), believing: nil)
            stored += past.segments.count
            removed += plan.removed.reduce(0) { $0 + UInt64($1.numbers.count) }
        }
        #expect(Int(removed) * 10 > stored * 6, "\(removed) of \(stored)")
    }
}

/// A cluster that writes, is backed up, fails over and is recovered to earlier moments, hour by hour.
private struct SimulatedCluster {
    struct Segment: Hashable {
        var timeline: UInt32
        var number: UInt64
    }

    /// Where a server was at some hour.
    struct Moment {
        var hour: Int
        var timeline: UInt32
        var position: UInt64
    }

    private struct Writer {
        var timeline: UInt32
        var position: UInt64
        /// A backup that is being taken: since when, from where.
        var backup: (hour: Int, start: UInt64)?
    }

    static let segmentBytes: UInt64 = 1 << 20
    static let size = WALSegmentSize(bytes: segmentBytes) ?? .standard

    let hasTwoWriters: Bool
    private(set) var hours = 0
    private(set) var moments: [Moment] = []
    private(set) var segments: Set<Segment> = []
    private(set) var backups: [WALRetention.Backup] = []
    /// Of each timeline but the first, the one that it continues, and from where.
    private(set) var parents: [UInt32: (timeline: UInt32, at: UInt64)] = [:]
    private var writers = [Writer(timeline: 1, position: segmentBytes + 40)]

    init(hasTwoWriters: Bool) { self.hasTwoWriters = hasTwoWriters }

    static func hour(_ hour: Int) -> Timestamp { instant("2026-03-01T00:00:00Z").advanced(by: .seconds(3600 * hour)) }

    mutating func live(hours count: Int, using random: inout SeededGenerator) {
        for _ in 0..<count {
            hours += 1
            for index in writers.indices { work(index, using: &random) }
            switch Int.random(in: 0..<40, using: &random) {
            case 0: switchTimeline(from: writers[0].timeline, at: writers[0].position, using: &random)
            case 1, 2:
                guard let earlier = moments.suffix(30).randomElement(using: &random) else { break }
                switchTimeline(from: earlier.timeline, at: earlier.position, using: &random)
            case 3 where hasTwoWriters && writers.count == 1:
                let newest = (parents.keys.max() ?? 1) + 1
                parents[newest] = (writers[0].timeline, writers[0].position)
                writers.append(Writer(timeline: newest, position: writers[0].position))
            default: break
            }
        }
    }

    private mutating func work(_ index: Int, using random: inout SeededGenerator) {
        var writer = writers[index]
        let start = writer.position
        writer.position += UInt64.random(in: 0...Self.segmentBytes * 3 / 2, using: &random)
        if let backup = writer.backup, Bool.random(using: &random) {
            writer.backup = nil
            backups.append(
                WALRetention.Backup(
                    id: RunID(at: Self.hour(backup.hour), chance: UInt16(backups.count)),
                    start: LogSequenceNumber(position: backup.start),
                    stop: LogSequenceNumber(position: writer.position), timeline: writer.timeline,
                    finishedAt: Self.hour(hours), isHeld: false, isDamaged: Int.random(in: 0..<6, using: &random) == 0))
            // The server switches to a new segment when a backup ends.
            writer.position = (writer.position / Self.segmentBytes + 1) * Self.segmentBytes + 40
        } else if writer.backup == nil, Int.random(in: 0..<5, using: &random) == 0 {
            writer.backup = (hours, writer.position)
            writer.position += 200
        }
        for number in start / Self.segmentBytes..<writer.position / Self.segmentBytes {
            segments.insert(Segment(timeline: writer.timeline, number: number))
        }
        moments.append(Moment(hour: hours, timeline: writer.timeline, position: writer.position))
        writers[index] = writer
    }

    /// The first server is gone, and what continues from somewhere takes its place.
    private mutating func switchTimeline(
        from timeline: UInt32, at position: UInt64, using random: inout SeededGenerator
    ) {
        if Bool.random(using: &random) {
            // The rest of its last segment comes in full, though nothing follows.
            segments.insert(
                Segment(timeline: writers[0].timeline, number: writers[0].position / Self.segmentBytes))
        }
        let newest = (parents.keys.max() ?? 1) + 1
        parents[newest] = (timeline, position)
        writers[0] = Writer(timeline: newest, position: position)
    }

    mutating func loseSegments(one of: Int, using random: inout SeededGenerator) {
        guard of > 0 else { return }
        for segment in segments.sorted(by: { ($0.timeline, $0.number) < ($1.timeline, $1.number) })
        where Int.random(in: 0..<of, using: &random) == 0 {
            segments.remove(segment)
        }
    }

    /// The timelines that lead to one, itself first, each with the position at which it begins.
    func line(to timeline: UInt32) -> [(timeline: UInt32, start: UInt64)] {
        guard let parent = parents[timeline] else { return [(timeline, 0)] }
        return [(timeline, parent.at)] + line(to: parent.timeline)
    }

    func coverage(of segments: Set<Segment>) -> WALCoverage {
        var coverage = WALCoverage(segmentSize: Self.size)
        for segment in segments { coverage.insert(name(segment)) }
        return coverage
    }

    func name(_ segment: Segment) -> WALSegmentName {
        guard let name = WALSegmentName(timeline: segment.timeline, number: segment.number, segmentSize: Self.size)
        else { preconditionFailure("\(segment) is no segment") }
        return name
    }

    func retention(window: Duration, using random: inout SeededGenerator) throws -> WALRetention {
        var retention = WALRetention(
            kept: [], expiring: [], coverage: coverage(of: segments), histories: [], window: window)
        for backup in backups {
            if Int.random(in: 0..<3, using: &random) == 0 {
                retention.kept.append(backup)
            } else {
                retention.expiring.append(backup)
            }
        }
        for timeline in parents.keys {
            let line = line(to: timeline)
            let text = zip(line.dropFirst(), line).reversed().map { ancestor, successor in
                "\(ancestor.timeline)\t\(LogSequenceNumber(position: successor.start))\tno reason\n"
            }
            retention.histories.append(try TimelineHistory(timeline: timeline, parsing: text.joined()))
        }
        return retention
    }
}

/// What is restorable, told by walking segment by segment.
private struct OracleArchive {
    let past: SimulatedCluster
    let backups: [WALRetention.Backup]
    let segments: Set<SimulatedCluster.Segment>

    init(_ past: SimulatedCluster, backups: [WALRetention.Backup], segments: Set<SimulatedCluster.Segment>) {
        self.past = past
        self.backups = backups
        self.segments = segments
    }

    func reaches(_ moment: SimulatedCluster.Moment) -> Bool {
        let timelines = [1] + past.parents.keys
        return timelines.contains { target in
            let line = past.line(to: target)
            return holds(moment.timeline, moment.position, line)
                && backups.contains { backup in
                    !backup.isDamaged && backup.stop.position <= moment.position
                        && holds(backup.timeline, backup.stop.position, line)
                        && isWhole(backup.start.position, moment.position, line)
                }
        }
    }

    func isConsistent(_ backup: WALRetention.Backup) -> Bool {
        ([1] + past.parents.keys).contains { target in
            let line = past.line(to: target)
            return holds(backup.timeline, backup.stop.position, line)
                && isWhole(backup.start.position, backup.stop.position, line)
        }
    }

    /// Whether the log up to the position on the timeline is part of the line.
    private func holds(_ timeline: UInt32, _ position: UInt64, _ line: [(timeline: UInt32, start: UInt64)]) -> Bool {
        var end = UInt64.max
        for (member, start) in line {
            if member == timeline { return position <= end }
            end = min(end, start)
        }
        return false
    }

    private func isWhole(_ start: UInt64, _ end: UInt64, _ line: [(timeline: UInt32, start: UInt64)]) -> Bool {
        let bytes = SimulatedCluster.segmentBytes
        return (start / bytes...max(start, end - 1) / bytes).allSatisfy { number in
            guard let owner = line.first(where: { $0.start / bytes <= number }) else { return false }
            return segments.contains(SimulatedCluster.Segment(timeline: owner.timeline, number: number))
        }
    }
}
