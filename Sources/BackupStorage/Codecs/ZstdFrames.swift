package import BackupModel
internal import CZstd

/// Compresses pieces of content, each into one standard zstd frame that says its size and has a checksum.
@safe package final class FrameCompressor {
    private let context: OpaquePointer
    private let output: ChunkBuffer

    /// For pieces of at most `largestContent` bytes.
    package init(level: Int, largestContent: Int) throws(BackupError) {
        guard let context = unsafe ZSTD_createCCtx() else {
            throw CodecError.compressing("zstd", reason: CodecError.noMemory)
        }
        unsafe self.context = unsafe context
        output = ChunkBuffer(capacity: ZSTD_compressBound(largestContent))
        try check(unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, CInt(level)))
        try check(unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1))
    }

    deinit { unsafe ZSTD_freeCCtx(context) }

    /// Calls `body` with the frame of `content`.
    package func compress<Value>(
        _ content: Span<UInt8>, _ body: (Span<UInt8>) throws(BackupError) -> Value
    ) throws(BackupError) -> Value {
        output.removeAll()
        let length = unsafe content.withUnsafeBufferPointer { content in
            let room = unsafe output.room
            return unsafe ZSTD_compress2(context, room.baseAddress, room.count, content.baseAddress, content.count)
        }
        output.didFill(try check(length))
        return try output.withBytes(body)
    }

    /// Calls `body` with the frame that was made last.
    func withOutput(_ body: (Span<UInt8>) throws(BackupError) -> Void) throws(BackupError) {
        try output.withBytes(body)
    }

    /// The most bytes that a frame of `content` bytes has.
    static func largestFrame(of content: Int) -> Int { ZSTD_compressBound(content) }

    @discardableResult
    private func check(_ result: Int) throws(BackupError) -> Int {
        guard ZSTD_isError(result) == 0 else {
            throw CodecError.compressing("zstd", reason: unsafe String(cString: ZSTD_getErrorName(result)))
        }
        return result
    }
}

/// Reads frames that ``FrameCompressor`` made.
///
/// Who has a SHA-256 of the content to compare does not need their own checksum.
@safe package final class FrameDecompressor {
    private let context: OpaquePointer
    private let output: ChunkBuffer

    /// For content of at most `largestContent` bytes; `comparesChecksums` of it too.
    package init(largestContent: Int, comparesChecksums: Bool = false) throws(BackupError) {
        guard let context = unsafe ZSTD_createDCtx() else {
            throw CodecError.reading("zstd", reason: CodecError.noMemory)
        }
        unsafe self.context = unsafe context
        output = ChunkBuffer(capacity: largestContent)
        if comparesChecksums { return }
        // Only a library that does not know of this compares all the same.
        _ = unsafe ZSTD_DCtx_setParameter(context, ZSTD_d_experimentalParam3, Self.ignoresChecksum)
    }

    deinit { unsafe ZSTD_freeDCtx(context) }

    /// `ZSTD_d_ignoreChecksum` of `ZSTD_d_forceIgnoreChecksum`, as zstd.h names them for static linking.
    private static let ignoresChecksum: CInt = 1

    /// Calls `body` with the content of the one frame in `stored`.
    ///
    /// - Throws: ``ErrorCode/objectDamaged`` if that is not one whole frame, or has more content than is allowed.
    package func decompress<Value>(
        _ stored: Span<UInt8>, _ body: (Span<UInt8>) throws(BackupError) -> Value
    ) throws(BackupError) -> Value {
        output.removeAll()
        let length = unsafe stored.withUnsafeBufferPointer { stored in
            let room = unsafe output.room
            return unsafe ZSTD_decompressDCtx(context, room.baseAddress, room.count, stored.baseAddress, stored.count)
        }
        guard ZSTD_isError(length) == 0 else { throw CodecError.decompressing(zstd: length) }
        output.didFill(length)
        return try output.withBytes(body)
    }

    /// Calls `body` with what the last call of ``decompress(_:_:)`` found.
    package func withContent(_ body: (Span<UInt8>) throws(BackupError) -> Void) throws(BackupError) {
        try output.withBytes(body)
    }
}
