import BackupModel
import Testing

@testable import PostgresAccess

@Suite struct `What a server is told of its WAL` {
    private func lsn(_ position: UInt64) -> LogSequenceNumber { LogSequenceNumber(position: position) }

    @Test func `is how far it is durable, and never goes back`() {
        let control = WALStreamControl(from: lsn(100))
        #expect(control.report(received: lsn(100)) == lsn(100))
        control.flushed = lsn(300)
        #expect(control.report(received: lsn(250)) == lsn(250) && control.report(received: lsn(400)) == lsn(300))
        control.flushed = lsn(200)
        #expect(control.flushed == lsn(300))
    }

    @Test func `is nothing before the first position that it may be told`() {
        let control = WALStreamControl(from: lsn(100), firstReport: lsn(200))
        #expect(control.report(received: lsn(100)) == nil)
        control.flushed = lsn(199)
        #expect(control.report(received: lsn(500)) == nil)
        control.flushed = lsn(200)
        #expect(control.report(received: lsn(500)) == lsn(200))
        // PostgreSQL's own word for no position.
        #expect(WALStreamControl(from: lsn(0)).report(received: lsn(500)) == nil)
    }

    @Test func `never counts as written what is not durable`() {
        func positions(_ flushed: LogSequenceNumber?) -> [UInt64] {
            let status = StandbyStatus(received: lsn(500), flushed: flushed, clock: Timestamp(microseconds: 0))
            return (0..<3).map { index in
                status.message.dropFirst(1 + 8 * index).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
            }
        }
        #expect(positions(lsn(300)) == [300, 300, 0])
        // No commit waits for a standby that says of no position that it is durable.
        #expect(positions(nil) == [500, 0, 0])
    }
}
