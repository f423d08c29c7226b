import BackupModel
import Synchronization

/// Adds up what was received, over all connections.
final class WALReceptionLog: Sendable {
    private struct State {
        var result: WALReception.Result
        var isAllStored = true
        var hasStreamed = false
        var hasLookedForHoles = false
        var isIndexDue = true
        var isSynchronous = false
        var senderTimeout: Duration?
        var slotHolder: ReplicationSlotHolder?
    }

    private let state: Mutex<State>

    init(slot: ReplicationSlotName) {
        state = Mutex(State(result: WALReception.Result(slot: slot.description)))
    }

    var result: WALReception.Result { state.withLock(\.result) }

    /// Whether what has come is stored.
    var isAllStored: Bool { state.withLock(\.isAllStored) }

    /// Whether a server has let this process stream.
    var hasStreamed: Bool {
        get { state.withLock(\.hasStreamed) }
        set { state.withLock { $0.hasStreamed = newValue } }
    }

    /// Whether it is known that there is no hole in what is stored that the server could fill.
    var hasLookedForHoles: Bool {
        get { state.withLock(\.hasLookedForHoles) }
        set { state.withLock { $0.hasLookedForHoles = newValue } }
    }

    /// Whether a log folder may be whole of which there is no roll-up.
    var isIndexDue: Bool {
        get { state.withLock(\.isIndexDue) }
        set { state.withLock { $0.isIndexDue = newValue } }
    }

    /// Whether the server waits for this receiver when it commits.
    var isSynchronous: Bool {
        get { state.withLock(\.isSynchronous) }
        set { state.withLock { $0.isSynchronous = newValue } }
    }

    /// After how long the server misses a stream that was lost, as far as it said so.
    var senderTimeout: Duration? {
        get { state.withLock(\.senderTimeout) }
        set { state.withLock { $0.senderTimeout = newValue } }
    }

    /// Who had the slot when it was looked at last.
    var slotHolder: ReplicationSlotHolder? {
        get { state.withLock { $0.slotHolder } }
        set { state.withLock { $0.slotHolder = newValue } }
    }

    func begin(_ start: WALReceptionStart, of systemIdentifier: String) {
        state.withLock {
            $0.result.systemIdentifier = systemIdentifier
            $0.result.connections += 1
            $0.result.timeline = start.timeline
            $0.result.storedEnd = start.position
        }
    }

    func add(_ counts: ReceivedWAL.Counts, timeline: UInt32, storedEnd: LogSequenceNumber, isAll: Bool) {
        state.withLock {
            $0.isAllStored = isAll
            $0.result.bytes += counts.bytes
            $0.result.segments += counts.segments
            $0.result.pieces += counts.pieces
            $0.result.timeline = timeline
            $0.result.storedEnd = storedEnd
        }
    }

    /// Adds what a hole was filled with.
    func add(filling counts: ReceivedWAL.Counts) {
        state.withLock {
            $0.result.bytes += counts.bytes
            $0.result.segments += counts.segments
            $0.result.pieces += counts.pieces
        }
    }

    func add(_ gap: WALGapRecord) { state.withLock { $0.result.gaps.append(gap) } }
}
