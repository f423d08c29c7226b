import BackupModel

/// What pg_waldump and ``WALReader`` both say of a record, in one form.
struct WALDumpLine: Hashable, CustomStringConvertible {
    var start: LogSequenceNumber
    var transactionID: UInt32
    var text: String

    var description: String { "\(start) \(transactionID) \(text)" }

    /// What is comparable of a record that was read.
    init(_ record: WALRecord) {
        start = record.start
        transactionID = record.transactionID
        text =
            switch record.content {
            case .commit(let end): Self.text("COMMIT", end)
            case .abort(let end): Self.text("ABORT", end)
            case .prepare(let transactionID, let time): "PREPARE \(transactionID) \(time)"
            case .restorePoint(let name, _): "RESTORE_POINT \(name)"
            case .parameterChange(let new):
                "PARAMETER_CHANGE max_connections=\(new.maxConnections) "
                    + "max_worker_processes=\(new.maxWorkerProcesses) max_wal_senders=\(new.maxWALSenders) "
                    + "max_prepared_xacts=\(new.maxPreparedTransactions) "
                    + "max_locks_per_xact=\(new.maxLocksPerTransaction) "
                    + "wal_level=\(["minimal", "replica", "logical"][Int(new.walLevel)])"
            case .endOfRecovery(let timeline, let previous, let time):
                "END_OF_RECOVERY tli \(timeline); prev tli \(previous); time \(time)"
            case .checkpoint(let checkpoint):
                "CHECKPOINT_\(checkpoint.isShutdown ? "SHUTDOWN" : "ONLINE") redo \(checkpoint.redo); "
                    + "tli \(checkpoint.timeline); prev tli \(checkpoint.previousTimeline)"
            case .segmentSwitch: "SWITCH"
            case .fullPageWrites(let isOn): "FPW_CHANGE \(isOn)"
            case .backupEnd(let start): "BACKUP_END \(start)"
            case .overwrittenRecord(let start, let time): "OVERWRITE_CONTRECORD lsn \(start); time \(time)"
            case .tablespaceCreation(let oid, let location): "TABLESPACE \(oid) \"\(location)\""
            case .message(let message):
                "MESSAGE \(message.isTransactional ? "" : "non-")transactional, prefix \"\(message.prefix)\"; "
                    + "payload (\(message.size) bytes): "
                    + message.payload.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }
                    .joined(separator: " ")
            }
    }

    private static func text(_ kind: String, _ end: TransactionEnd) -> String {
        end.wasPrepared ? "\(kind)_PREPARED \(end.transactionID ?? 0): \(end.time)" : "\(kind) \(end.time)"
    }

    /// What is comparable of a line of pg_waldump; `nil` for a record that the reader does not report.
    init?(parsing line: Substring) {
        let manager = line.dropFirst("rmgr: ".count).prefix { $0 != " " }
        guard line.hasPrefix("rmgr: "), ["Transaction", "XLOG", "LogicalMessage", "Tablespace"].contains(manager),
            let transactionID = line.between(", tx:", ",").flatMap({ UInt32($0.drop { $0 == " " }) }),
            let start = line.between("lsn: ", ",").flatMap({ LogSequenceNumber(parsing: $0) }),
            let description = line.range(of: "desc: ").map({ line[$0.upperBound...] }),
            let text = Self.text(description, transactionID)
        else { return nil }
        self.start = start
        self.transactionID = transactionID
        self.text = text
    }

    private static func text(_ description: Substring, _ transactionID: UInt32) -> String? {
        let kind = String(description.prefix { $0 != " " })
        let rest = description.dropFirst(kind.count + 1)
        switch kind {
        case "COMMIT", "ABORT": return time(in: rest).map { "\(kind) \($0)" }
        case "COMMIT_PREPARED", "ABORT_PREPARED":
            let prepared = rest.prefix { $0 != ":" }
            return time(in: rest.dropFirst(prepared.count + 2)).map { "\(kind) \(prepared): \($0)" }
        case "PREPARE":
            guard let gid = rest.range(of: ": 20") else { return nil }
            return time(in: rest[gid.upperBound...], prefix: "20").map { "\(kind) \(transactionID) \($0)" }
        case "RESTORE_POINT", "FPW_CHANGE": return "\(kind) \(rest)"
        case "SWITCH": return kind
        case "CREATE": return "TABLESPACE \(rest)"
        case "PARAMETER_CHANGE": return "\(kind) \(rest.prefix(upTo: " wal_log_hints"))"
        case "END_OF_RECOVERY":
            guard let clock = rest.range(of: "time ") else { return nil }
            return time(in: rest[clock.upperBound...]).map { "\(kind) \(rest[..<clock.upperBound])\($0)" }
        case "OVERWRITE_CONTRECORD":
            guard let lsn = position(in: rest.between("lsn ", ";")), let clock = rest.range(of: "time "),
                let time = time(in: rest[clock.upperBound...])
            else { return nil }
            return "\(kind) lsn \(lsn); time \(time)"
        case "BACKUP_END": return position(in: rest).map { "\(kind) \($0)" }
        case "CHECKPOINT_ONLINE", "CHECKPOINT_SHUTDOWN":
            guard let redo = position(in: rest.between("redo ", ";")), let timeline = rest.between("; tli ", ";"),
                let previous = rest.between("prev tli ", ";")
            else { return nil }
            return "\(kind) redo \(redo); tli \(timeline); prev tli \(previous)"
        case "MESSAGE":
            guard let payload = rest.range(of: "bytes): ") else { return nil }
            return "\(kind) \(rest[..<payload.upperBound])"
                + rest[payload.upperBound...].prefix(3 * WALMessage.keptBytes - 1)
        default: return nil
        }
    }

    private static func position(in text: Substring?) -> LogSequenceNumber? {
        text.flatMap { LogSequenceNumber(parsing: $0) }
    }

    /// The time in UTC with which `text` begins, once `prefix` is put before it.
    private static func time(in text: Substring, prefix: String = "") -> Timestamp? {
        guard case .instant(let time) = TimeText.parse(prefix + text.prefix(upTo: " UTC") + " UTC") else { return nil }
        return time
    }
}

extension Substring {
    /// Where `text` is for the first time.
    fileprivate func range(of text: String) -> Range<Index>? {
        utf8.ranges(of: text.utf8).first
    }

    /// What is before `text`, or everything.
    fileprivate func prefix(upTo text: String) -> Substring {
        range(of: text).map { self[..<$0.lowerBound] } ?? self
    }

    /// What is between `start` and the `end` behind it.
    fileprivate func between(_ start: String, _ end: String) -> Substring? {
        range(of: start).map { self[$0.upperBound...].prefix(upTo: end) }
    }
}
