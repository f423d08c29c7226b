import Testing

@testable import BackupModel

@Suite struct `What a server says of its archiver` {
    private static let done = ("000000010000000000000004", "2026-11-21 02:00:00 UTC")
    private static let failed = ("000000010000000000000005", "2026-11-21 02:01:00 UTC")

    private static func text(
        mode: String = "on", archived: (String, String)? = nil, failed: (String, String)? = nil, isFailing: Bool = false
    ) -> String {
        ArchiverStatus(
            mode: mode, lastArchived: archived?.0, archivedAt: archived?.1, lastFailed: failed?.0, failedAt: failed?.1,
            isFailing: isFailing
        ).description
    }

    @Test func `names what failed last, if nothing was archived since, and else what was archived last`() {
        #expect(Self.text(mode: "off", archived: Self.done) == "archive_mode is off: the server archives nothing")
        #expect(Self.text() == "the server's archiver has archived nothing yet")
        let last = "000000010000000000000004 was archived last, at 2026-11-21 02:00:00 UTC"
        #expect(Self.text(archived: Self.done) == last)
        #expect(Self.text(mode: "always", archived: Self.done, failed: Self.failed) == last)
        let failing =
            "archive_command failed for 000000010000000000000005, at 2026-11-21 02:01:00 UTC for the last time; "
        #expect(Self.text(archived: Self.done, failed: Self.failed, isFailing: true) == failing + last)
        #expect(Self.text(failed: Self.failed, isFailing: true) == failing + "nothing was archived yet")
    }
}
