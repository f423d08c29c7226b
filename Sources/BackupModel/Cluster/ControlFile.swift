/// What a cluster says about itself in `global/pg_control`.
///
/// PostgreSQL, src/include/catalog/pg_control.h, as a server on a 64-bit little-endian machine writes it.
package struct ControlFile: Sendable, Hashable {
    /// What the cluster was doing when the file was written (`DBState`).
    package enum State: UInt32, Sendable, Hashable {
        case startingUp
        case shutDown
        case shutDownInRecovery
        case shuttingDown
        case inCrashRecovery
        case inArchiveRecovery
        case inProduction
    }

    /// How much is written to the WAL.
    package enum WALLevel: UInt32, Sendable, Hashable {
        case minimal
        case replica
        case logical
    }

    /// The last checkpoint.
    package struct Checkpoint: Sendable, Hashable {
        /// Where its record is.
        package var location: LogSequenceNumber
        /// Where replay begins.
        package var redo: LogSequenceNumber
        package var timeline: UInt32
        /// The timeline before it if the record begins a new one; otherwise the same.
        package var previousTimeline: UInt32
        /// Seconds since 1970-01-01T00:00:00Z, by the server's clock.
        package var time: Int64
    }

    /// How far an archive recovery must come before the data is consistent; zeros while there is none.
    package struct Recovery: Sendable, Hashable {
        package var minimum: LogSequenceNumber
        package var minimumTimeline: UInt32
        /// Where the backup that is being recovered began.
        package var backupStart: LogSequenceNumber
        /// Where a backup of a standby ended.
        package var backupEnd: LogSequenceNumber
        /// Whether the record of the backup's end must be seen.
        package var isBackupEndRequired: Bool
    }

    /// What a program must have been built with to read the data.
    package struct Layout: Sendable, Hashable {
        /// In bytes.
        package var maxAlignment: UInt32
        /// In bytes.
        package var blockSize: UInt32
        /// Blocks in a file of a large relation.
        package var blocksPerRelationFile: UInt32
        /// In bytes.
        package var walBlockSize: UInt32
        /// In bytes; initdb's `--wal-segsize`.
        package var walSegmentSize: UInt32
        /// Whether 8-byte values are passed by value.
        package var passesFloat8ByValue: Bool
        /// Whether `char` was signed where the cluster was made; `nil` before PostgreSQL 18.
        package var isCharSigned: Bool?
    }

    /// The file's size in bytes (`PG_CONTROL_FILE_SIZE`).
    package static let size = 8192

    package var systemIdentifier: UInt64
    /// The layout of this file: 1300, 1700 or 1800.
    package var version: UInt32
    package var catalogVersion: UInt32
    package var state: State
    /// When the file was last written, in seconds since 1970-01-01T00:00:00Z, by the server's clock.
    package var updateTime: Int64
    package var checkpoint: Checkpoint
    package var recovery: Recovery
    package var walLevel: WALLevel
    package var logsHints: Bool
    package var hotStandby: HotStandbyParameters
    package var tracksCommitTimestamps: Bool
    package var layout: Layout
    /// The version of the checksums of data pages; 0 without.
    package var dataChecksumVersion: UInt32

    /// The major version whose catalogues these are; `nil` for one that is not supported or not released.
    ///
    /// PostgreSQL, `CATALOG_VERSION_NO` in src/include/catalog/catversion.h of each release.
    package var major: Int? {
        switch catalogVersion {
        case 202_209_061: 15
        case 202_307_071: 16
        case 202_406_281: 17
        case 202_506_291: 18
        default: nil
        }
    }
}

extension ControlFile {
    /// What a running server says of its control file too, and by which that is told from the one of another server of
    /// the same cluster.
    package struct Mark: Sendable, Hashable {
        /// Whether the server recovers, as a standby always does.
        package var isInRecovery: Bool
        /// In seconds since 1970-01-01T00:00:00Z.
        package var updateTime: Int64
        package var checkpoint: LogSequenceNumber
        package var redo: LogSequenceNumber

        package init(isInRecovery: Bool, updateTime: Int64, checkpoint: LogSequenceNumber, redo: LogSequenceNumber) {
            self.isInRecovery = isInRecovery
            self.updateTime = updateTime
            self.checkpoint = checkpoint
            self.redo = redo
        }
    }

    package var mark: Mark {
        Mark(
            isInRecovery: state != .inProduction, updateTime: updateTime, checkpoint: checkpoint.location,
            redo: checkpoint.redo)
    }

