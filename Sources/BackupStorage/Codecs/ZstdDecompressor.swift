internal import BackupModel
internal import CZstd

/// Reads zstd of one or several frames, skippable ones included, and refuses a stream that is cut off.
@safe final class ZstdDecompressor: ByteSink {
    private let next: any ByteSink
    private let output = ChunkBuffer(capacity: 256 << 10)
    private let context: OpaquePointer
    private var isAtFrameEnd = false

    init(into next: any ByteSink) throws(BackupError) {
        guard let context = unsafe ZSTD_createDCtx() else {
            throw CodecError.reading("zstd", reason: CodecError.noMemory)
        }
        unsafe self.context = unsafe context
        self.next = next
    }

    deinit { unsafe ZSTD_freeDCtx(context) }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try unsafe bytes.withUnsafeBufferPointer { bytes throws(BackupError) in
            var input = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
            // A full output may mean that the library holds back more of what it has read.
            while unsafe input.pos < input.size || (output.isFull && !isAtFrameEnd) {
                if output.isFull { try output.flush(into: next) }
                let room = unsafe output.room
                var target = unsafe ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                let result = unsafe ZSTD_decompressStream(context, &target, &input)
                guard ZSTD_isError(result) == 0 else { throw CodecError.decompressing(zstd: result) }
                isAtFrameEnd = result == 0
                output.didFill(unsafe target.pos)
            }
        }
    }

    func finish() throws(BackupError) {
        guard isAtFrameEnd else { throw CodecError.cutOff("zstd") }
        try output.flush(into: next)
        try next.finish()
    }
}

extension CodecError {
    /// What `ZSTD_decompressStream` reports.
    static func decompressing(zstd result: Int) -> BackupError {
        ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation
            ? reading("zstd", reason: noMemory)
            : decompressing("zstd", reason: unsafe String(cString: ZSTD_getErrorName(result)))
    }
}
