/// Little-endian numbers at a place that has to be inside the span, as PostgreSQL writes them on x86-64 and ARM64.
///
/// A part of a known length is taken first, so that the compiler makes one check and one load of each.
extension Span<UInt8> {
    @inline(__always)
    func uint16(at offset: Int) -> UInt16 {
        let bytes = extracting(offset..<offset &+ 2)
        return UInt16(bytes[0]) | UInt16(bytes[1]) << 8
    }

    @inline(__always)
    func uint32(at offset: Int) -> UInt32 {
        let bytes = extracting(offset..<offset &+ 4)
        return UInt32(bytes[0]) | UInt32(bytes[1]) << 8 | UInt32(bytes[2]) << 16 | UInt32(bytes[3]) << 24
    }

    @inline(__always)
    func uint64(at offset: Int) -> UInt64 {
        let bytes = extracting(offset..<offset &+ 8)
        return UInt64(bytes.uint32(at: 0)) | UInt64(bytes.uint32(at: 4)) << 32
    }
}
