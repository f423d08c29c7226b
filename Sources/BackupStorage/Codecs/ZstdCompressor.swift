internal import BackupModel
internal import CZstd

/// Makes one standard zstd frame with a checksum of its content.
@safe final class ZstdCompressor: ByteSink {
    private let next: any ByteSink
    private let output = ChunkBuffer(capacity: 256 << 10)
    private let context: OpaquePointer

    init(level: Int, into next: any ByteSink) throws(BackupError) {
        guard let context = unsafe ZSTD_createCCtx() else {
            throw CodecError.compressing("zstd", reason: "no memory")
        }
        unsafe self.context = unsafe context
        self.next = next
        try check(unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, CInt(level)))
        try check(unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1))
    }

    deinit { unsafe ZSTD_freeCCtx(context) }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try unsafe bytes.withUnsafeBufferPointer { bytes throws(BackupError) in
            var input = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
            while unsafe input.pos < input.size { _ = try unsafe step(&input, ZSTD_e_continue) }
        }
    }

    func finish() throws(BackupError) {
        var nothing = unsafe ZSTD_inBuffer(src: nil, size: 0, pos: 0)
        while try unsafe step(&nothing, ZSTD_e_end) > 0 {}
        try output.flush(into: next)
        try next.finish()
    }

    /// Compresses into what room there is, and returns how much the library still holds back.
    private func step(_ input: inout ZSTD_inBuffer, _ directive: ZSTD_EndDirective) throws(BackupError) -> Int {
        if output.isFull { try output.flush(into: next) }
        let room = unsafe output.room
        var target = unsafe ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
        let left = try check(unsafe ZSTD_compressStream2(context, &target, &input, directive))
        output.didFill(unsafe target.pos)
        return left
    }

    @discardableResult
    private func check(_ result: Int) throws(BackupError) -> Int {
        guard ZSTD_isError(result) == 0 else {
            throw CodecError.compressing("zstd", reason: unsafe String(cString: ZSTD_getErrorName(result)))
        }
        return result
    }
}
