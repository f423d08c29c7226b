/// The size of a cluster's WAL segments, which `initdb --wal-segsize` fixed: a power of two from 1 MiB to 1 GiB.
///
/// PostgreSQL, src/include/access/xlog_internal.h, `IsValidWalSegSize`.
package struct WALSegmentSize: Sendable, Hashable {
    /// The size in bytes.
    package let bytes: UInt64

    /// What `initdb` chooses unless it is told otherwise.
    package static let standard = WALSegmentSize(unchecked: 16 << 20)

    /// Returns `nil` unless `bytes` is a power of two from 1 MiB to 1 GiB.
    package init?(bytes: some BinaryInteger) {
        guard let bytes = UInt64(exactly: bytes), (1 << 20...1 << 30).contains(bytes), bytes & (bytes - 1) == 0 else {
            return nil
        }
        self.bytes = bytes
    }

    private init(unchecked bytes: UInt64) { self.bytes = bytes }

    /// How many segments share the middle eight digits of their names: 4 GiB of WAL.
    package var segmentsPerLog: UInt64 { 1 << 32 / bytes }

    /// The greatest number that a segment of this size can have.
    package var greatestNumber: UInt64 { .max / bytes }

    /// The number of the segment that holds the byte at `lsn`.
    package func number(containing lsn: LogSequenceNumber) -> UInt64 { lsn.position / bytes }

    /// The position of `lsn` in its segment.
    package func offset(of lsn: LogSequenceNumber) -> UInt64 { lsn.position & (bytes - 1) }
}

extension WALSegmentSize: Codable {
    /// Reads the number of bytes.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let bytes = try container.decode(UInt64.self)
        guard let value = Self(bytes: bytes) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "\(bytes) is not a size of WAL segments")
        }
        self = value
    }

    /// Writes the number of bytes.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(bytes)
    }
}
