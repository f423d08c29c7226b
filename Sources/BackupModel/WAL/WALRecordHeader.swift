/// The fixed header of a WAL record (PostgreSQL, src/include/access/xlogrecord.h, `XLogRecord`).
struct WALRecordHeader: Sendable, Hashable {
    /// Where the record begins.
    let start: UInt64
    /// The length of the record, this header included.
    let totalLength: UInt32
    let transactionID: UInt32
    let previous: UInt64
    let info: UInt8
    let resourceManager: UInt8
    private let padding: UInt16
    private let checksum: UInt32

    static let size = 24

    /// The greatest length that PostgreSQL can read (`MaxAllocSize`, src/include/utils/memutils.h).
    static let greatestLength: UInt32 = 0x3FFF_FFFF

    /// The header of the record at `start`; its bytes begin at `offset`.
    @inline(__always)
    init(_ bytes: Span<UInt8>, at offset: Int, start: UInt64) {
        let bytes = bytes.extracting(offset..<offset &+ Self.size)
        self.start = start
        totalLength = bytes.uint32(at: 0)
        transactionID = bytes.uint32(at: 4)
        previous = bytes.uint64(at: 8)
        info = bytes[16]
        resourceManager = bytes[17]
        padding = bytes.uint16(at: 18)
        checksum = bytes.uint32(at: 20)
    }

    /// Whether `checksum` of the record's bytes behind the header, continued with the header's own, is right.
    func matches(_ checksum: CRC32C) -> Bool {
        var checksum = checksum
        checksum.update(UInt64(totalLength) | UInt64(transactionID) << 32)
        checksum.update(previous)
        checksum.update(UInt32(info) | UInt32(resourceManager) << 8 | UInt32(padding) << 16)
        return checksum.value == self.checksum
    }

    /// The bytes that it was read from.
    var bytes: [UInt8] {
        let words = [
            UInt64(totalLength) | UInt64(transactionID) << 32, previous,
            UInt64(info) | UInt64(resourceManager) << 8 | UInt64(padding) << 16 | UInt64(checksum) << 32,
        ]
        return words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
    }

    /// Whether PostgreSQL knows the resource manager: its own (src/include/access/rmgrlist.h), and those that
    /// extensions may bring since version 15.
    func hasKnownResourceManager(major: Int) -> Bool {
        resourceManager <= 21 || (resourceManager >= 128 && major >= 15)
    }

    /// What kind of record it is, if it is one that is reported.
    @inline(__always)
    var kind: WALRecordKind? {
        switch resourceManager {
        case 0: WALRecordKind(controlInfo: info)
        case 1: WALRecordKind(transactionInfo: info)
        case 5: info & 0xF0 == 0 ? .tablespaceCreation : nil
        case 21: info & 0xF0 == 0 ? .message : nil
        default: nil
        }
    }
}

/// The kinds of records that are reported.
enum WALRecordKind: Sendable, Hashable {
    case commit
    case abort
    case commitPrepared
    case abortPrepared
    case prepare
    case restorePoint
    case parameterChange
    case endOfRecovery
    case onlineCheckpoint
    case shutdownCheckpoint
    case segmentSwitch
    case fullPageWrites
    case backupEnd
    case overwrittenRecord
    case tablespaceCreation
    case message

    /// A kind of the resource manager Transaction (PostgreSQL, src/include/access/xact.h).
    init?(transactionInfo info: UInt8) {
        switch info & 0x70 {
        case 0x00: self = .commit
        case 0x10: self = .prepare
        case 0x20: self = .abort
        case 0x30: self = .commitPrepared
        case 0x40: self = .abortPrepared
        default: return nil
        }
    }

    /// A kind of the resource manager XLOG (PostgreSQL, src/include/catalog/pg_control.h).
    init?(controlInfo info: UInt8) {
        switch info & 0xF0 {
        case 0x00: self = .shutdownCheckpoint
        case 0x10: self = .onlineCheckpoint
        case 0x40: self = .segmentSwitch
        case 0x50: self = .backupEnd
        case 0x60: self = .parameterChange
        case 0x70: self = .restorePoint
        case 0x80: self = .fullPageWrites
        case 0x90: self = .endOfRecovery
        case 0xD0: self = .overwrittenRecord
        default: return nil
        }
    }

    /// How many bytes of the main data are kept, at most.
    var keptBytes: Int {
        switch self {
        case .commit, .abort, .prepare: 64
        case .commitPrepared, .abortPrepared: 1 << 20
        case .message: 24 + 2 * WALMessage.keptBytes
        case .tablespaceCreation: 4 + 1024
        default: 128
        }
    }
}
