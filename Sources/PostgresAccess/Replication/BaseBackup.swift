package import BackupModel
import Synchronization

/// How a base backup is to be taken.
package struct BaseBackupOptions: Sendable, Hashable {
    /// The backup's label, which ends up in `backup_label`.
    package var label: String
    /// Whether the starting checkpoint is made at once.
    package var isFast: Bool
    /// The most kilobytes a second that the server sends; `nil` for no limit.
    package var maxRate: Int64?

    package init(label: String, isFast: Bool, maxRate: Int64?) {
        self.label = label
        self.isFast = isFast
        self.maxRate = maxRate
    }

    /// The command of PostgreSQL 15 and newer.
    ///
    /// `WAIT false`: its WAL is streamed beside it, so that a failing archiver does not hold it up, or is waited for in
    /// the archive itself.
    var command: String {
        var options = [
            "LABEL \(quoteLiteral(label))", "PROGRESS true", "CHECKPOINT '\(isFast ? "fast" : "spread")'", "WAIT false",
            "TABLESPACE_MAP true", "MANIFEST 'yes'", "MANIFEST_CHECKSUMS 'CRC32C'", "VERIFY_CHECKSUMS true",
        ]
        if let maxRate { options.append("MAX_RATE \(maxRate)") }
        return "BASE_BACKUP (\(options.joined(separator: ", ")))"
    }
}

/// Where a base backup begins, as the server announces it.
package struct BaseBackupStart: Sendable, Hashable {
    package var lsn: LogSequenceNumber
    package var timeline: UInt32
    package var tablespaces: [BaseBackupTablespace]
    /// The bytes that the server expects to send, estimated from the sizes of files; `nil` if it does not say.
    package var estimatedBytes: Int64? {
        let sizes = tablespaces.compactMap(\.kilobytes)
        return sizes.count == tablespaces.count ? sizes.reduce(0, +) * 1024 : nil
    }
}

/// One archive that a base backup will have: a tablespace, or the data directory itself.
package struct BaseBackupTablespace: Sendable, Hashable {
    /// `nil` for the data directory.
    package var oid: UInt32?
    /// Where the tablespace is on the server.
    package var location: String?
    package var kilobytes: Int64?
}

/// Where a base backup ended, and what the server found wrong with its source.
package struct BaseBackupEnd: Sendable, Hashable {
    package var lsn: LogSequenceNumber
    package var timeline: UInt32
    /// The error that came after everything was sent: bad pages in the source.
    ///
    /// The backup is complete.
    package var damage: ServerError?
    /// The server's warnings, of which there are at most ``BaseBackupNotices/limit``.
    package var notices: [ServerNotice]
}

extension ReplicationSession {
    /// Takes a base backup: announces its start, then hands over each message of its stream, as it comes.
    ///
    /// Returns when all was sent and the end position is known, also for bad pages (``BaseBackupEnd/damage``).
    package func baseBackup(
        _ options: BaseBackupOptions, onStart: @Sendable (BaseBackupStart) throws -> Void,
        onMessage: @Sendable (Span<UInt8>) throws -> Void
    ) async throws -> BaseBackupEnd {
        let notices = BaseBackupNotices()
        let (after, failure) = try await session.copy(
            options.command, onNotice: { notices.add($0) },
            onBegin: { try onStart(Self.start($0, settings)) }, onMessage: onMessage)
        // The server reports a cancelled command as an error; its cause is here.
        if failure != nil { try Task.checkCancellation() }
        return try Self.end(after, failure, notices: notices.all, settings)
    }

    private static let dataCorrupted = "XX001"

    /// What the rows behind the stream, and the error behind them, come to.
    ///
    /// The server reports bad pages as an error with the SQLSTATE XX001, after it has sent everything and the end
    /// position (PostgreSQL, `perform_base_backup`): that alone is not thrown.
    static func end(
        _ after: CommandRows, _ failure: ServerError?, notices: [ServerNotice], _ settings: ConnectionSettings
    ) throws(BackupError) -> BaseBackupEnd {
        guard let end = after.first?.first, let lsn = end.value(0).flatMap({ LogSequenceNumber(parsing: $0) }),
            let timeline = end.value(1).flatMap({ UInt32($0) })
        else { throw failure?.backupError(from: settings, isStandby: false) ?? unexpected("BASE_BACKUP", settings) }
        if let failure, failure.sqlstate != dataCorrupted {
            throw failure.backupError(from: settings, isStandby: false)
        }
        return BaseBackupEnd(lsn: lsn, timeline: timeline, damage: failure, notices: notices)
    }

    private static func start(_ before: CommandRows, _ settings: ConnectionSettings) throws -> BaseBackupStart {
        guard before.count == 2, let position = before[0].first,
            let lsn = position.value(0).flatMap({ LogSequenceNumber(parsing: $0) }),
            let timeline = position.value(1).flatMap({ UInt32($0) })
        else { throw unexpected("BASE_BACKUP", settings) }
        let tablespaces = before[1].map { row in
            BaseBackupTablespace(
                oid: row.value(0).flatMap { UInt32($0) }, location: row.value(1),
                kilobytes: row.value(2).flatMap { Int64($0) })
        }
        return BaseBackupStart(lsn: lsn, timeline: timeline, tablespaces: tablespaces)
    }
}

extension PostgresSession {
    /// Runs a command that copies from the server.
    func copy(
        _ command: String, onNotice: @escaping @Sendable (ServerNotice) -> Void,
        onBegin: @Sendable (CommandRows) throws -> Void, onMessage: @Sendable (Span<UInt8>) throws -> Void
    ) async throws -> (after: CommandRows, failure: ServerError?) {
        try await withConnection { connection in
            connection.onNotice(onNotice)
            try onBegin(connection.beginCopy(command))
            try connection.readCopy(onMessage)
            return try connection.finishCopy()
        }
    }
}

/// Collects the warnings of a base backup, up to a limit: a badly damaged source has very many.
private final class BaseBackupNotices: Sendable {
    static let limit = 1000
    private let notices = Mutex<[ServerNotice]>([])

    var all: [ServerNotice] { notices.withLock { $0 } }

    func add(_ notice: ServerNotice) {
        notices.withLock { if $0.count < Self.limit { $0.append(notice) } }
    }
}

extension [String?] {
    fileprivate func value(_ column: Int) -> String? { indices.contains(column) ? self[column] : nil }
}
