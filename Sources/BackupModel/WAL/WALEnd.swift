/// Where and why the reading of WAL ended.
package struct WALEnd: Sendable, Hashable {
    /// The end of the valid WAL: the position of the first record that is not there, or not whole.
    package var position: LogSequenceNumber
    /// Why it ended.
    package var reason: Reason
    /// The record that began and was not finished, if there is one.
    package var unfinished: UnfinishedRecord?

    /// Why the reading of WAL ended.
    package enum Reason: Sendable, Hashable {
        /// All bytes were read and valid; more may follow.
        case inputEnded
        /// There is no record where the next one should begin, only zeros.
        case zeroLength
        /// The record's length is less than its header's or more than PostgreSQL allows.
        case wrongLength(UInt32)
        /// No resource manager has this number.
        case wrongResourceManager(UInt8)
        /// The record says that another one than the last precedes it: it is an old one, in a recycled segment.
        case wrongPreviousRecord(LogSequenceNumber)
        /// The record's checksum is wrong.
        case wrongChecksum
        /// The record's checksum is right, but its parts do not fit.
        case malformedRecord
        /// The header of the page at this position is not what follows the page before.
        case wrongPage(LogSequenceNumber, PageProblem)
    }

    /// What is wrong with a page.
    package enum PageProblem: Sendable, Hashable {
        /// The page begins with another number than those of PostgreSQL 14 to 18, or than the pages before.
        case format(UInt16)
        /// The flags are not those of a page at this position.
        case flags(UInt16)
        /// The page is that of another position: an old one, in a recycled segment.
        case address(LogSequenceNumber)
        /// The page is of an older timeline than the page before.
        case timeline(UInt32)
        /// The page is of another cluster.
        case systemIdentifier(UInt64)
        /// The segment or page size is not one of PostgreSQL's, or not that of the cluster.
        case sizes
        /// The page does not continue the record of the page before, or continues one where none was unfinished.
        case continuation(UInt32)
    }
}

/// A record whose end is not there.
package struct UnfinishedRecord: Sendable, Hashable, Codable {
    /// Where it begins; `nil` if that is in an earlier segment, which was not read.
    package var start: LogSequenceNumber?
    /// Its length, if its beginning was read.
    package var totalLength: UInt32?
    /// The bytes of it that are missing, page headers not counted.
    package var missingBytes: UInt32
    /// Whether it may be one that is reported; `true` as long as its header is not whole.
    package var mayBeReported: Bool
}

extension WALEnd.Reason: CustomStringConvertible {
    /// Half a sentence about the reason.
    package var description: String {
        switch self {
        case .inputEnded: "the input ended"
        case .zeroLength: "no record follows"
        case .wrongLength(let length): "a record of \(length) bytes cannot be"
        case .wrongResourceManager(let number): "no resource manager has the number \(number)"
        case .wrongPreviousRecord(let lsn): "a record that follows \(lsn) does not belong here"
        case .wrongChecksum: "the checksum of a record is wrong"
        case .malformedRecord: "the parts of a record do not fit"
        case .wrongPage(let lsn, let problem): "the page at \(lsn) \(problem)"
        }
    }
}

extension WALEnd.PageProblem: CustomStringConvertible {
    /// The end of a sentence about the page.
    package var description: String {
        switch self {
        case .format(let magic): "has the format number 0x\(String(magic, radix: 16, uppercase: true))"
        case .flags(let flags): "has the flags 0x\(String(flags, radix: 16, uppercase: true))"
        case .address(let lsn): "says that it is that of \(lsn)"
        case .timeline(let timeline): "goes back to timeline \(timeline)"
        case .systemIdentifier(let identifier): "is of the cluster \(identifier)"
        case .sizes: "has other segment or page sizes"
        case .continuation(let length): "goes on with \(length) bytes of a record, which does not fit the page before"
        }
    }
}
