import BackupModel
import BackupStorage

/// Passes a segment on when its first page is that of the segment that is wanted.
final class SegmentCheck: ByteSink {
    private let segment: WALSegmentName
    private let systemIdentifier: UInt64
    private let next: any ByteSink
    private var start: [UInt8] = []
    private(set) var count: UInt64 = 0

    init(_ segment: WALSegmentName, expecting systemIdentifier: UInt64, into next: any ByteSink) {
        self.segment = segment
        self.systemIdentifier = systemIdentifier
        self.next = next
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        if start.count < WALPageHeader.longestSize {
            start.append(copying: bytes.extracting(0..<min(bytes.count, WALPageHeader.longestSize - start.count)))
        }
        count += UInt64(bytes.count)
        try next.write(bytes)
    }

    func finish() throws(BackupError) {
        try WALSegmentHeader.check(
            WALSegmentHeader(parsing: start.span), of: segment, length: count, expecting: systemIdentifier)
    }
}

extension WALArchive {
    /// Reads a stored segment into `sink`, and proves that it is what was stored, by the digest of the stored bytes and
    /// the checksums of the content, and the one that its name says; returns `false` if it is certainly not there whole.
    ///
    /// The bytes reach `sink` before they are proved.
    func readChecked(_ segment: WALSegmentName, into sink: any ByteSink) throws(BackupError) -> Bool {
        let check = SegmentCheck(segment, expecting: systemIdentifier, into: sink)
        guard try read(.segment(segment), into: check, comparingContent: false) else { return false }
        try check.finish()
        return true
    }
}
