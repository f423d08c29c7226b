/// A piece of a segment that was not finished when it was stored: which bytes of which segment.
///
/// Its name in the repository is `<from>-<to>`, both as eight upper-case hexadecimal digits.
package struct WALPiece: Sendable, Hashable {
    /// The segment.
    package let segment: WALSegmentName
    /// The offset in the segment of the first byte.
    package let from: UInt32
    /// The offset behind the last byte.
    package let to: UInt32

    /// Returns `nil` unless the piece has at least one byte and lies in the segment.
    package init?(_ segment: WALSegmentName, from: UInt64, to: UInt64) {
        guard from < to, to <= segment.size.bytes, let from = UInt32(exactly: from), let to = UInt32(exactly: to) else {
            return nil
        }
        self.segment = segment
        self.from = from
        self.to = to
    }

    /// Reads the name that ``name`` is.
    package init?(parsing name: some StringProtocol, of segment: WALSegmentName) {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let from = UInt32(eightHexDigits: parts[0]), let to = UInt32(eightHexDigits: parts[1])
        else { return nil }
        self.init(segment, from: UInt64(from), to: UInt64(to))
    }

    package var name: String { "\(from.eightHexDigits)-\(to.eightHexDigits)" }
    package var byteCount: Int { Int(to - from) }
}

extension WALPiece {
    /// The pieces that together reach furthest from the segment's beginning without a hole, in order; each begins at or
    /// before the end of the one before it.
    ///
    /// Pieces of one segment may overlap: two may have stored it, or one again from its beginning.
    package static func chain(_ pieces: some Sequence<WALPiece>) -> [WALPiece] {
        let sorted = pieces.sorted { ($0.from, $0.to) < ($1.from, $1.to) }
        var chain: [WALPiece] = []
        var end: UInt32 = 0
        var best: WALPiece?
        for piece in sorted {
            if piece.from > end {
                guard let next = best, next.to > end else { return chain }
                chain.append(next)
                end = next.to
                guard piece.from <= end else { return chain }
            }
            if piece.to > best?.to ?? 0 { best = piece }
        }
        if let best, best.to > end { chain.append(best) }
        return chain
    }
}
