package import BackupModel
internal import Dispatch

/// Cuts what it is given into pieces and compresses each into a standard zstd frame, several at a time; the frames go on
/// in their order.
///
/// So the bytes can be decompressed several at a time too, by ``FrameDecompressingSink``, or by any program that reads
/// zstd.
package final class FrameCompressingSink: ByteSink {
    private let next: any ByteSink
    private var ring: FrameRing<FrameCompressor>
    /// The stored bytes of each frame that went on.
    package private(set) var frames: [Int] = []

    /// Compresses at zstd's `level` on `workers` threads.
    package init(level: Int, workers: Int, into next: any ByteSink) throws(BackupError) {
        self.next = next
        ring = try FrameRing(workers) { () throws(BackupError) in
            FrameWorker(
                try FrameCompressor(level: level, largestContent: frameContent), inputCapacity: frameContent)
        }
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        var taken = 0
        while taken < bytes.count {
            let worker = try free()
            taken += worker.input.append(bytes.extracting(droppingFirst: taken))
            if worker.input.isFull { ring.startCurrent() }
        }
    }

    package func finish() throws(BackupError) {
        // Content of no bytes is one frame too: what is stored can then be read by itself.
        if try free().input.count > 0 || (frames.isEmpty && !ring.isBusy) { ring.startCurrent() }
        for worker in ring.busy { try passOn(worker) }
        try next.finish()
    }

    private func free() throws(BackupError) -> FrameWorker<FrameCompressor> {
        let worker = ring.current
        if worker.isBusy { try passOn(worker) }
        return worker
    }

    private func passOn(_ worker: FrameWorker<FrameCompressor>) throws(BackupError) {
        try worker.collect { frame throws(BackupError) in
            frames.append(frame.count)
            try next.write(frame)
        }
    }
}

/// Decompresses frames that a ``FrameCompressingSink`` made, several at a time; the content goes on in its order.
///
/// Each frame's checksum is compared. What follows the last frame is ignored.
package final class FrameDecompressingSink: ByteSink {
    private let next: any ByteSink
    private let frames: [Int]
    private var ring: FrameRing<FrameDecompressor>
    private var frame = 0

    /// Reads frames of the stored lengths `frames` on `workers` threads.
    ///
    /// - Throws: ``ErrorCode/objectDamaged`` for lengths that no frame has.
    package init(frames: [Int], workers: Int, into next: any ByteSink) throws(BackupError) {
        guard let longest = frames.max(), let shortest = frames.min(), shortest > 0,
            longest <= FrameCompressor.largestFrame(of: frameContent)
        else { throw CodecError.decompressing("zstd", reason: "the lengths of its frames cannot be right") }
        self.next = next
        self.frames = frames
        ring = try FrameRing(min(workers, frames.count)) { () throws(BackupError) in
            FrameWorker(
                try FrameDecompressor(largestContent: frameContent, comparesChecksums: true), inputCapacity: longest)
        }
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        var taken = 0
        while taken < bytes.count, frame < frames.count {
            let worker = ring.current
            if worker.isBusy { try passOn(worker) }
            let missing = min(bytes.count - taken, frames[frame] - worker.input.count)
            taken += worker.input.append(bytes.extracting(taken..<taken + missing))
            if worker.input.count == frames[frame] {
                frame += 1
                ring.startCurrent()
            }
        }
    }

    package func finish() throws(BackupError) {
        for worker in ring.busy { try passOn(worker) }
        guard frame == frames.count else { throw CodecError.cutOff("zstd") }
        try next.finish()
    }

    private func passOn(_ worker: FrameWorker<FrameDecompressor>) throws(BackupError) {
        try worker.collect { content throws(BackupError) in try next.write(content) }
    }
}

/// The content of a frame: small, so that the last one of a WAL segment is soon done.
private let frameContent = 1 << 20

/// What turns one piece of bytes into another, in memory of its own.
private protocol FrameCodec: SendableMetatype {
    func run(_ input: Span<UInt8>) throws(BackupError)
    func withOutput(_ body: (Span<UInt8>) throws(BackupError) -> Void) throws(BackupError)
}

extension FrameCompressor: FrameCodec {
    fileprivate func run(_ input: Span<UInt8>) throws(BackupError) { try compress(input) { _ in } }
}

extension FrameDecompressor: FrameCodec {
    fileprivate func run(_ input: Span<UInt8>) throws(BackupError) { try decompress(input) { _ in } }

    fileprivate func withOutput(_ body: (Span<UInt8>) throws(BackupError) -> Void) throws(BackupError) {
        try withContent(body)
    }
}

/// Workers that take turns: the one whose turn it is has what was begun longest ago.
private struct FrameRing<Codec: FrameCodec> {
    private let workers: [FrameWorker<Codec>]
    private var turn = 0

    init(_ count: Int, _ make: () throws(BackupError) -> FrameWorker<Codec>) throws(BackupError) {
        var workers: [FrameWorker<Codec>] = []
        for _ in 0..<max(1, count) { workers.append(try make()) }
        self.workers = workers
    }

    var current: FrameWorker<Codec> { workers[turn] }

    /// Those at work, in the order in which they were started.
    var busy: [FrameWorker<Codec>] {
        (0..<workers.count).map { workers[(turn + $0) % workers.count] }.filter(\.isBusy)
    }

    var isBusy: Bool { workers.contains(where: \.isBusy) }

    mutating func startCurrent() {
        current.start()
        turn = (turn + 1) % workers.count
    }
}

/// Runs a codec on a thread of its own, one piece at a time.
// Unchecked, because `input` and the codec's memory go to the queue and come back, piece after piece, which the compiler
// cannot follow. Invariant: from `start` until `collect` has waited for `done`, only the queue touches the codec, `input`
// and `failure`; at all other times, and `isBusy` always, only the one thread that the sink is used by.
private final class FrameWorker<Codec: FrameCodec>: @unchecked Sendable {  // Invariant: `done` hands all of it back.
    let input: ChunkBuffer
    private(set) var isBusy = false
    private let codec: Codec
    private var failure: BackupError?
    private let queue = DispatchQueue(label: "apex-backup.frames")
    private let done = DispatchSemaphore(value: 0)

    init(_ codec: Codec, inputCapacity: Int) {
        self.codec = codec
        input = ChunkBuffer(capacity: inputCapacity)
    }

    /// Begins with what is in `input`.
    func start() {
        isBusy = true
        queue.async { [self] in
            do throws(BackupError) {
                try input.withBytes { bytes throws(BackupError) in try codec.run(bytes) }
            } catch {
                failure = error
            }
            done.signal()
        }
    }

    /// Waits until it is done, and calls `body` with what came of it.
    func collect(_ body: (Span<UInt8>) throws(BackupError) -> Void) throws(BackupError) {
        done.wait()
        isBusy = false
        input.removeAll()
        if let failure { throw failure }
        try codec.withOutput(body)
    }
}
