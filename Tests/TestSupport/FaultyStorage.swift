package import BackupModel
package import BackupStorage
internal import Synchronization

/// Another storage, of which one operation fails once.
package final class FaultyStorage: ForwardingStorage {
    /// What can fail.
    package enum Operation: Sendable, CaseIterable {
        /// `info`, `list` and `children`.
        case look
        /// `read` and `readAll`.
        case read
        /// One `write` of an object's writer.
        case write
        /// `putIfAbsent`, and `finish` of an object's writer, before anything is visible.
        case publish
        case remove
    }

    package let storage: any Storage
    private let countdown: Countdown

    /// Fails the `number`th `operation`, counted from 1, with `error`.
    package init(
        _ storage: any Storage, failing operation: Operation, number: Int = 1,
        with error: BackupError = FaultyStorage.fault
    ) {
        self.storage = storage
        countdown = Countdown(operation, number, error)
    }

    /// What fails unless something else is asked for.
    package static let fault = BackupError(
        .storageFailed, "The storage failed.", reason: "the test wants it to", remedy: "Nothing.")

    /// Whether the operation has failed.
    package var hasFailed: Bool { countdown.left.withLock { $0 <= 0 } }

    package func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? {
        try countdown.count(.look)
        return try storage.info(key)
    }

    package func read(_ key: ObjectKey, into sink: any ByteSink) throws(BackupError) {
        try countdown.count(.read)
        try storage.read(key, into: sink)
    }

    package func read(_ key: ObjectKey, at offset: Int64, count: Int) throws(BackupError) -> [UInt8] {
        try countdown.count(.read)
        return try storage.read(key, at: offset, count: count)
    }

    package func readAll(_ key: ObjectKey, limit: Int) throws(BackupError) -> [UInt8]? {
        try countdown.count(.read)
        return try storage.readAll(key, limit: limit)
    }

    package func list(
        under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        try countdown.count(.look)
        try storage.list(under: prefix, body)
    }

    package func children(of prefix: ObjectKey?) throws(BackupError) -> [String] {
        try countdown.count(.look)
        return try storage.children(of: prefix)
    }

    package func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome {
        try countdown.count(.publish)
        return try storage.putIfAbsent(key, bytes)
    }

    package func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
        FaultyWriter(try storage.makeWriter(key), countdown)
    }

    package func remove(_ keys: [ObjectKey]) throws(BackupError) {
        for key in keys {
            try countdown.count(.remove)
            try storage.remove(key)
        }
    }

    package func removeEmptyFolders(under prefix: ObjectKey) throws(BackupError) {
        try countdown.count(.remove)
        try storage.removeEmptyFolders(under: prefix)
    }

    package func removeTemporaryFiles(_ files: [ObjectKey]) throws(BackupError) {
        try countdown.count(.remove)
        try storage.removeTemporaryFiles(files)
    }
}

private final class FaultyWriter: ObjectWriter {
    private let writer: any ObjectWriter
    private let countdown: Countdown

    init(_ writer: any ObjectWriter, _ countdown: Countdown) {
        self.writer = writer
        self.countdown = countdown
    }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try countdown.count(.write)
        try writer.write(bytes)
    }

    func finish() throws(BackupError) {
        try countdown.count(.publish)
        try writer.finish()
    }

    func discard() { writer.discard() }
}

/// Counts one kind of operation and throws at the chosen one.
private final class Countdown: Sendable {
    let left: Mutex<Int>
    private let operation: FaultyStorage.Operation
    private let error: BackupError

    init(_ operation: FaultyStorage.Operation, _ number: Int, _ error: BackupError) {
        self.operation = operation
        self.error = error
        left = Mutex(number)
    }

    func count(_ operation: FaultyStorage.Operation) throws(BackupError) {
        guard operation == self.operation else { return }
        let isDue = left.withLock { left in
            left -= 1
            return left == 0
        }
        if isDue { throw error }
    }
}
