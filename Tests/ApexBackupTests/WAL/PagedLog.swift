import TestSupport

@testable import BackupModel

/// Writes commits from the beginning of a segment of 1 MiB on, over pages and segments, as PostgreSQL does.
struct PagedLog {
    private(set) var bytes: [UInt8] = []
    private let first: WALSegmentName
    private var previous: UInt64

    init(from first: WALSegmentName) {
        self.first = first
        previous = first.start.position - 8
    }

    private static let pageSize: UInt64 = 8192
    private static let recordHeader = 24

    private var position: UInt64 { first.start.position + UInt64(bytes.count) }

    /// Commits a transaction; returns where its record begins.
    @discardableResult
    mutating func commit(_ transaction: UInt32, at time: Timestamp) -> LogSequenceNumber {
        var data: [UInt8] = [255, 8]
        data.add(time.microseconds - 946_684_800_000_000)
        return append(Record(manager: 1, transaction: transaction, data: data))
    }

    /// Writes one record of another kind, so that the next one begins at `end`, in the same segment.
    mutating func fill(upTo end: LogSequenceNumber) {
        beginPageIfDue(remaining: 0)
        let pages = (end.position - 1) / Self.pageSize - position / Self.pageSize
        let length = Int(end.position - position - 24 * pages)
        append(
            Record(manager: 10, transaction: 0, data: [UInt8](repeating: 0, count: length - Self.recordHeader)))
    }

    /// The bytes of one of its segments; behind the last record are zeros.
    func content(of segment: WALSegmentName) -> [UInt8] {
        let size = Int(segment.size.bytes)
        let rest = bytes.dropFirst(Int(segment.start.position - first.start.position)).prefix(size)
        return rest + [UInt8](repeating: 0, count: size - rest.count)
    }

    private struct Record {
        var manager: UInt8
        var transaction: UInt32
        var data: [UInt8]
    }

    @discardableResult
    private mutating func append(_ record: Record) -> LogSequenceNumber {
        beginPageIfDue(remaining: 0)
        let start = position
        var header: [UInt8] = []
        header.add(UInt32(Self.recordHeader + record.data.count))
        header.add(record.transaction)
        header.add(previous)
        header += [0, record.manager, 0, 0]
        header.add(CRC32C.checksum(of: record.data + header))
        let all = header + record.data
        for (index, byte) in all.enumerated() {
            beginPageIfDue(remaining: UInt32(all.count - index))
            bytes.append(byte)
        }
        while position % 8 != 0 { bytes.append(0) }
        previous = start
        return LogSequenceNumber(position: start)
    }

    /// Begins a page where one ends; `remaining` bytes of a record go on in it.
    private mutating func beginPageIfDue(remaining: UInt32) {
        guard position % Self.pageSize == 0 else { return }
        let start = position
        let isLong = start % first.size.bytes == 0
        bytes.add(UInt16(0xD110))
        bytes.add(UInt16((remaining > 0 ? 1 : 0) | (isLong ? 2 : 0)))
        bytes.add(first.timeline)
        bytes.add(start)
        bytes.add(remaining)
        bytes.add(UInt32(0))
        guard isLong else { return }
        bytes.add(UInt64(CraftedRepository.systemIdentifier) ?? 0)
        bytes.add(UInt32(first.size.bytes))
        bytes.add(UInt32(Self.pageSize))
    }
}
