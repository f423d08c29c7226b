/// The long header with which a segment begins: whose segment it is, and which.
package struct WALSegmentHeader: Sendable, Hashable {
    /// The header of the segment's first page.
    package let page: WALPageHeader
    /// PostgreSQL's major version.
    package let major: Int
    /// The cluster's system identifier.
    package let systemIdentifier: UInt64
    /// The size of the cluster's segments.
    package let segmentSize: WALSegmentSize
    /// The size of a page: a power of two from 1 KiB to 64 KiB.
    package let pageSize: Int

    /// How the timeline in a segment's first page fits the timeline in its name.
    package enum TimelineMatch: Sendable, Hashable {
        /// They are the same.
        case same
        /// The page is of a known ancestor: the segment is the first of its timeline, which began in its middle.
        case ancestor(UInt32)
        /// The page is of an older timeline, of which nobody has said that it is an ancestor.
        case assumedAncestor(UInt32)
    }

    /// Reads the header at the beginning of a segment.
    ///
    /// Returns `nil` unless `bytes` begin with a long header of a known major version and of sizes that PostgreSQL can
    /// have.
    package init?(parsing bytes: Span<UInt8>) {
        guard let page = WALPageHeader(parsing: bytes) else { return nil }
        self.init(page)
    }

    /// The same of a page header that was read already.
    init?(_ page: WALPageHeader) {
        guard let major = page.major, let segment = page.segment, page.flags.isSubset(of: .known),
            let segmentSize = WALSegmentSize(bytes: segment.segmentSize), page.timeline > 0,
            (1 << 10...1 << 16).contains(segment.pageSize), segment.pageSize.nonzeroBitCount == 1
        else { return nil }
        self.page = page
        self.major = major
        systemIdentifier = segment.systemIdentifier
        self.segmentSize = segmentSize
        pageSize = Int(segment.pageSize)
    }

    /// Refuses a file that is not the segment that its name says, or is of another cluster.
    ///
    /// - Parameters:
    ///   - header: What was found at the file's beginning; `nil` if that is no header of a segment.
    ///   - name: The name, read with the size of segments that the cluster is known to have.
    ///   - length: The length of the file in bytes.
    ///   - systemIdentifier: The cluster's.
    ///   - ancestors: The timelines that the name's timeline continues, or `nil` if its history is not known: then
    ///     every older timeline is accepted, and the answer says so.
    /// - Returns: How the timelines in the segment and in its name fit.
    /// - Throws: `wrongCluster` for another system identifier, `walSegmentInvalid` for everything else.
    @discardableResult
    package static func check(
        _ header: WALSegmentHeader?, of name: WALSegmentName, length: UInt64, expecting systemIdentifier: UInt64,
        ancestors: Set<UInt32>? = nil
    ) throws(BackupError) -> TimelineMatch {
        guard let header else { throw unreadable(name) }
        return try header.check(of: name, length: length, expecting: systemIdentifier, ancestors: ancestors)
    }

    private func check(
        of name: WALSegmentName, length: UInt64, expecting systemIdentifier: UInt64, ancestors: Set<UInt32>?
    ) throws(BackupError) -> TimelineMatch {
        guard self.systemIdentifier == systemIdentifier else {
            throw BackupError(
                .wrongCluster, "WAL segment \(name) is of another cluster.",
                reason: "its system identifier is \(self.systemIdentifier), that of the cluster is "
                    + "\(systemIdentifier)",
                remedy: "Give each cluster a repository or a name of its own; a cluster that was made anew is "
                    + "registered with 'apex-backup init --new-cluster-incarnation'.")
        }
        guard segmentSize == name.size, length == segmentSize.bytes else {
            throw Self.invalid(
                name,
                "the file has \(length) bytes, its header says \(segmentSize.bytes), and the cluster's segments "
                    + "have \(name.size.bytes)")
        }
        guard page.address == name.start else {
            throw Self.invalid(name, "its first page is that of \(page.address), not of \(name.start)")
        }
        if page.timeline == name.timeline { return .same }
        guard let ancestors else {
            guard page.timeline < name.timeline else {
                throw Self.invalid(name, "its first page is of the newer timeline \(page.timeline)")
            }
            return .assumedAncestor(page.timeline)
        }
        guard ancestors.contains(page.timeline) else {
            throw Self.invalid(
                name,
                "its first page is of timeline \(page.timeline), which timeline \(name.timeline) does not "
                    + "continue")
        }
        return .ancestor(page.timeline)
    }

    /// What is said of a file that has no such header at its beginning.
    package static func unreadable(_ name: WALSegmentName) -> BackupError {
        invalid(name, "it does not begin with a page header of PostgreSQL 14 to 18")
    }

    private static func invalid(_ name: WALSegmentName, _ why: String) -> BackupError {
        BackupError(
            .walSegmentInvalid, "The file \(name) is not the WAL segment that its name says.", reason: why,
            remedy: "Read it with 'pg_waldump'; a segment that was copied or renamed by hand has to be taken from its "
                + "server again. If the server itself wrote it, look for damage of its disk.")
    }
}
