import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Planning the retention of WAL` {
    @Test func `keeps WAL from the newest backup before the window on, and removes what is older`() throws {
        #expect(
            try plan(
                """
                kept 1 10.5-11.5 day 1
                kept 1 20.5-21.5 day 8
                kept 1 30.5-31.5 day 12
                wal 1 0-40
                """) == """
                    anchor day 8
                    remove 1 0-9 before day 8
                    remove 1 12-19 before day 8
                    """)
    }

    @Test func `keeps the backup with which the window begins, though other rules let it go`() throws {
        #expect(
            try plan(
                """
                expiring 1 10.5-11.5 day 1
                expiring 1 20.5-21.5 day 8
                expiring 1 22.5-23.5 day 9
                kept 1 30.5-31.5 day 12
                wal 1 0-40
                """) == """
                    anchor day 9
                    stays day 9: the window begins with it on timeline 1
                    remove 1 0-21 before day 9
                    """)
    }

    @Test func `passes over backups that are damaged or not consistent`() throws {
        #expect(
            try plan(
                """
                expiring 1 10.5-11.5 day 1
                kept 1 20.5-21.5 day 7 damaged
                kept 1 24.5-25.5 day 8
                wal 1 0-24
                wal 1 26-40
                """) == """
                    anchor day 1
                    stays day 1: the window begins with it on timeline 1
                    remove 1 0-9 before day 1
                    """)
    }

    @Test(arguments: [
        "wal 1 0-40",
        "kept 1 20.5-21.5 day 11\nwal 1 0-40",
        "kept 1 20.5-21.5 day 2 damaged\nwal 1 0-40",
        "kept 1 20.5-21.5 day 2\nwal 1 0-20",
    ])
    func `removes nothing without a backup that is restorable and older than the window`(state: String) throws {
        #expect(try plan(state) == "no anchor")
    }

    @Test func `keeps the first backup behind a hole, from which alone the rest of the window is reached`() throws {
        #expect(
            try plan(
                """
                kept 1 10.5-11.5 day 8
                expiring 1 20.5-21.5 day 11
                expiring 1 25.5-26.5 day 13
                kept 1 30.5-31.5 day 15
                wal 1 0-15
                wal 1 17-40
                """) == """
                    anchor day 8
                    stays day 11: only from it the window is restorable on timeline 1 up to 0/2900000
                    remove 1 0-9 before day 8
                    """)
        #expect(
            try plan(
                """
                kept 1 10.5-11.5 day 8
                kept 1 20.5-21.5 day 11
                expiring 1 25.5-26.5 day 13
                wal 1 0-15
                wal 1 17-40
                """) == """
                    anchor day 8
                    remove 1 0-9 before day 8
                    """)
    }

    @Test func `keeps the oldest backup while none is older than the window`() throws {
        #expect(
            try plan(
                """
                expiring 1 10.5-11.5 day 11
                expiring 1 20.5-21.5 day 13
                kept 1 30.5-31.5 day 15
                wal 1 0-40
                """) == """
                    no anchor
                    stays day 11: only from it the window is restorable on timeline 1 up to 0/2900000
                    """)
    }

    @Test func `follows the anchor's timelines, and keeps both files of a segment in which one begins`() throws {
        #expect(
            try plan(
                """
                kept 1 10.5-11.5 day 8
                kept 2 30.5-31.5 day 12
                wal 1 0-20
                wal 2 20-40
                history 2: 1 20.5
                """) == """
                    anchor day 8
                    remove 1 0-9 before day 8
                    """)
        #expect(
            try plan(
                """
                kept 1 10.5-11.5 day 2
                kept 2 30.5-31.5 day 8
                wal 1 0-25
                wal 2 20-40
                history 2: 1 20.5
                """) == """
                    anchor day 8
                    remove 1 0-9 before day 8
                    remove 1 12-25 before day 8
                    remove 2 20-29 before day 8
                    """)
    }

    @Test func `keeps an older backup for a newer timeline that left before the anchor`() throws {
        #expect(
            try plan(
                """
                expiring 1 10.5-11.5 day 2
                expiring 1 14.5-15.5 day 3
                kept 1 20.5-21.5 day 8
                wal 1 0-25
                wal 2 16-40
                history 2: 1 16.5
                """) == """
                    anchor day 8
                    stays day 3: the window begins with it on timeline 2
                    remove 1 0-13 before day 8
                    remove 1 17-19 before day 8
                    """)
    }

    @Test
    func `never removes WAL of a timeline newer than the anchor's, and tells the older from those that led to it`()
        throws
    {
        #expect(
            try plan(
                """
                kept 3 20.5-21.5 day 8
                wal 1 0-12
                wal 2 5-19
                wal 3 12-25
                wal 4 1-3
                history 2: 1 5.5
                history 3: 1 12.5
                history 4: 1 1.5
                """) == """
                    anchor day 8
                    remove 1 0-12 before day 8
                    remove 2 5-19 left before day 8
                    remove 3 12-19 before day 8
                    """)
    }

    @Test func `keeps an older timeline on which a backup was taken after the anchor`() throws {
        #expect(
            try plan(
                """
                expiring 1 10.5-11.5 day 7
                kept 2 20.5-21.5 day 8
                kept 1 12.5-13.5 day 12
                wal 1 0-16
                wal 2 8-25
                history 2: 1 8.5
                """) == """
                    anchor day 8
                    stays day 7: the window begins with it on timeline 1
                    remove 1 0-9 before day 8
                    remove 2 8-19 before day 8
                    """)
        // The backup that shows it stays, so that the next run decides alike.
        #expect(
            try plan(
                """
                kept 1 10.5-11.5 day 7
                kept 2 20.5-21.5 day 8
                expiring 1 12.5-13.5 day 12
                expiring 1 14.5-15.5 day 13
                wal 1 0-16
                wal 2 8-25
                history 2: 1 8.5
                """) == """
                    anchor day 8
                    stays day 13: it shows that timeline 1 went on
                    remove 1 0-9 before day 8
                    remove 2 8-19 before day 8
                    """)
    }

    @Test func `refuses when it is not known what leads to a timeline of the window`() throws {
        let state = """
            expiring 1 10.5-11.5 day 2
            kept 1 20.5-21.5 day 8
            wal 1 0-40
            wal 2 16-40
            """
        let error = #expect(throws: BackupError.self) { try plan(state) }
        #expect(error?.code == .pruneRefused)
        #expect(error?.reason == "00000002.history is not in the archive")
        // With an anchor on the timeline itself, what came before does not matter.
        #expect(
            try plan("\(state)\nkept 2 22.5-23.5 day 9")
                == """
                anchor day 9
                remove 1 0-19 before day 9
                remove 2 16-21 before day 9
                """.replacing("remove 1 0-19 before", with: "remove 1 0-19 left before"))
        // Where nothing goes, nothing has to be known.
        #expect(try plan("kept 1 20.5-21.5 day 12\nwal 1 0-40\nwal 2 16-40") == "no anchor")
    }

    @Test func `keeps what a backup needs that is not consistent on its own timeline alone`() throws {
        #expect(
            try plan(
                """
                kept 1 10.2-10.4 day 1
                kept 2 20.5-21.5 day 8
                wal 1 0-9
                wal 2 10-40
                history 2: 1 10.5
                """) == """
                    anchor day 8
                    remove 1 0-9 before day 8
                    remove 2 11-19 before day 8
                    """)
    }

    @Test func `waits for a backup that began before the anchor was finished`() throws {
        let state = "kept 1 20.5-21.5 day 8\nwal 1 0-40"
        #expect(try plan("\(state)\nrunning day 8") == "no anchor")
        #expect(try plan("\(state)\nrunning day 9") == "anchor day 8\nremove 1 0-19 before day 8")
    }

    @Test func `keeps a held backup that it was given as one to go`() throws {
        #expect(
            try plan(
                """
                expiring 1 10.5-11.5 day 1 held
                kept 1 20.5-21.5 day 8
                wal 1 0-40
                """) == """
                    anchor day 8
                    stays day 1: held
                    remove 1 0-9 before day 8
                    remove 1 12-19 before day 8
                    """)
    }

    @Test func `begins the window at the very moment, and has none that is negative`() throws {
        let state = """
            kept 1 10.5-11.5 day 2
            kept 1 20.5-21.5 day 10
            kept 1 30.5-31.5 day 20
            wal 1 0-40
            """
        #expect(try plan(state).hasPrefix("anchor day 10\n"))
        #expect(try plan(state, window: .seconds(-86_400 * 20)).hasPrefix("anchor day 10\n"))
        #expect(try plan(state, window: .seconds(6 * 86_400 + 1)).hasPrefix("anchor day 2\n"))
    }

    @Test func `believes no clock that cannot be right`() throws {
        let retention = try Described("kept 1 10.5-11.5 day 2\nwal 1 0-40").retention
        let history = ClockGuard.History(backups: [day(2), day(40)])
        let error = #expect(throws: BackupError.self) { try retention.plan(at: day(16), believing: history) }
        #expect(error?.code == .clockImplausible)
        #expect(try retention.plan(at: day(16), believing: nil).anchor?.finishedAt == day(2))
    }

    @Test func `lets partial and backup files follow their segment, and never removes a history`() throws {
        let retention = try Described("kept 1 20.5-21.5 day 8\nwal 1 0-40").retention
        let plan = try retention.plan(at: day(16), believing: nil)
        func removes(_ name: String) throws -> Bool {
            plan.removes(try #require(WALFileName(parsing: name, segmentSize: mebibyte)))
        }
        #expect(try removes("000000010000000000000013"))
        #expect(try removes("000000010000000000000013.partial"))
        #expect(try removes("000000010000000000000013.00000028.backup"))
        #expect(try !removes("000000010000000000000014"))
        #expect(try !removes("000000010000000000000014.partial"))
        #expect(try !removes("000000010000000000000014.00000028.backup"))
        #expect(try !removes("000000020000000000000013"))
        #expect(try !removes("00000001.history"))
        #expect(try !removes("something"))
        #expect(
            !WALRetentionPlan().removes(try #require(WALSegmentName(timeline: 1, number: 0, segmentSize: mebibyte))))
    }

    @Test func `does not trap on positions and numbers at the end of the log`() throws {
        let last = LogSequenceNumber(position: .max)
        var coverage = WALCoverage(segmentSize: mebibyte)
        coverage.insert(0...mebibyte.greatestNumber, timeline: .max)
        let backup = WALRetention.Backup(
            id: RunID(at: day(1), chance: 0), start: last, stop: last, timeline: .max, finishedAt: day(1))
        let retention = WALRetention(kept: [backup], expiring: [], coverage: coverage, histories: [], window: .zero)
        let plan = try retention.plan(at: day(16), believing: nil)
        #expect(plan.removed.map(\.numbers) == [0...mebibyte.greatestNumber - 1])
    }

    @Test func `proves each plan, and names what a wrong one would lose`() throws {
        let retention = try Described(
            """
            kept 1 2.5-3.5 day 1
            expiring 1 10.5-11.5 day 8
            kept 1 30.5-31.5 day 12
            wal 1 0-40
            """
        ).retention
        let right = try retention.plan(at: day(16), believing: nil)
        func reason(_ change: (inout WALRetentionPlan) -> Void) -> String? {
            var plan = right
            change(&plan)
            let error = #expect(throws: BackupError.self) { try retention.requireProof(of: plan, at: day(16)) }
            #expect(error?.code == .pruneRefused)
            return error?.reason
        }
        func remove(_ numbers: ClosedRange<UInt64>) -> WALRetentionPlan.Removed {
            .init(timeline: 1, numbers: numbers, reason: .beforeAnchor(RunID(at: day(8), chance: 0)))
        }
        #expect(
            reason { $0.rescued = [] }
                == "of timeline 1, what is restorable from 0/B80000 to 0/2900000 would no longer all be")
        #expect(
            reason { $0.removed.append(remove(20...20)) }
                == "of timeline 1, what is restorable from 0/B80000 to 0/2900000 would no longer all be")
        #expect(
            reason { $0.removed.append(remove(3...3)) }
                == "backup 20260302T000000Z-0000 would lose WAL without which it is not consistent")
        let young = try Described("kept 1 20.5-21.5 day 12\nwal 1 0-40").retention
        let error = #expect(throws: BackupError.self) {
            var plan = WALRetentionPlan()
            plan.removed = [remove(0...0)]
            try young.requireProof(of: plan, at: day(16))
        }
        #expect(error?.reason == "WAL would go although no backup was finished before the window began")
    }

    /// The plan on day 16 for a window of six days, in few words.
    private func plan(_ table: String, window: Duration = .seconds(6 * 86_400)) throws -> String {
        var described = try Described(table)
        described.retention.window = window
        let plan = try described.retention.plan(at: day(16), believing: nil)
        var lines = [plan.anchor.map { "anchor \(described.names[$0.id] ?? "?")" } ?? "no anchor"]
        lines += plan.rescued.map { rescued in
            let reasons = rescued.reasons.map(\.description).joined(separator: ", ")
            return "stays \(described.names[rescued.backup.id] ?? "?"): \(reasons)"
        }
        lines += plan.removed.map { removed in
            let reason =
                switch removed.reason {
                case .beforeAnchor(let id): "before \(described.names[id] ?? "?")"
                case .leftBeforeAnchor(let id): "left before \(described.names[id] ?? "?")"
                }
            return "remove \(removed.timeline) \(removed.numbers.lowerBound)-\(removed.numbers.upperBound) \(reason)"
        }
        return lines.joined(separator: "\n")
    }
}

