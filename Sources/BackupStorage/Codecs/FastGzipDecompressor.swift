internal import BackupModel
internal import CISAL

/// Reads gzip of one or several members with ISA-L, several times as fast as zlib, and refuses a stream that is cut off
/// or goes on with anything else.
@safe final class FastGzipDecompressor: ByteSink {
    private let next: any ByteSink
    private let output = ChunkBuffer(capacity: 256 << 10)
    private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
    private var hasBegun = false

    init(into next: any ByteSink) {
        self.next = next
        unsafe isal_inflate_init(state)
        unsafe state.pointee.crc_flag = UInt32(ISAL_GZIP)
    }

    deinit { unsafe state.deallocate() }

    private var memberHasEnded: Bool { unsafe state.pointee.block_state == ISAL_BLOCK_FINISH }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try unsafe bytes.forEachPiece { start, length throws(BackupError) in
            unsafe state.pointee.next_in = start
            unsafe state.pointee.avail_in = length
            while unsafe state.pointee.avail_in > 0 {
                if hasBegun, memberHasEnded {
                    unsafe isal_inflate_reset(state)
                    unsafe state.pointee.crc_flag = UInt32(ISAL_GZIP)
                }
                hasBegun = true
                try readMember()
            }
        }
    }

    func finish() throws(BackupError) {
        guard hasBegun, memberHasEnded else { throw CodecError.cutOff("gzip") }
        try output.flush(into: next)
        try next.finish()
    }

    /// Decompresses until the input is used up or the member ends.
    private func readMember() throws(BackupError) {
        repeat {
            if output.isFull { try output.flush(into: next) }
            let room = unsafe output.room
            unsafe state.pointee.next_out = room.baseAddress
            unsafe state.pointee.avail_out = UInt32(room.count)
            let result = unsafe isal_inflate(state)
            unsafe output.didFill(room.count - Int(state.pointee.avail_out))
            guard result >= ISAL_DECOMP_OK else {
                throw CodecError.decompressing("gzip", reason: "ISA-L reports \(result)")
            }
        } while unsafe !memberHasEnded && (output.isFull || state.pointee.avail_in > 0)
    }
}
