import BackupModel
import BackupStorage
import Dispatch
import Glibc
import Synchronization
import TestSupport
import Testing

/// Takes `limit` bytes, then fails; or fails when it is finished.
private final class FailingSink: ByteSink {
    private var left: Int
    private let failsAtFinish: Bool

    init(after limit: Int = .max, atFinish: Bool = false) {
        left = limit
        failsAtFinish = atFinish
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        left -= bytes.count
        if left < 0 { throw FaultyStorage.fault }
    }

    func finish() throws(BackupError) { if failsAtFinish { throw FaultyStorage.fault } }
}

/// Says what was done to it, and when it is gone.
private final class WatchedSink: ByteSink {
    private let log: SinkLog
    init(_ log: SinkLog) { self.log = log }
    deinit { log.value.withLock { $0.isGone = true } }

    func write(_ bytes: Span<UInt8>) throws(BackupError) { log.value.withLock { $0.bytes += bytes.count } }
    func finish() throws(BackupError) { log.value.withLock { $0.isFinished = true } }
}

private final class SinkLog: Sendable {
    struct State {
        var bytes = 0
        var isFinished = false
        var isGone = false
    }

    let value = Mutex(State())
}

@Suite(.timeLimit(.minutes(30))) struct `Handing a stream to another thread` {
    @Test(arguments: [1, 7, 1000, 4096, 100_000])
    func `keeps every byte in its order`(pieceSize: Int) throws {
        let content = mixedContent(count: 300_000, seed: 11)
        let back = try output(of: content, inPiecesOf: pieceSize) { next throws(BackupError) in
            HandoffSink(into: next, chunkSize: 4096, depth: 3)
        }
        #expect(back == content)
    }

    @Test func `finishes the far side, also after nothing at all`() throws {
        let log = SinkLog()
        try HandoffSink(into: WatchedSink(log)).finish()
        #expect(log.value.withLock { $0.isFinished && $0.isGone && $0.bytes == 0 })
    }

    @Test(arguments: [0, 1, 4096, 50_000])
    func `throws what the far side threw, and never hangs`(limit: Int) {
        let sink = HandoffSink(into: FailingSink(after: limit), chunkSize: 4096, depth: 2)
        var thrown: BackupError?
        do {
            for _ in 0..<100 { try sink.write([UInt8](repeating: 1, count: 1000).span) }
            try sink.finish()
        } catch { thrown = error }
        #expect(thrown == FaultyStorage.fault)
        for _ in 0..<10 {
            #expect(throws: FaultyStorage.fault) { try sink.write([UInt8](repeating: 1, count: 50_000).span) }
        }
    }

    @Test func `throws what finishing the far side threw`() throws {
        let sink = HandoffSink(into: FailingSink(atFinish: true))
        try sink.write([1, 2, 3].span)
        #expect(throws: FaultyStorage.fault) { try sink.finish() }
    }

    @Test func `ends the far side unfinished when it is dropped`() throws {
        let log = SinkLog()
        do {
            let sink = HandoffSink(into: HandoffSink(into: WatchedSink(log), chunkSize: 10), chunkSize: 10)
            try sink.write([UInt8](repeating: 1, count: 1005).span)
        }
        while log.value.withLock({ !$0.isGone }) { _ = sched_yield() }
        #expect(log.value.withLock { !$0.isFinished && $0.bytes <= 1000 })
    }

    @Test func `writes nothing more once it is abandoned`() throws {
        let log = SinkLog()
        let sink = HandoffSink(into: WatchedSink(log), chunkSize: 10)
        try sink.write([UInt8](repeating: 1, count: 1000).span)
        sink.abandon()
        let count = log.value.withLock(\.bytes)
        try sink.write([UInt8](repeating: 1, count: 1000).span)
        sink.abandon()
        #expect(log.value.withLock { $0.bytes == count && !$0.isFinished })
    }

    @Test func `holds no more chunks than it was allowed`() throws {
        let begun = Atomic(0)
        let ended = Atomic(0)
        let most = Atomic(0)
        let sink = HandoffSink(
            into: ClosureSink {
                ended.add(1, ordering: .sequentiallyConsistent)
                most.max(
                    begun.load(ordering: .sequentiallyConsistent) - ended.load(ordering: .sequentiallyConsistent),
                    ordering: .sequentiallyConsistent)
            }, chunkSize: 100, depth: 3)
        for _ in 0..<10_000 {
            try sink.write([UInt8](repeating: 0, count: 100).span)
            begun.add(1, ordering: .sequentiallyConsistent)
        }
        try sink.finish()
        #expect(ended.load(ordering: .sequentiallyConsistent) == 10_000)
        #expect(most.load(ordering: .sequentiallyConsistent) <= 3)
    }
}

