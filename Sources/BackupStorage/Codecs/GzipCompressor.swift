internal import BackupModel
internal import CZlib

/// Makes plain gzip with zlib: slow and small, levels 4…9.
@safe final class GzipCompressor: ByteSink {
    private let next: any ByteSink
    private let output = ChunkBuffer(capacity: 256 << 10)
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    init(level: Int, into next: any ByteSink) throws(BackupError) {
        self.next = next
        unsafe stream.initialize(to: z_stream())
        let result = unsafe zlib_deflate_gzip_init(stream, CInt(level))
        guard result == Z_OK else { throw CodecError.compressing("gzip", reason: "zlib reports \(result)") }
    }

    deinit {
        unsafe deflateEnd(stream)
        unsafe stream.deallocate()
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try unsafe bytes.forEachPiece { start, length throws(BackupError) in
            unsafe stream.pointee.next_in = start
            unsafe stream.pointee.avail_in = length
            try run(Z_NO_FLUSH)
        }
    }

    func finish() throws(BackupError) {
        try run(Z_FINISH)
        try output.flush(into: next)
        try next.finish()
    }

    private func run(_ flush: CInt) throws(BackupError) {
        repeat {
            if output.isFull { try output.flush(into: next) }
            let room = unsafe output.room
            unsafe stream.pointee.next_out = room.baseAddress
            unsafe stream.pointee.avail_out = UInt32(room.count)
            let result = unsafe deflate(stream, flush)
            // Z_BUF_ERROR: the output became full exactly at the end, and there is nothing more to do.
            guard result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR else {
                throw CodecError.compressing("gzip", reason: "zlib reports \(result)")
            }
            unsafe output.didFill(room.count - Int(stream.pointee.avail_out))
        } while output.isFull
    }
}
