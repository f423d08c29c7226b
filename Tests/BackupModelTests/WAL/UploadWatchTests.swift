import Testing

@testable import BackupModel

@Suite struct `Watching what is stored where a file of WAL is absent` {
    private static let now = Timestamp(microseconds: 1_800_000_000_000_000)

    /// Something that was written to so many seconds ago.
    private static func write(
        _ age: Int64?, size: Int64 = 1, _ writer: UnfinishedWrite.Writer = .unknown, isStreamed: Bool = false
    ) -> UnfinishedWrite {
        UnfinishedWrite(
            key: ObjectKey("wal/.tmp-1"), size: size, changedAt: age.map { now.advanced(by: .seconds(-$0)) },
            writer: writer, isStreamed: isStreamed)
    }

    /// What is found after so many seconds in which the write stays as it is.
    private static func found(_ write: UnfinishedWrite, after seconds: Int64) -> UploadWatch.Finding {
        var watch = UploadWatch(limit: .seconds(600), at: .zero)
        _ = watch.look(at: [write], time: .zero, now: now)
        return watch.look(at: [write], time: .seconds(seconds), now: now.advanced(by: .seconds(seconds)))
    }

    @Test func `finds nothing where nothing is`() {
        var watch = UploadWatch(limit: .zero, at: .zero)
        #expect(watch.look(at: [], time: .zero, now: Self.now) == .nothing)
    }

    @Test(
        arguments: [
            // Of a writer that is gone, after a moment; of one that is not known, when nothing has come for long.
            (write(0, .gone), 5), (write(0), 300), (write(290), 10), (write(1000), 5),
            // Clocks differ: what is from the future has just been written, and so has what has no time.
            (write(-1000), 300), (write(nil), 300),
            // Also by hours, where one has the wrong time zone: it may just be written.
            (write(3600), 5), (write(86_000), 5), (write(86_000, .gone), 5),
            // What is very old is not even looked at.
            (write(86_400), 0), (write(86_400, .gone), 0), (write(0, .alive, isStreamed: true), 0),
        ] as [(UnfinishedWrite, Int64)])
    func `takes what stays as it is for what was left, after a time`(write: UnfinishedWrite, seconds: Int64) {
        #expect(Self.found(write, after: seconds) == .nothing)
        if seconds > 0 { #expect(Self.found(write, after: seconds - 1) == .underWay) }
    }

    @Test func `takes what a living writer writes for that, whatever its age, until it has taken too long`() {
        #expect(Self.found(Self.write(100_000, .alive), after: 599) == .underWay)
        #expect(Self.found(Self.write(100_000, .alive), after: 600) == .takesTooLong)
    }

    @Test func `never takes what grows for what was left`() {
        var watch = UploadWatch(limit: .seconds(2000), at: .seconds(7))
        for time in Int64(0)..<500 {
            let seconds = time * 4
            // By a clock that is wrong it is old enough each time.
            let write = Self.write(14 * 3600, size: time)
            let found = watch.look(at: [write], time: .seconds(7 + seconds), now: Self.now)
            #expect(found == .underWay, "\(seconds)")
        }
        let found = watch.look(at: [Self.write(1000, size: 0)], time: .seconds(2007), now: Self.now)
        #expect(found == .takesTooLong)
    }

    @Test func `counts each by itself`() {
        var watch = UploadWatch(limit: .seconds(600), at: .zero)
        var other = Self.write(0)
        other.key = ObjectKey("wal/.tmp-2")
        #expect(watch.look(at: [Self.write(0, .gone)], time: .zero, now: Self.now) == .underWay)
        #expect(watch.look(at: [Self.write(0, .gone), other], time: .seconds(9), now: Self.now) == .underWay)
        #expect(watch.look(at: [Self.write(0, .gone)], time: .seconds(10), now: Self.now) == .nothing)
    }

    @Test(
        arguments: [
            (write(60, .gone), true), (write(59, .gone), false), (write(nil, .gone), false), (write(86_400), true),
            (write(86_399), false), (write(nil), false), (write(1_000_000, .alive), false), (write(-100_000), false),
        ])
    func `what is left is removed when it is old, sooner if its writer is gone, and never while it lives`(
        write: UnfinishedWrite, isAbandoned: Bool
    ) {
        #expect(write.isAbandoned(at: Self.now) == isAbandoned)
    }

    @Test func `an error that may pass is tried again twice, within seconds, and no other is`() {
        for code in [ErrorCode.repositoryUnavailable, .repositoryMissing, .storageFailed] {
            #expect(WALGetRetry.pause(after: 1, with: code, elapsed: .zero) == .seconds(1))
            #expect(WALGetRetry.pause(after: 2, with: code, elapsed: .seconds(3)) == .seconds(2))
            #expect(WALGetRetry.pause(after: 2, with: code, elapsed: .milliseconds(3001)) == nil)
            #expect(WALGetRetry.pause(after: 3, with: code, elapsed: .zero) == nil)
        }
        let lasting: [ErrorCode] = [
            .objectDamaged, .objectMissing, .walMissing, .wrongCluster, .usage, .settings, .permissionDenied,
            .clusterNotRegistered, .walSegmentInvalid,
        ]
        for code in lasting { #expect(WALGetRetry.pause(after: 1, with: code, elapsed: .zero) == nil, "\(code)") }
    }
}
