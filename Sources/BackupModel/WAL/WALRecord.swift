/// A WAL record that says something about transactions, moments or the server's state.
package struct WALRecord: Sendable, Hashable {
    /// Where the record begins: what PostgreSQL calls the record's LSN.
    package var start: LogSequenceNumber
    /// Where the next record may begin, as PostgreSQL counts: a multiple of eight; behind a switch, the next segment.
    package var end: LogSequenceNumber
    /// The transaction that wrote the record; 0 for none.
    package var transactionID: UInt32
    /// What it says.
    package var content: Content

    /// What a record says.
    package enum Content: Sendable, Hashable {
        /// A transaction was committed, with `COMMIT PREPARED` too.
        case commit(TransactionEnd)
        /// A transaction was rolled back, with `ROLLBACK PREPARED` too.
        case abort(TransactionEnd)
        /// A transaction was prepared for two-phase commit.
        case prepare(transactionID: UInt32, time: Timestamp)
        /// `pg_create_restore_point`.
        case restorePoint(name: String, time: Timestamp)
        /// Settings that a standby has to match have changed.
        case parameterChange(WALParameters)
        /// Recovery ended and a new timeline began.
        case endOfRecovery(timeline: UInt32, previousTimeline: UInt32, time: Timestamp)
        /// A checkpoint.
        case checkpoint(WALCheckpoint)
        /// The rest of the segment is unused.
        case segmentSwitch
        /// `full_page_writes` was switched on or off.
        case fullPageWrites(isOn: Bool)
        /// The base backup that began at `start` has ended here.
        case backupEnd(start: LogSequenceNumber)
        /// The record at `start` was never finished: the server crashed, and goes on here.
        case overwrittenRecord(start: LogSequenceNumber, time: Timestamp)
        /// A tablespace was made in a directory; in none of its own if that has no name.
        case tablespaceCreation(oid: UInt32, location: String)
        /// `pg_logical_emit_message`.
        case message(WALMessage)
    }
}

/// The end of a transaction.
package struct TransactionEnd: Sendable, Hashable {
    /// The transaction.
    ///
    /// `nil` for a prepared one whose number lies behind more than a megabyte of subtransactions and dropped files.
    package var transactionID: UInt32?
    /// The server's clock, which may go back from one record to the next.
    package var time: Timestamp
    /// Whether the transaction had been prepared, so that another one's session ended it.
    package var wasPrepared: Bool
}

/// The settings that a standby must not have smaller than its primary, and `wal_level`
/// (PostgreSQL, src/include/access/xlog_internal.h, `xl_parameter_change`).
package struct WALParameters: Sendable, Hashable, Codable {
    /// `max_connections`.
    package var maxConnections: Int32
    /// `max_worker_processes`.
    package var maxWorkerProcesses: Int32
    /// `max_wal_senders`.
    package var maxWALSenders: Int32
    /// `max_prepared_transactions`.
    package var maxPreparedTransactions: Int32
    /// `max_locks_per_transaction`.
    package var maxLocksPerTransaction: Int32
    /// `wal_level` as a number: 0 minimal, 1 replica, 2 logical.
    package var walLevel: Int32

    /// Whether a base backup and WAL of this level can be recovered to a moment.
    package var isRecoverable: Bool { walLevel >= 1 }
}

/// A checkpoint (PostgreSQL, src/include/catalog/pg_control.h, `CheckPoint`).
package struct WALCheckpoint: Sendable, Hashable {
    /// Whether the server was shut down, or ended a recovery, with it.
    package var isShutdown: Bool
    /// Where recovery from this checkpoint begins.
    package var redo: LogSequenceNumber
    /// The timeline.
    package var timeline: UInt32
    /// The timeline before, if a new one begins here; else the same.
    package var previousTimeline: UInt32
    /// When it began, to the second.
    package var time: Timestamp
}

/// A message that `pg_logical_emit_message` wrote.
package struct WALMessage: Sendable, Hashable {
    /// Whether it counts only if its transaction is committed.
    package var isTransactional: Bool
    /// Its prefix, of which at most ``keptBytes`` are kept.
    package var prefix: String
    /// The first of its bytes, at most ``keptBytes``.
    package var payload: [UInt8]
    /// How many bytes it has.
    package var size: UInt64

    /// How much of a prefix and of a payload is kept.
    package static let keptBytes = 1024
}
