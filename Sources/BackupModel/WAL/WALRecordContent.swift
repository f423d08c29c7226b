extension WALRecord.Content {
    /// Reads what a record of `kind` says from its main data; `nil` if they are too short for it.
    ///
    /// - Parameters:
    ///   - kind: The kind of record.
    ///   - header: Its fixed header.
    ///   - main: The main data, or the first ``WALRecordKind/keptBytes`` of them.
    ///   - length: The length of all main data.
    ///   - major: PostgreSQL's major version.
    init?(_ kind: WALRecordKind, _ header: WALRecordHeader, main: Span<UInt8>, length: Int, major: Int) {
        let main = main.extracting(first: kind.keptBytes)
        guard main.count >= kind.leastBytes else { return nil }
        switch kind {
        case .commit, .abort, .commitPrepared, .abortPrepared:
            let wasPrepared = kind == .commitPrepared || kind == .abortPrepared
            let prepared =
                wasPrepared ? Self.preparedTransaction(in: main, info: header.info, kind, major: major) : nil
            let end = TransactionEnd(
                transactionID: wasPrepared ? prepared : header.transactionID, time: main.timestamp(at: 0),
                wasPrepared: wasPrepared)
            self = kind == .commit || kind == .commitPrepared ? .commit(end) : .abort(end)
        case .prepare: self = .prepare(transactionID: main.uint32(at: 8), time: main.timestamp(at: 16))
        case .restorePoint:
            self = .restorePoint(name: main.text(from: 8, upTo: main.count), time: main.timestamp(at: 0))
        case .parameterChange:
            self = .parameterChange(
                WALParameters(
                    maxConnections: main.int32(at: 0), maxWorkerProcesses: main.int32(at: 4),
                    maxWALSenders: main.int32(at: 8), maxPreparedTransactions: main.int32(at: 12),
                    maxLocksPerTransaction: main.int32(at: 16), walLevel: main.int32(at: 20)))
        case .endOfRecovery:
            self = .endOfRecovery(
                timeline: main.uint32(at: 8), previousTimeline: main.uint32(at: 12), time: main.timestamp(at: 0))
        case .onlineCheckpoint, .shutdownCheckpoint:
            self = .checkpoint(
                WALCheckpoint(
                    isShutdown: kind == .shutdownCheckpoint, redo: main.position(at: 0), timeline: main.uint32(at: 8),
                    previousTimeline: main.uint32(at: 12),
                    time: Timestamp(clampingSeconds: Int64(bitPattern: main.uint64(at: 64)))))
        case .segmentSwitch: self = .segmentSwitch
        case .fullPageWrites: self = .fullPageWrites(isOn: main[0] != 0)
        case .backupEnd: self = .backupEnd(start: main.position(at: 0))
        case .overwrittenRecord:
            self = .overwrittenRecord(start: main.position(at: 0), time: main.timestamp(at: 8))
        case .tablespaceCreation:
            self = .tablespaceCreation(oid: main.uint32(at: 0), location: main.text(from: 4, upTo: main.count))
        case .message:
            guard let message = WALMessage(main, length: length) else { return nil }
            self = .message(message)
        }
    }

    /// The transaction that `COMMIT PREPARED` or `ROLLBACK PREPARED` ended.
    ///
    /// It stands behind lists whose presence `xinfo` tells (PostgreSQL, src/include/access/xact.h, `xl_xact_commit`).
    private static func preparedTransaction(
        in main: Span<UInt8>, info: UInt8, _ kind: WALRecordKind, major: Int
    ) -> UInt32? {
        guard info & 0x80 != 0, main.count >= 12 else { return nil }
        let present = main.uint32(at: 8)
        guard present & 1 << 4 != 0 else { return nil }
        var offset = 12
        if present & 1 << 0 != 0 { offset += 8 }
        // Bytes of an item: a subtransaction, a relation's file, dropped statistics, an invalidation message.
        var lists: [(bit: UInt32, itemSize: Int)] = [(1, 4), (2, 12)]
        if major >= 15 { lists.append((8, major >= 18 ? 16 : 12)) }
        if kind == .commitPrepared { lists.append((3, 16)) }
        for list in lists where present & 1 << list.bit != 0 {
            guard offset + 4 <= main.count else { return nil }
            offset += 4 + Int(main.uint32(at: offset)) * list.itemSize
        }
        return offset + 4 <= main.count ? main.uint32(at: offset) : nil
    }
}

