import Testing

@testable import BackupModel

@Suite struct `Telling what went wrong` {
    @Test func `says what, why, what to do and what is still safe`() {
        let error = BackupError(
            .targetNotEmpty, "It is full.", reason: "3 tables", remedy: "Empty it.", unchanged: "All.")
        #expect(
            error.description == """
                It is full.
                  why:  3 tables (target-not-empty)
                  do:   Empty it.
                  kept: All.
                """)
        let short = BackupError(.interrupted, "It stopped.", remedy: "Start again.")
        #expect(short.description == "It stopped. (interrupted)\n  do:   Start again.")
        #expect(short.leaving("Nothing.").unchanged == "Nothing.")
        #expect(error.leaving("Nothing.").unchanged == "All.")
    }

    @Test func `stands in a longer text with its reason, as far as there is one`() {
        let error = BackupError(.interrupted, "It stopped.", remedy: "Start again.")
        #expect(error.messageWithReason == "It stopped.")
        var known = error
        known.reason = "SIGTERM"
        #expect(known.messageWithReason == "It stopped. SIGTERM")
    }

    @Test func `has an exit status between 1 and 125 for every code, and no two codes alike`() {
        for code in ErrorCode.allCases { #expect((1...125).contains(code.exitStatus)) }
        #expect(Set(ErrorCode.allCases.map(\.rawValue)).count == ErrorCode.allCases.count)
        #expect(ErrorCode.usage.exitStatus == 64)
        #expect(ErrorCode.settings.exitStatus == 78)
        #expect(ErrorCode.notVerified.exitStatus == 2)
        #expect(ErrorCode.cleanupFailed.exitStatus == 3)
    }
}