    /// Reads the bytes of a control file; `name` is how errors call it.
    ///
    /// - Throws: ``ErrorCode/objectDamaged`` if the length or the checksum is wrong, or a value is none that a server
    ///   writes; ``ErrorCode/serverUnsupported`` if the layout is unknown.
    package init(parsing bytes: [UInt8], named name: String = "global/pg_control") throws(BackupError) {
        guard bytes.count == Self.size else {
            throw Self.damaged(name, "it has \(bytes.count) bytes and must have \(Self.size)")
        }
        var fields = ControlFileFields(bytes)
        systemIdentifier = fields.uint64()
        version = fields.uint32()
        guard [1300, 1700, 1800].contains(version) else { throw Self.unsupported(name, version) }
        catalogVersion = fields.uint32()
        let stateNumber = fields.uint32()
        updateTime = Int64(bitPattern: fields.uint64())
        checkpoint = fields.checkpoint(version: version)
        _ = fields.uint64()  // unloggedLSN
        recovery = Recovery(
            minimum: fields.position(), minimumTimeline: fields.uint32(), backupStart: fields.position(),
            backupEnd: fields.position(), isBackupEndRequired: fields.bool())
        let levelNumber = fields.uint32()
        logsHints = fields.bool()
        hotStandby = HotStandbyParameters(
            maxConnections: fields.int32(), maxWorkerProcesses: fields.int32(), maxWALSenders: fields.int32(),
            maxPreparedTransactions: fields.int32(), maxLocksPerTransaction: fields.int32())
        tracksCommitTimestamps = fields.bool()
        let maxAlignment = fields.uint32()
        let floatFormat = fields.uint64()
        layout = Layout(
            maxAlignment: maxAlignment, blockSize: fields.uint32(), blocksPerRelationFile: fields.uint32(),
            walBlockSize: fields.uint32(), walSegmentSize: fields.uint32(), passesFloat8ByValue: false,
            isCharSigned: nil)
        for _ in 0..<4 { _ = fields.uint32() }  // nameDataLen, indexMaxKeys, toast_max_chunk_size, loblksize
        layout.passesFloat8ByValue = fields.bool()
        dataChecksumVersion = fields.uint32()
        layout.isCharSigned = version >= 1800 ? fields.bool() : nil
        fields.skip(32)  // mock_authentication_nonce
        let computed = CRC32C.checksum(of: bytes[..<fields.alignedOffset(to: 4)])
        let stored = fields.uint32()
        guard computed == stored else {
            throw Self.damaged(name, "its checksum is \(hex(stored)), that of its content \(hex(computed))")
        }
        guard let state = State(rawValue: stateNumber), let walLevel = WALLevel(rawValue: levelNumber),
            floatFormat == (1_234_567.0).bitPattern, Self.isSegmentSize(layout.walSegmentSize)
        else { throw Self.damaged(name, "it has a value that no server writes") }
        self.state = state
        self.walLevel = walLevel
    }

    /// A power of two from 1 MiB to 1 GiB (PostgreSQL, `IsValidWalSegSize` in src/include/access/xlog_internal.h).
    private static func isSegmentSize(_ size: UInt32) -> Bool {
        size.nonzeroBitCount == 1 && (1 << 20...1 << 30).contains(size)
    }

    private static func damaged(_ name: String, _ reason: String) -> BackupError {
        BackupError(
            .objectDamaged, "The control file '\(name)' is damaged.", reason: reason,
            remedy: "Do not start a server on this data directory; restore it from a backup that verifies.",
            unchanged: "Nothing was written.")
    }

    private static func unsupported(_ name: String, _ version: UInt32) -> BackupError {
        let isSwapped = [1300, 1700, 1800].contains(version.byteSwapped)
        return BackupError(
            .serverUnsupported, "The control file '\(name)' cannot be read.",
            reason: isSwapped
                ? "it was written on a machine with the other byte order"
                : "its layout has the number \(version), which is none of PostgreSQL 15 to 18: 1300, 1700, 1800",
            remedy: isSwapped
                ? "Restore on a machine of the kind that the cluster ran on."
                : "Use a version of apex-backup that knows this major of PostgreSQL; if the cluster is of 15 to 18, the "
                    + "file is damaged, so restore it from a backup that verifies.",
            unchanged: "Nothing was written.")
    }
}

/// Reads the fields of a C structure in their order, each at its alignment, little-endian.
///
/// Beyond the end of the bytes everything is zero.
private struct ControlFileFields {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func alignedOffset(to alignment: Int) -> Int { (offset + alignment - 1) / alignment * alignment }

    mutating func skip(_ count: Int) { offset += count }
    mutating func bool() -> Bool { integer(UInt8.self) != 0 }
    mutating func uint32() -> UInt32 { integer() }
    mutating func int32() -> Int32 { integer() }
    mutating func uint64() -> UInt64 { integer() }
    mutating func position() -> LogSequenceNumber { LogSequenceNumber(position: uint64()) }

    /// The checkpoint's position and the copy of its record; `wal_level` is part of it from 17 on.
    mutating func checkpoint(version: UInt32) -> ControlFile.Checkpoint {
        let location = position()
        let redo = position()
        let timeline = uint32()
        let previousTimeline = uint32()
        _ = bool()  // fullPageWrites
        if version >= 1700 { _ = uint32() }  // wal_level
        _ = uint64()  // nextXid
        for _ in 0..<7 { _ = uint32() }  // nextOid to oldestMultiDB
        let time = Int64(bitPattern: uint64())
        for _ in 0..<3 { _ = uint32() }  // oldestCommitTsXid, newestCommitTsXid, oldestActiveXid
        // The structure's own size is a multiple of its greatest alignment.
        offset = alignedOffset(to: 8)
        return ControlFile.Checkpoint(
            location: location, redo: redo, timeline: timeline, previousTimeline: previousTimeline, time: time)
    }

    private mutating func integer<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self) -> Integer {
        let size = Integer.bitWidth / 8
        offset = alignedOffset(to: size)
        var value: Integer = 0
        for index in 0..<size where offset + index < bytes.count {
            value |= Integer(truncatingIfNeeded: bytes[offset + index]) << Integer(8 * index)
        }
        offset += size
        return value
    }
}

private func hex(_ value: UInt32) -> String { String(value, radix: 16) }
