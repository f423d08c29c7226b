import TestSupport
import Testing

@testable import BackupModel

@Suite struct `Receiving WAL` {
    private static let size = WALSegmentSize.standard

    private static func lsn(_ text: String) throws -> LogSequenceNumber {
        try #require(LogSequenceNumber(parsing: text))
    }

    @Test func `a cluster's name becomes the name of a slot`() {
        let names = [
            "apex": "apex_backup_apex", "Prod-EU.1": "apex_backup_prod_eu_1", "größe": "apex_backup_gr____e",
            String(repeating: "x", count: 100): "apex_backup_" + String(repeating: "x", count: 51),
        ]
        for (cluster, slot) in names {
            #expect(ReplicationSlotName(ofCluster: cluster).description == slot)
            #expect(ReplicationSlotName(parsing: slot)?.description == slot)
        }
        for text in ["", "A", "a-b", "a b", "é", "a\"", String(repeating: "a", count: 64)] {
            #expect(ReplicationSlotName(parsing: text) == nil, "\(text)")
        }
    }

    @Test(
        arguments: [
            ("", false), ("*", true), ("apex_backup_apex", true), ("APEX_Backup_apex", true), ("other", false),
            ("a, apex_backup_apex", true), ("2 (a, apex_backup_apex, b)", true), ("FIRST 1 (a,apex_backup_apex)", true),
            ("ANY 2 (\"x y\", \"apex_backup_apex\")", true), ("\"*\"", true), ("any 1 (*)", true),
            ("apex_backup_apex2", false), ("\"a, apex_backup_apex\"", false),
            ("\"say \"\"apex_backup_apex\"\"\"", false),
            ("1 (apex_backup_apex)", true), ("FIRST 1 (first)", false),
        ] as [(String, Bool)])
    func `synchronous_standby_names tells for whom the server waits`(setting: String, includes: Bool) {
        #expect(SynchronousStandbyNames(parsing: setting).include("apex_backup_apex") == includes)
    }

    @Test(
        arguments: [
            // A server that is away, or in trouble of its own.
            (.serverUnreachable, nil, false, .passing), (.serverConnectionLost, "57P01", true, .passing),
            (.serverRefused, "57P03", false, .passing), (.queryFailed, "XX000", true, .passing),
            (.queryFailed, "58030", true, .passing), (.queryFailed, "53100", true, .passing),
            (.queryFailed, "57014", true, .passing), (.queryFailed, "42704", true, .passing),
            (.repositoryFull, nil, true, .passing), (.repositoryUnavailable, nil, true, .passing),
            // A server that refuses.
            (.authenticationFailed, "28P01", true, .lasting), (.authenticationFailed, "28000", false, .lasting),
            (.permissionDenied, "42501", false, .lasting), (.wrongCluster, nil, false, .lasting),
            (.queryFailed, "53400", false, .lasting), (.queryFailed, "55000", false, .lasting),
            (.serverUnsupported, nil, true, .lasting), (.walConflict, nil, true, .lasting),
            (.walSegmentInvalid, nil, true, .lasting), (.queryFailed, nil, true, .lasting),
            // What depends on whether it let this process stream before.
            (.serverRefused, "53300", false, .lasting), (.serverRefused, "53300", true, .passing),
            (.queryFailed, "53400", true, .passing), (.queryFailed, "55000", true, .passing),
            (.queryFailed, "55006", false, .slotTaken), (.queryFailed, "55006", true, .slotTaken),
            (.queryFailed, "58P01", true, .walRemoved),
            (.storageFailed, nil, true, .passing), (.storageFailed, nil, false, .lasting),
            // The repository was there when the receiver began.
            (.repositoryMissing, nil, true, .passing), (.repositoryMissing, nil, false, .passing),
            // What is received once more.
            (.objectDamaged, nil, true, .damaged), (.objectMissing, nil, true, .damaged),
            (.walMissing, nil, true, .damaged),
        ] as [(ErrorCode, String?, Bool, WALReceptionFailure)])
    func `what fails passes, or does not`(
        code: ErrorCode, sqlstate: String?, hasStreamed: Bool, failure: WALReceptionFailure
    ) {
        for hasStored in [false, true] {
            let judged = WALReceptionFailure(code, sqlstate: sqlstate, hasStreamed: hasStreamed, hasStored: hasStored)
            #expect(judged == failure)
        }
    }

