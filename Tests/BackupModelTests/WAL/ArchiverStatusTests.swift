import Testing

@testable import BackupModel

@Suite struct `What a server says of its archiver` {
    private static func time(_ minute: Int) -> Timestamp {
        Timestamp(Timestamp.Parts(year: 2026, month: 11, day: 21, hour: 2, minute: minute))
    }
    private static let done = ("000000010000000000000004", time(0))
    private static let failedBefore = ("000000010000000000000004", time(0).advanced(by: .seconds(-60)))
    private static let failed = ("000000010000000000000005", time(1))

    private static func text(
        mode: String = "on", archived: (String, Timestamp)? = nil, failed: (String, Timestamp)? = nil
    ) -> String {
        ArchiverStatus(
            lastArchived: archived?.0, lastArchivedAt: archived?.1, lastFailed: failed?.0, lastFailedAt: failed?.1
        ).words(archiveMode: mode)
    }

    @Test func `names what failed last, if nothing was archived since, and else what was archived last`() {
        #expect(Self.text(mode: "off", archived: Self.done) == "archive_mode is off: the server archives nothing")
        #expect(Self.text() == "the server's archiver has archived nothing yet")
        let last = "000000010000000000000004 was archived last, at 2026-11-21 02:00:00 UTC"
        #expect(Self.text(archived: Self.done) == last)
        #expect(Self.text(mode: "always", archived: Self.done, failed: Self.failedBefore) == last)
        let failing =
            "archive_command failed for 000000010000000000000005, at 2026-11-21 02:01:00 UTC for the last time; "
        #expect(Self.text(archived: Self.done, failed: Self.failed) == failing + last)
        #expect(Self.text(failed: Self.failed) == failing + "nothing was archived yet")
    }
}