extension WALMessage {
    /// Reads a message (PostgreSQL, src/include/replication/message.h, `xl_logical_message`), or as much as there is of
    /// it; `nil` if its lengths do not fit.
    fileprivate init?(_ main: Span<UInt8>, length: Int) {
        let prefixSize = main.uint64(at: 8)
        let size = main.uint64(at: 16)
        let rest = UInt64(length - 24)
        // The prefix ends with a null, which its size includes.
        guard prefixSize <= rest, size <= rest - prefixSize else { return nil }
        isTransactional = main[4] != 0
        prefix = main.text(from: 24, upTo: 24 + min(Int(prefixSize), Self.keptBytes))
        self.size = size
        let start = 24 + Int(prefixSize)
        payload = []
        for index in start..<max(start, min(start + min(Int(size), Self.keptBytes), main.count)) {
            payload.append(main[index])
        }
    }
}

extension WALRecordKind {
    /// The bytes that the main data have at least, in every major version.
    fileprivate var leastBytes: Int {
        switch self {
        case .commit, .abort, .commitPrepared, .abortPrepared: 8
        case .prepare: 24
        case .restorePoint: 9
        case .parameterChange: 24
        case .endOfRecovery: 16
        case .onlineCheckpoint, .shutdownCheckpoint: 72
        case .segmentSwitch: 0
        case .fullPageWrites: 1
        case .backupEnd: 8
        case .overwrittenRecord: 16
        case .tablespaceCreation: 5
        case .message: 24
        }
    }
}

extension Span<UInt8> {
    fileprivate func int32(at offset: Int) -> Int32 { Int32(bitPattern: uint32(at: offset)) }

    fileprivate func position(at offset: Int) -> LogSequenceNumber { LogSequenceNumber(position: uint64(at: offset)) }

    /// PostgreSQL's `TimestampTz`: microseconds since 2000-01-01.
    fileprivate func timestamp(at offset: Int) -> Timestamp {
        Timestamp(clampingSince2000: Int64(bitPattern: uint64(at: offset)))
    }

    /// The text from `start` to the first null, or to `end`.
    fileprivate func text(from start: Int, upTo end: Int) -> String {
        var bytes: [UInt8] = []
        var index = start
        while index < Swift.min(end, count), self[index] != 0 {
            bytes.append(self[index])
            index += 1
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Timestamp {
    /// The first and the last instant of the years 1 to 9999, the only ones that have an RFC 3339 form.
    private static let writable: ClosedRange<Int64> = -62_135_596_800_000_000...253_402_300_799_999_999

    /// An instant in microseconds since 2000-01-01, or the nearest one of the years 1 to 9999.
    fileprivate init(clampingSince2000 microseconds: Int64) {
        let (sum, overflow) = microseconds.addingReportingOverflow(946_684_800_000_000)
        self.init(microseconds: overflow ? Self.writable.upperBound : Self.clamped(sum))
    }

    /// An instant in seconds since 1970-01-01, or the nearest one of the years 1 to 9999.
    fileprivate init(clampingSeconds seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        let beyond = seconds < 0 ? Self.writable.lowerBound : Self.writable.upperBound
        self.init(microseconds: overflow ? beyond : Self.clamped(product))
    }

    private static func clamped(_ microseconds: Int64) -> Int64 {
        min(max(microseconds, writable.lowerBound), writable.upperBound)
    }
}