    @Test func `a repository that refuses what it took before may take it again`() {
        func judged(_ code: ErrorCode, _ sqlstate: String?, hasStored: Bool) -> WALReceptionFailure {
            WALReceptionFailure(code, sqlstate: sqlstate, hasStreamed: true, hasStored: hasStored)
        }
        // Its credentials may have run out, and their source may be away.
        for code in [ErrorCode.permissionDenied, .authenticationFailed, .settings] {
            #expect(judged(code, nil, hasStored: true) == .forbidden && judged(code, nil, hasStored: false) == .lasting)
        }
        #expect(judged(.permissionDenied, "42501", hasStored: true) == .lasting)
        #expect(judged(.authenticationFailed, "28P01", hasStored: true) == .lasting)
    }

    /// Segments that are stored whole, and how far pieces of others reach.
    private func start(
        from position: String, _ history: TimelineHistory, stored: [String], pieces: [String: String] = [:]
    ) throws -> String {
        let start = try WALReceptionStart.find(
            from: Self.lsn(position), history: history, size: Self.size,
            isStored: { segment throws(BackupError) in stored.contains("\(segment)") },
            piecesEnd: { segment throws(BackupError) in
                pieces["\(segment)"].flatMap { LogSequenceNumber(parsing: $0) }
            })
        return "\(start.timeline) \(start.position)"
    }

    @Test func `goes on where what is stored ends`() throws {
        let first = TimelineHistory(first: 1)
        let three = ["000000010000000000000003", "000000010000000000000004", "000000010000000000000006"]
        #expect(try start(from: "0/3000000", first, stored: []) == "1 0/3000000")
        // A hole is filled before what is behind it.
        #expect(try start(from: "0/3000000", first, stored: three) == "1 0/5000000")
        let pieces = ["000000010000000000000005": "0/5000120"]
        #expect(try start(from: "0/3000000", first, stored: three, pieces: pieces) == "1 0/5000120")
        #expect(try start(from: "0/5000120", first, stored: three, pieces: pieces) == "1 0/5000120")
        // Pieces that fill a segment are not the segment.
        #expect(
            try start(from: "0/5000000", first, stored: [], pieces: ["000000010000000000000005": "0/6000000"])
                == "1 0/5000000")
    }

    @Test func `follows the history over the end of a timeline`() throws {
        let second = try TimelineHistory(timeline: 2, parsing: "1\t0/5000120\tno recovery target specified\n")
        let old = ["000000010000000000000003", "000000010000000000000004"]
        // The old timeline is stored up to its end first.
        #expect(try start(from: "0/3000000", second, stored: old) == "1 0/5000000")
        let partly = ["000000010000000000000005": "0/5000100"]
        #expect(try start(from: "0/3000000", second, stored: old, pieces: partly) == "1 0/5000100")
        // Then the new one, from the beginning of the segment that both have.
        let wholly = ["000000010000000000000005": "0/5000120"]
        #expect(try start(from: "0/3000000", second, stored: old, pieces: wholly) == "2 0/5000000")
        let both = wholly.merging(["000000020000000000000005": "0/5000200"]) { $1 }
        #expect(try start(from: "0/3000000", second, stored: old, pieces: both) == "2 0/5000200")
        #expect(
            try start(
                from: "0/3000000", second, stored: old + ["000000020000000000000005"], pieces: wholly)
                == "2 0/6000000")
        // What the old server wrote behind it does not count.
        #expect(
            try start(from: "0/3000000", second, stored: old + ["000000010000000000000005"]) == "2 0/5000000")
    }

    @Test func `what is lost is critical until a backup begins behind it`() throws {
        let gap = WALGapRecord(
            timeline: 1, from: try Self.lsn("0/3000060"), to: try Self.lsn("1/A000000"),
            foundAt: Timestamp(microseconds: 0), slot: "s", reason: "58P01: removed")
        #expect(gap.name == "00000001-0000000003000060-000000010A000000")
        var facts = WALArchiveFacts(
            coverage: WALCoverage(segmentSize: Self.size), now: Timestamp(microseconds: 0), rpo: .seconds(60))
        facts.coverage.insert(5...9, timeline: 1)
        facts.latestTime = facts.now
        #expect(WALArchiveStatus.judge(facts).level == .ok)
        facts.recordedGaps = [gap]
        let status = WALArchiveStatus.judge(facts)
        #expect(status.level == .critical)
        #expect(status.findings.first?.text.contains("apex-backup backup --kind physical") == true)
    }
}
