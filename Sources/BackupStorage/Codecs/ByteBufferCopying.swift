internal import NIOCore

extension ByteBuffer {
    /// Appends a copy of `bytes`.
    mutating func append(copying bytes: Span<UInt8>) {
        // The bytes of other types may not all be set; those of bytes are.
        unsafe writeBytes(bytes.bytes)
    }
}
