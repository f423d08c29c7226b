/// The five settings of a primary that a server which answers queries during recovery must have at least as high.
///
/// With a lower one it refuses to start, or stops replaying where the primary raised its own (PostgreSQL,
/// documentation, "Hot Standby", section "Administrator's Overview").
package struct HotStandbyParameters: Sendable, Hashable, Codable {
    /// One of the five, by the name of its setting.
    package enum Name: String, Sendable, Hashable, CaseIterable {
        case maxConnections = "max_connections"
        case maxWorkerProcesses = "max_worker_processes"
        case maxWALSenders = "max_wal_senders"
        case maxPreparedTransactions = "max_prepared_transactions"
        case maxLocksPerTransaction = "max_locks_per_transaction"

        /// What a server has that is told nothing (PostgreSQL, src/backend/utils/misc/guc_tables.c).
        package var defaultValue: Int32 {
            switch self {
            case .maxConnections: 100
            case .maxWorkerProcesses: 8
            case .maxWALSenders: 10
            case .maxPreparedTransactions: 0
            case .maxLocksPerTransaction: 64
            }
        }
    }

    package var maxConnections: Int32
    package var maxWorkerProcesses: Int32
    package var maxWALSenders: Int32
    package var maxPreparedTransactions: Int32
    package var maxLocksPerTransaction: Int32

    /// Five values.
    package init(
        maxConnections: Int32, maxWorkerProcesses: Int32, maxWALSenders: Int32, maxPreparedTransactions: Int32,
        maxLocksPerTransaction: Int32
    ) {
        self.maxConnections = maxConnections
        self.maxWorkerProcesses = maxWorkerProcesses
        self.maxWALSenders = maxWALSenders
        self.maxPreparedTransactions = maxPreparedTransactions
        self.maxLocksPerTransaction = maxLocksPerTransaction
    }

    /// The value of one of them.
    package subscript(name: Name) -> Int32 {
        switch name {
        case .maxConnections: maxConnections
        case .maxWorkerProcesses: maxWorkerProcesses
        case .maxWALSenders: maxWALSenders
        case .maxPreparedTransactions: maxPreparedTransactions
        case .maxLocksPerTransaction: maxLocksPerTransaction
        }
    }

    /// What a server needs that starts from a control file with these values and replays all of `changes`: the
    /// greatest of each.
    ///
    /// The order of the changes does not matter: a server cannot change these settings while it runs.
    package func raised(by changes: some Sequence<HotStandbyParameters>) -> HotStandbyParameters {
        changes.reduce(self) { greatest, change in
            HotStandbyParameters(
                maxConnections: max(greatest.maxConnections, change.maxConnections),
                maxWorkerProcesses: max(greatest.maxWorkerProcesses, change.maxWorkerProcesses),
                maxWALSenders: max(greatest.maxWALSenders, change.maxWALSenders),
                maxPreparedTransactions: max(greatest.maxPreparedTransactions, change.maxPreparedTransactions),
                maxLocksPerTransaction: max(greatest.maxLocksPerTransaction, change.maxLocksPerTransaction))
        }
    }
}