private final class ClosureSink: ByteSink {
    private let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
    func write(_ bytes: Span<UInt8>) throws(BackupError) { body() }
    func finish() throws(BackupError) {}
}

@Suite struct `Splitting and collecting a stream` {
    @Test func `gives both branches the same bytes`() throws {
        let first = CollectingSink(limit: 10)
        let second = DigestSink()
        let tee = TeeSink(first, second)
        try tee.write([1, 2, 3].span)
        try tee.finish()
        #expect(first.bytes == [1, 2, 3])
        #expect(second.digest == SHA256.digest(of: [1, 2, 3].span))
    }

    @Test func `throws what either branch threw`() {
        for tee in [TeeSink(FailingSink(after: 0), DiscardSink()), TeeSink(DiscardSink(), FailingSink(after: 0))] {
            #expect(throws: FaultyStorage.fault) { try tee.write([1].span) }
        }
    }

    @Test func `collects up to its limit and not a byte more`() throws {
        let sink = CollectingSink(limit: 3)
        try sink.write([1, 2, 3].span)
        let code = errorCode { () throws(BackupError) in try sink.write([4].span) }
        #expect(code == .objectDamaged)
        #expect(sink.bytes == [1, 2, 3])
    }
}

@Suite(.timeLimit(.minutes(30))) struct `Reading and writing files and pipes` {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `reads a file in full chunks to its end`() throws {
        let content = mixedContent(count: 10_500, seed: 21)
        try directory.write(content, to: "file")
        let file = try OpenFile(reading: directory.path(of: "file"))
        var sizes: [Int] = []
        let end = CollectingSink(limit: .max)
        try file.forEachChunk(ofSize: 4096) { chunk throws(BackupError) in
            sizes.append(chunk.count)
            try end.write(chunk)
        }
        #expect(sizes == [4096, 4096, 2308])
        #expect(end.bytes == content)
        #expect(try file.read(at: 10_000, count: 1000) == Array(content[10_000...]))
        #expect(try file.read(at: 20_000, count: 5) == [])
        #expect(try file.size() == 10_500)
    }

    @Test func `writes a new file and never over an old one`() throws {
        let path = directory.path(of: "new")
        let sink = FileSink(try OpenFile(creating: path), ending: .synchronize)
        try sink.write([1, 2, 3].span)
        try sink.finish()
        #expect(try directory.read("new") == [1, 2, 3])
        let code = errorCode { () throws(BackupError) in _ = try OpenFile(creating: path) }
        #expect(code == .storageFailed)
        let missing = errorCode { () throws(BackupError) in _ = try OpenFile(reading: path + "er") }
        #expect(missing == .storageFailed)
    }

    @Test func `carries a stream through a pipe`() throws {
        let content = mixedContent(count: 3_000_000, seed: 22)
        let ends = try makePipe()
        let end = DigestSink()
        DispatchQueue.global().async {
            let near = HandoffSink(
                into: FileSink(OpenFile(adopting: ends.writing, name: "pipe"), ending: .close))
            // What is not written is missed at the other end.
            try? near.write(content.span)
            try? near.finish()
        }
        try OpenFile(adopting: ends.reading, name: "pipe").forEachChunk(ofSize: 50_000) { chunk throws(BackupError) in
            try end.write(chunk)
        }
        try end.finish()
        #expect(end.byteCount == 3_000_000)
        #expect(end.digest == SHA256.digest(of: content.span))
    }

    @Test func `reports a reader that went away instead of dying of it`() throws {
        let ends = try makePipe()
        do { _ = OpenFile(adopting: ends.reading, name: "reader") }
        let writer = OpenFile(adopting: ends.writing, name: "pg_restore")
        // A child of another test that is just being started has the reader's end for a moment, too.
        let error = #expect(throws: BackupError.self) {
            for _ in 0..<10_000 {
                try writer.write([1].span)
                usleep(10_000)
            }
        }
        #expect(error?.code == .pipeBroken)
        #expect(error?.message.contains("pg_restore") == true)
    }
}
