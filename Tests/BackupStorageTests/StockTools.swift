import BackupModel
import BackupStorage
import Glibc
import TestSupport
import Testing

/// Runs a command line of stock tools and expects it to succeed.
func run(_ command: String, sourceLocation: SourceLocation = #_sourceLocation) {
    let status = unsafe system(command)
    #expect(status == 0, "\(command)", sourceLocation: sourceLocation)
}

/// Both ends of a new pipe, which the stock tools of other tests do not inherit.
func makePipe() throws -> (reading: CInt, writing: CInt) {
    var ends: [CInt] = [-1, -1]
    try #require(unsafe pipe(&ends) == 0)
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

/// Content that compresses like a dump: repeated words, numbers, and stretches of noise.
func mixedContent(count: Int, seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    let words = ["project\t", "\\N\t", "2026-11-21 02:00:00+00\t", "true\n", "{\"state\": \"done\"}\t", "0123456789"]
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 64)
    while bytes.count < count {
        if generator.next() % 4 == 0 {
            for _ in 0..<4 { withEightBytes(of: generator.next()) { bytes.append($0) } }
        } else {
            bytes += Array((words.randomElement(using: &generator) ?? "").utf8)
        }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
}

private func withEightBytes(of number: UInt64, _ body: (UInt8) -> Void) {
    for shift in stride(from: 0, to: 64, by: 8) { body(UInt8(truncatingIfNeeded: number >> UInt64(shift))) }
}

/// What `stage` makes of `bytes` when it is given them in pieces of `size`.
func output(
    of bytes: [UInt8], inPiecesOf size: Int = 64 << 10,
    _ stage: (any ByteSink) throws(BackupError) -> any ByteSink
) throws(BackupError) -> [UInt8] {
    let end = CollectingSink(limit: .max)
    let sink = try stage(end)
    var offset = 0
    while offset < bytes.count {
        let length = min(size, bytes.count - offset)
        try sink.write(bytes.span.extracting(offset..<offset + length))
        offset += length
    }
    try sink.finish()
    return end.bytes
}

/// The code of the error that `action` ends with.
func errorCode(_ action: () throws(BackupError) -> Void) -> ErrorCode? {
    do { try action() } catch { return error.code }
    return nil
}
