/// Remembers the end of a plain dump and says whether it has the line that pg_dump or pg_dumpall writes last.
package struct DumpTrailer: Sendable {
    /// Whose trailer is expected.
    package enum Kind: Sendable {
        /// That of pg_dump.
        case database
        /// That of pg_dumpall.
        case cluster
    }

    /// The trailer must be within this many bytes of the end.
    private static let size = 4096
    private var tail: [UInt8] = []

    package init() {}

    /// Takes the next bytes of the dump.
    package mutating func consume(_ bytes: Span<UInt8>) {
        let taken = min(bytes.count, Self.size)
        let kept = min(tail.count, Self.size - taken)
        tail.removeFirst(tail.count - kept)
        for index in bytes.count - taken..<bytes.count { tail.append(bytes[index]) }
    }

    /// Whether the dump ends with the whole trailer, after which only psql's `\unrestrict` may come.
    package func isComplete(_ kind: Kind) -> Bool {
        let wanted =
            switch kind {
            case .database: "-- PostgreSQL database dump complete"
            case .cluster: "-- PostgreSQL database cluster dump complete"
            }
        let lines = tail.split(separator: ASCII.lineFeed, omittingEmptySubsequences: false)
        guard let line = lines.lastIndex(where: { $0.elementsEqual(wanted.utf8) }),
            line + 2 < lines.count, lines[line + 1].elementsEqual("--".utf8)
        else { return false }
        return lines[(line + 2)...].allSatisfy { $0.isEmpty || $0.starts(with: "\\unrestrict ".utf8) }
    }
}
