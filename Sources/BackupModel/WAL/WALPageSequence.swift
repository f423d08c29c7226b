/// The headers of pages that follow each other, from the beginning of a segment on.
struct WALPageSequence: Sendable {
    /// The header of the first segment.
    private(set) var header: WALSegmentHeader?
    /// The timeline of the last page; 0 if there was none.
    private(set) var timeline: UInt32 = 0
    /// Bytes of a header that is cut.
    private var pending: [UInt8] = []

    /// Whether a header has begun and is not whole.
    var isInsideHeader: Bool { !pending.isEmpty }

    /// Takes bytes of a header from `index` on, and returns it once it is whole.
    mutating func take(_ bytes: Span<UInt8>, _ index: inout Int) -> WALPageHeader? {
        while let missing = missingBytes {
            guard index < bytes.count else { return nil }
            let end = index + min(missing, bytes.count - index)
            for position in index..<end { pending.append(bytes[position]) }
            index = end
        }
        let page = WALPageHeader(parsing: pending.span)
        pending.removeAll(keepingCapacity: true)
        return page
    }

    /// The bytes that the header still lacks, or `nil` if it is whole.
    private var missingBytes: Int? {
        guard pending.count >= WALPageHeader.shortSize else { return WALPageHeader.shortSize - pending.count }
        let flags = WALPageHeader.Flags(rawValue: pending.span.uint16(at: 2))
        guard flags.contains(.isLong), pending.count < WALPageHeader.longSize else { return nil }
        return WALPageHeader.longSize - pending.count
    }

    /// What is wrong with the page at `position`, besides what it says of the record before; notes a right one.
    mutating func problem(of page: WALPageHeader, at position: UInt64) -> WALEnd.PageProblem? {
        guard page.major != nil, page.magic == header?.page.magic ?? page.magic else { return .format(page.magic) }
        guard page.address.position == position else { return .address(page.address) }
        guard page.flags.isSubset(of: .known) else { return .flags(page.flags.rawValue) }
        guard page.timeline > 0, page.timeline >= timeline else { return .timeline(page.timeline) }
        if header == nil {
            guard page.segment != nil else { return .flags(page.flags.rawValue) }
            header = WALSegmentHeader(page)
        }
        guard let header else { return .sizes }
        guard page.flags.contains(.isLong) == (position & (header.segmentSize.bytes - 1) == 0) else {
            return .flags(page.flags.rawValue)
        }
        if let segment = page.segment {
            guard segment.systemIdentifier == header.systemIdentifier else {
                return .systemIdentifier(segment.systemIdentifier)
            }
            guard segment.segmentSize == header.segmentSize.bytes, segment.pageSize == header.pageSize else {
                return .sizes
            }
        }
        timeline = page.timeline
        return nil
    }
}
