/// A WAL segment: which piece of the log, and on which timeline.
///
/// PostgreSQL names its file by 24 upper-case hexadecimal digits: the timeline, the upper half of the LSN, and the
/// number of the segment within that half (src/include/access/xlog_internal.h, `XLogFileName`).
package struct WALSegmentName: Sendable, Hashable {
    /// The timeline that the file's name begins with.
    ///
    /// The records in it may be of an ancestor.
    package let timeline: UInt32
    /// The number of the segment since the beginning of the log.
    package let number: UInt64
    /// The size of this segment and of all others of the cluster.
    package let size: WALSegmentSize

    /// Returns `nil` unless `number` can be that of a segment, and `timeline` that of a timeline: not 0.
    package init?(timeline: UInt32, number: UInt64, segmentSize: WALSegmentSize) {
        guard timeline > 0, number <= segmentSize.greatestNumber else { return nil }
        self.init(unchecked: timeline, number, segmentSize)
    }

    /// The segment of `timeline` that holds the byte at `lsn`; `nil` for timeline 0.
    package init?(timeline: UInt32, containing lsn: LogSequenceNumber, segmentSize: WALSegmentSize) {
        self.init(timeline: timeline, number: segmentSize.number(containing: lsn), segmentSize: segmentSize)
    }

    /// Returns `nil` unless `text` is exactly 24 upper-case hexadecimal digits whose last eight are a number that a
    /// segment of this size can have, and whose first eight are not zero.
    package init?(parsing text: some StringProtocol, segmentSize: WALSegmentSize) {
        let digits = text.utf8
        guard digits.count == 24, let timeline = UInt32(upperCaseHex: digits.prefix(8)),
            let log = UInt32(upperCaseHex: digits.dropFirst(8).prefix(8)),
            let low = UInt32(upperCaseHex: digits.dropFirst(16)), timeline > 0, low < segmentSize.segmentsPerLog
        else { return nil }
        self.init(unchecked: timeline, UInt64(log) * segmentSize.segmentsPerLog + UInt64(low), segmentSize)
    }

    private init(unchecked timeline: UInt32, _ number: UInt64, _ size: WALSegmentSize) {
        self.timeline = timeline
        self.number = number
        self.size = size
    }

    /// The position of the segment's first byte.
    package var start: LogSequenceNumber { LogSequenceNumber(position: number * size.bytes) }

    /// The position behind its last byte; for the very last segment of the log, the greatest LSN there is.
    package var end: LogSequenceNumber {
        let (end, overflow) = start.position.addingReportingOverflow(size.bytes)
        return LogSequenceNumber(position: overflow ? .max : end)
    }

    /// The segment that follows on the same timeline, or `nil` for the very last one.
    package var next: WALSegmentName? { WALSegmentName(timeline: timeline, number: number + 1, segmentSize: size) }

    /// The same piece of the log on another timeline, or `nil` for timeline 0.
    package func on(timeline: UInt32) -> WALSegmentName? {
        WALSegmentName(timeline: timeline, number: number, segmentSize: size)
    }

    /// The folder that the segment has in the repository: `<timeline>/<log>`, 4 GiB of WAL.
    package var logFolder: String { log.description }
}

extension WALSegmentName: CustomStringConvertible {
    /// The 24 digits.
    package var description: String {
        let log = UInt32(truncatingIfNeeded: number / size.segmentsPerLog)
        let low = UInt32(truncatingIfNeeded: number % size.segmentsPerLog)
        return timeline.eightHexDigits + log.eightHexDigits + low.eightHexDigits
    }
}

extension WALSegmentName: Comparable {
    /// Orders by timeline, and within it by position, as the names sort.
    package static func < (lhs: Self, rhs: Self) -> Bool {
        (lhs.timeline, lhs.number) < (rhs.timeline, rhs.number)
    }
}

extension UInt32 {
    /// The value of one to eight upper-case hexadecimal digits, `nil` for anything else.
    init?(upperCaseHex digits: some Collection<UInt8>) {
        guard (1...8).contains(digits.count) else { return nil }
        self = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): self = self << 4 | UInt32(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "A")...UInt8(ascii: "F"): self = self << 4 | UInt32(digit - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
    }

    /// Returns `nil` unless `text` is exactly what ``eightHexDigits`` makes of a number.
    package init?(eightHexDigits text: some StringProtocol) {
        guard text.utf8.count == 8 else { return nil }
        self.init(upperCaseHex: text.utf8)
    }

    /// This number as eight upper-case hexadecimal digits, as in the names of WAL files.
    package var eightHexDigits: String {
        let digits = String(self, radix: 16, uppercase: true)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
