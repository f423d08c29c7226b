import Testing

@testable import BackupModel

@Suite struct `The history of a timeline` {
    private static let text = """
        # a comment
        1\t0/2C24F80\tno recovery target specified

          2 0/6424E90 \t before transaction 740 at 2026-11-22 19:51:45.145294+00\u{20}
        4\t1/0\t
        """

    private func history() throws -> TimelineHistory { try TimelineHistory(timeline: 5, parsing: Self.text) }

    private func lsn(_ text: String) throws -> LogSequenceNumber { try #require(LogSequenceNumber(parsing: text)) }

    @Test func `names the ancestors and why each was left`() throws {
        let history = try history()
        #expect(history.ancestors.map(\.timeline) == [1, 2, 4] && history.ancestorTimelines == [1, 2, 4])
        #expect(history.ancestors.map(\.end.description) == ["0/2C24F80", "0/6424E90", "1/0"])
        #expect(
            history.ancestors.map(\.reason) == [
                "no recovery target specified", "before transaction 740 at 2026-11-22 19:51:45.145294+00", "",
            ])
    }

    @Test func `tells the path, and the timeline of each position`() throws {
        let history = try history()
        #expect(history.path.map(\.timeline) == [1, 2, 4, 5])
        #expect(history.path.map(\.start.description) == ["0/0", "0/2C24F80", "0/6424E90", "1/0"])
        #expect(history.path.map { $0.end?.description } == ["0/2C24F80", "0/6424E90", "1/0", nil])
        let expected: [(String, UInt32)] = [
            ("0/0", 1), ("0/2C24F7F", 1), ("0/2C24F80", 2), ("0/6424E90", 4), ("0/FFFFFFFF", 4), ("1/0", 5), ("9/0", 5),
        ]
        for (position, timeline) in expected { #expect(try history.timeline(at: lsn(position)) == timeline) }
    }

    @Test func `a segment in whose middle a timeline begins is read from that timeline`() throws {
        let history = try history()
        let expected: [(UInt64, UInt32)] = [(0, 1), (1, 1), (2, 2), (5, 2), (6, 4), (255, 4), (256, 5), (300, 5)]
        for (number, timeline) in expected {
            #expect(history.segment(number, size: .standard)?.timeline == timeline, "\(number)")
        }
        #expect(TimelineHistory(first: 1).segment(7, size: .standard)?.timeline == 1)
    }

    @Test func `a timeline that was left where it began has no stretch of its own`() throws {
        let history = try TimelineHistory(timeline: 3, parsing: "1\t0/5000000\ta\n2\t0/5000000\tb\n")
        #expect(history.path.map(\.timeline) == [1, 3])
        #expect(try history.timeline(at: lsn("0/5000000")) == 3)
    }

    @Test(arguments: ["", "\n", "# nothing\n  \n", "1\t0/3000000\n", "1\t0/3000000\tx\r\n", "\t1 0/3000000 x"])
    func `is read as PostgreSQL reads it`(text: String) throws {
        let history = try TimelineHistory(timeline: 2, parsing: text)
        #expect(history.ancestors.count == (text.contains("3000000") ? 1 : 0))
    }

    @Test(arguments: [
        "x", "1", "1\t", "1\t0", "one\t0/1\tx", "0\t0/1\tx", "-1\t0/1\tx", "+1\t0/1\tx", "5\t0/1\tx", "6\t0/1\tx",
        "2\t0/1\tx\n1\t0/2\tx", "1\t0/1\tx\n1\t0/2\tx", "1\t0/3\tx\n2\t0/2\tx", "4294967296\t0/1\tx", "1\t0/1x",
        "1,0/1,x",
    ])
    func `is refused when it cannot be one`(text: String) {
        let error = #expect(throws: BackupError.self) { try TimelineHistory(timeline: 5, parsing: text) }
        #expect(error?.code == .objectDamaged && error?.message.contains("00000005.history") == true)
    }
}