/// Backups, WAL and histories, a line each; positions are in segments of 1 MiB.
private struct Described {
    var retention = WALRetention(
        kept: [], expiring: [], coverage: WALCoverage(segmentSize: mebibyte), histories: [],
        window: .seconds(6 * 86_400))
    var names: [RunID: String] = [:]

    init(_ table: String) throws {
        for (number, line) in table.split(separator: "\n").enumerated() {
            let words = line.split(separator: " ").map(String.init)
            let day = words.firstIndex(of: "day").flatMap { Int(words[$0 + 1]) }
            let id = RunID(at: BackupModelTests.day(day ?? 0), chance: UInt16(number))
            names[id] = "day \(day ?? 0)"
            switch words[0] {
            case "wal":
                let numbers = words[2].split(separator: "-").compactMap { UInt64($0) }
                retention.coverage.insert(numbers[0]...numbers[1], timeline: try #require(UInt32(words[1])))
            case "history":
                let timeline = try #require(UInt32(words[1].dropLast()))
                retention.histories.append(
                    try TimelineHistory(timeline: timeline, parsing: "\(words[2])\t\(position(words[3]))\tno reason\n"))
            case "running":
                retention.running.append(.init(id: id, startedAt: BackupModelTests.day(day ?? 0)))
            default:
                let positions = words[2].split(separator: "-").map { position(String($0)) }
                let backup = WALRetention.Backup(
                    id: id, start: positions[0], stop: positions[1], timeline: try #require(UInt32(words[1])),
                    finishedAt: BackupModelTests.day(day ?? 0), isHeld: words.contains("held"),
                    isDamaged: words.contains("damaged"))
                if words[0] == "kept" { retention.kept.append(backup) } else { retention.expiring.append(backup) }
            }
        }
        retention.kept.reverse()
    }

    private func position(_ text: String) -> LogSequenceNumber {
        LogSequenceNumber(position: UInt64((Double(text) ?? 0) * Double(mebibyte.bytes)))
    }
}

private let mebibyte = WALSegmentSize(bytes: 1 << 20) ?? .standard

private func day(_ number: Int) -> Timestamp {
    instant("2026-03-01T00:00:00Z").advanced(by: .seconds(86_400 * number))
}
