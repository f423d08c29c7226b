/// The text of `pg_hba.conf` or `pg_ident.conf` that stood outside a data directory, as it may stand inside.
package struct HostAccessText: Sendable, Hashable {
    package var bytes: [UInt8]
    /// The lines that named other files, counted from 1; they are comments now.
    package var inclusions: [Int]

    /// Lets in, over a Unix socket only, whoever has the name of the role in the operating system.
    package static let peersOnly = HostAccessText(
        neutralising: Array(
            """
            # apex-backup restore: the backup has no pg_hba.conf. Whoever has a role's name may be that role, on this machine.
            local all all peer

            """.utf8))

    /// Makes `include`, `include_if_exists` and `include_dir` comments: a server that does not find what they name lets
    /// nobody in.
    ///
    /// A backslash at a line's end continues it, also in a comment (PostgreSQL, documentation, "The pg_hba.conf File"),
    /// so that all lines of a continued one are commented together, and the last never swallows the next.
    package init(neutralising text: [UInt8]) {
        bytes = []
        inclusions = []
        bytes.reserveCapacity(text.count)
        var number = 1
        var isContinued = false
        var isCommenting = false
        var rest = text[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: ASCII.lineFeed).map { $0 + 1 } ?? rest.endIndex
            let line = rest[..<end]
            rest = rest[end...]
            if !isContinued { isCommenting = Self.isInclusion(line) }
            if isCommenting {
                inclusions.append(number)
                bytes += isContinued ? [] : Array("# off by apex-backup (names a file of the source): ".utf8)
            }
            bytes += line
            let content = line.reversed().drop { $0 == ASCII.lineFeed || $0 == ASCII.carriageReturn }
            isContinued = content.first == ASCII.backslash
            number += 1
        }
    }

    private static func isInclusion(_ line: ArraySlice<UInt8>) -> Bool {
        let content = line.drop(while: ASCII.isSpace)
        let word = content.prefix { !ASCII.isSpace($0) && $0 != UInt8(ascii: ",") }.filter { $0 != ASCII.doubleQuote }
        return ["include", "include_if_exists", "include_dir"].contains { $0.utf8.elementsEqual(word) }
    }
}
