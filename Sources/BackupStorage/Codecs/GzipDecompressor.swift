internal import BackupModel
internal import CZlib

/// Reads gzip of one or several members with zlib, and refuses a stream that is cut off or goes on with anything else.
@safe final class GzipDecompressor: ByteSink {
    /// Where in the stream the next byte belongs.
    private enum Position {
        case start
        case insideMember
        case afterMember
    }

    private let next: any ByteSink
    private let output = ChunkBuffer(capacity: 256 << 10)
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private var position = Position.start

    init(into next: any ByteSink) throws(BackupError) {
        self.next = next
        unsafe stream.initialize(to: z_stream())
        let result = unsafe zlib_inflate_gzip_init(stream)
        guard result == Z_OK else {
            let reason = result == Z_MEM_ERROR ? CodecError.noMemory : "zlib reports \(result)"
            throw CodecError.reading("gzip", reason: reason)
        }
    }

    deinit {
        unsafe inflateEnd(stream)
        unsafe stream.deallocate()
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try unsafe bytes.forEachPiece { start, length throws(BackupError) in
            unsafe stream.pointee.next_in = start
            unsafe stream.pointee.avail_in = length
            while unsafe stream.pointee.avail_in > 0 {
                if position == .afterMember { unsafe inflateReset(stream) }
                position = .insideMember
                try readMember()
            }
        }
    }

    func finish() throws(BackupError) {
        guard position == .afterMember else { throw CodecError.cutOff("gzip") }
        try output.flush(into: next)
        try next.finish()
    }

    /// Decompresses until the input is used up or the member ends.
    private func readMember() throws(BackupError) {
        repeat {
            if output.isFull { try output.flush(into: next) }
            let room = unsafe output.room
            unsafe stream.pointee.next_out = room.baseAddress
            unsafe stream.pointee.avail_out = UInt32(room.count)
            let result = unsafe inflate(stream, Z_NO_FLUSH)
            unsafe output.didFill(room.count - Int(stream.pointee.avail_out))
            switch result {
            case Z_STREAM_END:
                position = .afterMember
                return
            case Z_OK, Z_BUF_ERROR:
                continue
            default:
                throw CodecError.inflating(result, words: unsafe stream.pointee.msg.map { unsafe String(cString: $0) })
            }
        } while unsafe output.isFull || stream.pointee.avail_in > 0
    }
}

extension CodecError {
    /// What `inflate` reports, with zlib's words if it has any.
    static func inflating(_ result: CInt, words: String? = nil) -> BackupError {
        result == Z_MEM_ERROR
            ? reading("gzip", reason: noMemory) : decompressing("gzip", reason: words ?? "zlib reports \(result)")
    }
}
