import Testing

@testable import BackupModel

@Suite struct `Reading WAL ahead` {
    private static func segment(_ number: UInt64, timeline: UInt32 = 1) throws -> WALSegmentName {
        try #require(WALSegmentName(timeline: timeline, number: number, segmentSize: .standard))
    }

    @Test(
        arguments: [
            // asked, spooled, count, fetch, remove
            (5, [], 3, [6, 7, 8], []), (5, [6, 7, 8], 3, [], []), (6, [7, 8], 3, [9], []),
            // Taken out of order, or left over from before and behind.
            (5, [7], 3, [6, 8], []), (5, [2, 3, 6, 20], 2, [7], [2, 3, 20]),
            // What was asked for stays: the server may be about to take it.
            (5, [5, 6], 1, [], []), (5, [6], 0, [], [6]),
        ] as [(UInt64, [UInt64], Int, [UInt64], [UInt64])])
    func `keeps the next segments, and no others`(
        asked: UInt64, spooled: [UInt64], count: Int, fetch: [UInt64], remove: [UInt64]
    ) throws {
        let plan = try WALReadAhead.plan(
            after: Self.segment(asked), spooled: Set(spooled.map { try Self.segment($0) }), count: count)
        #expect(plan.fetch.map(\.number) == fetch)
        #expect(plan.remove.map(\.number).sorted() == remove)
    }

    @Test func `follows the server to another timeline, and drops those of the old one`() throws {
        let old = try [6, 7].map { try Self.segment($0) }
        let plan = try WALReadAhead.plan(after: Self.segment(5, timeline: 2), spooled: Set(old), count: 2)
        #expect(try plan.fetch == [Self.segment(6, timeline: 2), Self.segment(7, timeline: 2)])
        #expect(plan.remove == Set(old))
    }

    @Test func `ends at the end of the log`() throws {
        let last = try Self.segment(WALSegmentSize.standard.greatestNumber)
        #expect(WALReadAhead.plan(after: last, spooled: [], count: 3).fetch.isEmpty)
    }

    @Test(arguments: [(257, true), (256, false), (0, false)])
    func `leaves as much room as it takes`(mebibytes: Int64, isRoom: Bool) {
        #expect(WALReadAhead.hasRoom(mebibytes << 20, count: 8, size: .standard) == isRoom)
    }

    @Test func `names a segment that was proved by when it was written`() throws {
        let spooled = SpooledSegment(try Self.segment(7), modified: 1_700_000_000_123_456_789)
        #expect(spooled.description == "000000010000000000000007-1700000000123456789")
        #expect(SpooledSegment(parsing: spooled.description, segmentSize: .standard) == spooled)
    }

    @Test(arguments: [
        "000000010000000000000007", "000000010000000000000007-", "000000010000000000000007-1x",
        "000000010000000000000007-01", "000000010000000000000007-+1", "000000010000000000000007.unfinished",
        "00000001000000000000007-1", "asked", "",
    ])
    func `takes nothing else for one`(text: String) {
        #expect(SpooledSegment(parsing: text, segmentSize: .standard) == nil)
    }
}

@Suite struct `Archiving WAL ahead` {
    private static let statuses = [
        "000000020000000000000003.ready", "000000010000000000000002.done", "00000002.history.ready",
        "000000010000000000000003.partial.ready", "000000010000000000000002.00000028.backup.ready", "x",
    ]

    @Test func `takes what waits in PostgreSQL's order`() {
        #expect(
            WALPushAhead.waiting(Self.statuses) == [
                "00000002.history", "000000010000000000000002.00000028.backup", "000000010000000000000003.partial",
                "000000020000000000000003",
            ])
        #expect(
            WALPushAhead.plan(Self.statuses, without: ["00000002.history", "000000020000000000000003"]) == [
                "000000010000000000000002.00000028.backup", "000000010000000000000003.partial",
            ])
        let many = (0..<1000).map { "\($0).ready" }
        #expect(WALPushAhead.plan(many, without: []).count == WALPushAhead.batch)
    }

    @Test func `drops acknowledgements of what no longer waits`() {
        let acknowledged: Set = ["00000002.history", "000000010000000000000002", "000000010000000000000001"]
        #expect(
            WALPushAhead.obsolete(acknowledged, statuses: Self.statuses) == [
                "000000010000000000000002", "000000010000000000000001",
            ])
    }

    @Test func `has a number to lock each name by, the same in every process`() {
        #expect(WALPushAhead.lockNumber(of: "") == 0x65f9_4e72_4211_1192)
        let names = (0..<1000).map { "0000000100000000000000\($0)" }
        #expect(Set(names.map(WALPushAhead.lockNumber)).count == names.count)
        #expect(names.allSatisfy { WALPushAhead.lockNumber(of: $0) >= 0 })
    }

    private static let file = FileIdentity(device: 1, number: 2, size: 3, modified: 4, changed: 5)
    private static let digest = SHA256Digest(bytes: Array(repeating: 7, count: 32))

    @Test func `believes an acknowledgement of this very file only`() {
        let acknowledgement = WALAcknowledgement(
            name: "a", systemIdentifier: 42, file: Self.file, contentSHA256: Self.digest)
        func covers(
            name: String = "a", system: UInt64 = 42, stored: SHA256Digest? = Self.digest,
            _ change: (inout FileIdentity) -> Void = { _ in }
        ) -> Bool {
            var file = Self.file
            change(&file)
            return acknowledgement.covers(name, of: system, file: file, stored: stored)
        }
        #expect(covers())
        #expect(!covers(name: "b") && !covers(system: 43) && !covers(stored: nil))
        #expect(!covers(stored: SHA256Digest(bytes: Array(repeating: 8, count: 32))))
        #expect(!covers { $0.device = 9 } && !covers { $0.number = 9 } && !covers { $0.size = 9 })
        #expect(!covers { $0.modified = 9 } && !covers { $0.changed = 9 })
    }
}
