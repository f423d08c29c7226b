/// A file that PostgreSQL hands to `archive_command` or asks `restore_command` for.
///
/// Nothing that could be such a file is refused: PostgreSQL's documentation allows names of up to 64 letters, digits
/// and dots, and every kind of them has to be kept.
package enum WALFileName: Sendable, Hashable {
    /// A whole segment.
    case segment(WALSegmentName)
    /// The last segment of a timeline as it was when another timeline took over: `<segment>.partial`.
    case partial(WALSegmentName)
    /// Where a timeline comes from: `<timeline>.history`.
    case history(timeline: UInt32)
    /// What a base backup began with: `<segment>.<offset of its start>.backup`.
    case backup(WALSegmentName, offset: UInt32)
    /// Any other name of allowed characters, as it stands.
    case other(String)

    /// Returns `nil` unless `text` is 1…64 characters of `0-9 A-Z a-z .`; `.` and `..` are no files.
    package init?(parsing text: some StringProtocol, segmentSize: WALSegmentSize) {
        guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy(Self.isAllowed), text != ".", text != ".." else {
            return nil
        }
        self = Self.known(String(text), segmentSize) ?? .other(String(text))
    }

    private static func known(_ text: String, _ size: WALSegmentSize) -> WALFileName? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let segment = WALSegmentName(parsing: parts[0], segmentSize: size)
        switch parts.dropFirst() {
        case []: return segment.map { .segment($0) }
        case ["partial"]: return segment.map { .partial($0) }
        case ["history"]:
            guard let timeline = UInt32(eightHexDigits: parts[0]), timeline > 0 else { return nil }
            return .history(timeline: timeline)
        default:
            guard let segment, parts.count == 3, parts[2] == "backup",
                let offset = UInt32(eightHexDigits: parts[1]), offset < size.bytes
            else { return nil }
            return .backup(segment, offset: offset)
        }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        ASCII.isDigit(byte) || ASCII.isLetter(byte) || byte == ASCII.period
    }
}

extension WALFileName: CustomStringConvertible {
    /// The name of the file.
    package var description: String {
        switch self {
        case .segment(let segment): "\(segment)"
        case .partial(let segment): "\(segment).partial"
        case .history(let timeline): "\(timeline.eightHexDigits).history"
        case .backup(let segment, let offset): "\(segment).\(offset.eightHexDigits).backup"
        case .other(let text): text
        }
    }
}
