package import BackupModel
internal import Dispatch

/// Runs the next stages on a thread of their own, so that both sides work at the same time.
///
/// Bytes are copied into a fixed number of buffers; when all are in use, ``write(_:)`` waits for the far side. What the
/// far side throws is thrown by the next `write` or by `finish`, and after it nothing more is written there.
package final class HandoffSink: ByteSink {
    private let far: FarSide
    private let queue = DispatchQueue(label: "apex-backup.handoff")
    private var filling: ChunkBuffer?

    /// Hands over `chunkSize` bytes at a time to `next`, with at most `depth` chunks in memory.
    package init(into next: any ByteSink, chunkSize: Int = 256 << 10, depth: Int = 4) {
        far = FarSide(next, buffers: (0..<max(2, depth)).map { _ in ChunkBuffer(capacity: chunkSize) })
    }

    deinit { abandon() }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        var taken = 0
        while taken < bytes.count {
            let buffer = filling ?? far.freeBuffer()
            filling = buffer
            if let failure = far.failure { throw failure }
            taken += buffer.append(bytes.extracting(droppingFirst: taken))
            if buffer.isFull { handOver(buffer) }
        }
    }

    package func finish() throws(BackupError) {
        if let filling { handOver(filling) }
        queue.sync { [far] in far.finish() }
        if let failure = far.failure { throw failure }
    }

    /// Ends the far side without finishing it: what it has not begun to write is dropped.
    ///
    /// Returns when the far side is at rest, so that its stages may then be used from here, to discard what they wrote.
    /// If it waits for a child that no longer reads its pipe, end the child first. Happens by itself when the sink is
    /// dropped; does nothing after ``finish()``.
    package func abandon() {
        far.abandon()
        queue.sync {}
    }

    private func handOver(_ buffer: ChunkBuffer) {
        filling = nil
        far.hand(over: buffer)
        queue.async { [far] in far.consume() }
    }
}

/// What the two sides of a ``HandoffSink`` share.
// Unchecked, because the caller keeps `next`, to discard what it wrote when the queue is at rest: it cannot be sent, and
// buffers go back and forth. Invariant: until the queue is at rest only it touches `next`; a buffer has one holder at a
// time; every variable is touched under `lock`.
private final class FarSide: @unchecked Sendable {  // Invariant: only the queue touches `next`; `lock` guards the rest.
    private let next: any ByteSink
    private let lock = DispatchSemaphore(value: 1)
    private var freeBuffers: [ChunkBuffer]
    private var fullBuffers: [ChunkBuffer] = []
    private var firstFailure: BackupError?
    private var isAbandoned = false
    private let freeCount = DispatchSemaphore(value: 0)

    init(_ next: any ByteSink, buffers: [ChunkBuffer]) {
        self.next = next
        freeBuffers = buffers
        for _ in buffers { freeCount.signal() }
    }

    var failure: BackupError? { locked { firstFailure } }

    func abandon() { locked { isAbandoned = true } }

    func freeBuffer() -> ChunkBuffer {
        freeCount.wait()
        return locked { freeBuffers.removeLast() }
    }

    func hand(over buffer: ChunkBuffer) { locked { fullBuffers.append(buffer) } }

    /// Passes on what was handed over first of all that waits.
    func consume() {
        let buffer = locked { fullBuffers.removeFirst() }
        run { () throws(BackupError) in try buffer.withBytes { bytes throws(BackupError) in try next.write(bytes) } }
        buffer.removeAll()
        locked { freeBuffers.append(buffer) }
        freeCount.signal()
    }

    func finish() { run { () throws(BackupError) in try next.finish() } }

    private func run(_ step: () throws(BackupError) -> Void) {
        guard locked({ firstFailure == nil && !isAbandoned }) else { return }
        do { try step() } catch { locked { firstFailure = error } }
    }

    private func locked<Value>(_ body: () -> Value) -> Value {
        lock.wait()
        defer { lock.signal() }
        return body()
    }
}
