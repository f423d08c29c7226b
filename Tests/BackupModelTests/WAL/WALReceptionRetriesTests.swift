import Testing

@testable import BackupModel

@Suite struct `A receiver of WAL that has failed` {
    private var retries = WALReceptionRetries()

    private mutating func pause(
        _ failure: WALReceptionFailure, at seconds: Int, lasting duration: Int = 0, segments: Int = 0, pieces: Int = 0,
        hasStreamed: Bool = true, senderTimeout: Duration? = nil, holder: ReplicationSlotHolder? = nil
    ) -> Duration? {
        retries.pause(
            after: .init(
                failure, duration: .seconds(duration), segments: segments, pieces: pieces, hasStreamed: hasStreamed,
                senderTimeout: senderTimeout, holder: holder), at: .seconds(seconds))
    }

    @Test mutating func `waits longer and longer, until something works again`() {
        var pauses: [Duration] = []
        for second in 0..<10 { pauses.append(pause(.passing, at: second) ?? .zero) }
        #expect(pauses.prefix(4) == [.milliseconds(200), .milliseconds(400), .milliseconds(800), .milliseconds(1600)])
        #expect(pauses.last == .seconds(15))
        #expect(pause(.passing, at: 20, pieces: 1) == .milliseconds(200))
        #expect(pause(.passing, at: 20) == .milliseconds(400))
        // A stream over which nothing came, for a while.
        #expect(pause(.passing, at: 60, lasting: 31) == .milliseconds(200))
    }

    @Test mutating func `never gives up what passes by itself`() {
        for failure in [WALReceptionFailure.passing, .walRemoved] {
            for hour in 0..<100 { #expect(pause(failure, at: hour * 3600, hasStreamed: false) != nil) }
        }
        #expect(pause(.lasting, at: 0) == nil)
    }

    @Test(
        arguments: [
            (nil, 150), (.seconds(1), 150), (.seconds(60), 150), (.seconds(300), 600), (.zero, 10_800),
        ] as [(Duration?, Int)])
    mutating func `waits for a slot as long as the server takes to miss a lost stream, its own or an earlier one's`(
        timeout: Duration?, patience: Int
    ) {
        for hasStreamed in [true, false] {
            retries = WALReceptionRetries()
            #expect(pause(.slotTaken, at: 0, hasStreamed: hasStreamed, senderTimeout: timeout) != nil)
            #expect(pause(.slotTaken, at: patience - 1, hasStreamed: hasStreamed, senderTimeout: timeout) != nil)
            #expect(pause(.slotTaken, at: patience, hasStreamed: hasStreamed, senderTimeout: timeout) == nil)
        }
    }

    @Test mutating func `leaves a slot to another receiver that lives, unless it may be its own late words`() {
        func holder(_ process: Int32, said second: Int64?) -> ReplicationSlotHolder {
            ReplicationSlotHolder(process: process, lastReply: second.map { Timestamp(microseconds: $0 * 1_000_000) })
        }
        // What the server still had from a dead one it has heard soon.
        #expect(pause(.slotTaken, at: 0, hasStreamed: false, holder: holder(1, said: 0)) != nil)
        #expect(pause(.slotTaken, at: 2, hasStreamed: false, holder: holder(1, said: 1)) != nil)
        #expect(pause(.slotTaken, at: 90, hasStreamed: false, holder: holder(1, said: 1)) != nil)
        #expect(pause(.slotTaken, at: 91, hasStreamed: false, holder: holder(1, said: 2)) == nil)
        // Another process of the server is another receiver, too.
        retries = WALReceptionRetries()
        #expect(pause(.slotTaken, at: 0, hasStreamed: false, holder: holder(1, said: nil)) != nil)
        #expect(pause(.slotTaken, at: 60, hasStreamed: false, holder: holder(1, said: nil)) != nil)
        #expect(pause(.slotTaken, at: 61, hasStreamed: false, holder: holder(2, said: nil)) == nil)
        // It was free in between.
        #expect(pause(.passing, at: 62, hasStreamed: false) != nil)
        #expect(pause(.slotTaken, at: 63, hasStreamed: false, holder: holder(3, said: 1)) != nil)
        #expect(pause(.slotTaken, at: 70, hasStreamed: false, holder: holder(3, said: 1)) != nil)
        retries = WALReceptionRetries()
        #expect(pause(.slotTaken, at: 0, holder: holder(1, said: 0)) != nil)
        #expect(pause(.slotTaken, at: 60, holder: holder(1, said: 50)) != nil)
    }

    @Test mutating func `begins to wait for the slot when it meets it, and not when the server was lost`() {
        for minute in 0..<30 { #expect(pause(.passing, at: 60 * minute) != nil) }
        #expect(pause(.slotTaken, at: 1800) != nil && pause(.slotTaken, at: 1949) != nil)
        #expect(pause(.slotTaken, at: 1950) == nil)
    }

    @Test mutating func `waits an hour for a repository that lets it write no more`() {
        #expect(pause(.forbidden, at: 0) != nil)
        // A server at rest has nothing to store: that is no success.
        #expect(pause(.forbidden, at: 3599, lasting: 600) != nil)
        #expect(pause(.forbidden, at: 3600, lasting: 600) == nil)
        retries = WALReceptionRetries()
        #expect(pause(.forbidden, at: 0) != nil && pause(.forbidden, at: 3599, pieces: 1) != nil)
        #expect(pause(.forbidden, at: 3600) != nil)
    }

    @Test mutating func `receives once more what is damaged, but not for ever`() {
        for second in 0..<4 { #expect(pause(.damaged, at: second, lasting: 60, pieces: 9) != nil) }
        #expect(pause(.damaged, at: 4, lasting: 60, pieces: 9) == nil)
        retries = WALReceptionRetries()
        for second in 0..<100 { #expect(pause(.damaged, at: second, segments: 1) != nil) }
    }
}
