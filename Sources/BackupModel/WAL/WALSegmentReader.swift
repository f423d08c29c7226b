/// Reads one segment and summarises it.
package struct WALSegmentReader: Sendable {
    private var reader: WALReader
    private var summary: WALSegmentSummary?

    /// Reads the segment that begins at `start`.
    package init(from start: LogSequenceNumber, checksums: WALReader.Checksums = .ofReportedRecords) {
        reader = WALReader(from: start, checksums: checksums)
    }

    /// The header with which the segment begins, as soon as it was read.
    package var header: WALSegmentHeader? { reader.header }

    /// Takes the segment's next bytes.
    package mutating func consume(_ bytes: Span<UInt8>) {
        var records: [WALRecord] = []
        reader.consume(bytes) { records.append($0) }
        if summary == nil { summary = reader.header.map { WALSegmentSummary($0) } }
        for record in records { summary?.add(record) }
    }

    /// The summary of what was taken; `nil` if it does not begin with a segment's header.
    package func finish() -> WALSegmentSummary? {
        var summary = summary
        summary?.close(reader)
        return summary
    }
}
