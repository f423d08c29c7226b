/// The header of a WAL page, as a little-endian server writes it (PostgreSQL, src/include/access/xlog_internal.h,
/// `XLogPageHeaderData` and `XLogLongPageHeaderData`).
package struct WALPageHeader: Sendable, Hashable {
    /// What the header says about its page.
    package struct Flags: OptionSet, Sendable, Hashable {
        /// The bits of `xlp_info`.
        package let rawValue: UInt16

        /// Flags of these bits.
        package init(rawValue: UInt16) { self.rawValue = rawValue }

        /// The page begins with the rest of a record of the page before.
        package static let continuesRecord = Flags(rawValue: 1)
        /// The header is the long one, which begins a segment.
        package static let isLong = Flags(rawValue: 2)
        /// PostgreSQL's note about full page images; of no use here.
        package static let imagesRemovable = Flags(rawValue: 4)
        /// The record that the page before began was never finished, and another one begins here.
        package static let replacesContinuation = Flags(rawValue: 8)
        /// All that PostgreSQL 14 to 18 know.
        package static let known = Flags(rawValue: 15)
    }

    /// What only a long header has.
    package struct Segment: Sendable, Hashable {
        /// The cluster's system identifier.
        package var systemIdentifier: UInt64
        /// The size of the cluster's segments, as it is written.
        package var segmentSize: UInt32
        /// The size of a page, as it is written.
        package var pageSize: UInt32
    }

    /// The format's number; see ``major``.
    package var magic: UInt16
    /// What the header says about its page.
    package var flags: Flags
    /// The timeline of the first record that begins in the page.
    package var timeline: UInt32
    /// The position of the page's first byte.
    package var address: LogSequenceNumber
    /// With `continuesRecord`, how many bytes of that record are still to come, from this page on.
    package var remainingLength: UInt32
    /// The rest of a long header.
    package var segment: Segment?

    /// The bytes of a short header, with its padding.
    package static let shortSize = 24
    /// The bytes of a long header.
    package static let longSize = 40

    /// Reads the header at the beginning of `bytes`; `nil` if there are too few of them.
    ///
    /// Nothing is checked: a page of zeros has a header of zeros.
    package init?(parsing bytes: Span<UInt8>) {
        guard bytes.count >= Self.shortSize else { return nil }
        magic = bytes.uint16(at: 0)
        flags = Flags(rawValue: bytes.uint16(at: 2))
        timeline = bytes.uint32(at: 4)
        address = LogSequenceNumber(position: bytes.uint64(at: 8))
        remainingLength = bytes.uint32(at: 16)
        guard flags.contains(.isLong) else { return }
        guard bytes.count >= Self.longSize else { return nil }
        segment = Segment(
            systemIdentifier: bytes.uint64(at: 24), segmentSize: bytes.uint32(at: 32), pageSize: bytes.uint32(at: 36))
    }

    /// The most bytes that a header takes.
    package static let longestSize = longSize

    /// The bytes that the header takes.
    package var size: Int { flags.contains(.isLong) ? Self.longSize : Self.shortSize }

    /// PostgreSQL's major version, or `nil` for one that is not known here.
    package var major: Int? { Self.majors[magic] }

    /// `XLOG_PAGE_MAGIC` of each major.
    package static let majors: [UInt16: Int] = [0xD10D: 14, 0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18]
}
