package import BackupModel
package import BackupStorage
internal import Synchronization

/// Another storage, whose calls are counted.
package final class CountingStorage: ForwardingStorage {
    /// What was asked of it.
    package struct Calls: Sendable, Hashable {
        /// Reads, whole or in part, and looks at single objects.
        package var reads: [ObjectKey] = []
        package var listings: [ObjectKey?] = []
        /// The objects that listings showed.
        package var listed = 0
        /// What was made durable that somebody else may have stored.
        package var durable: [ObjectKey] = []
    }

    package let storage: any Storage
    private let state = Mutex(Calls())

    package init(_ storage: any Storage) { self.storage = storage }

    /// What was asked since the last time.
    package func takeCalls() -> Calls {
        state.withLock { calls in
            defer { calls = Calls() }
            return calls
        }
    }

    package func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? {
        state.withLock { $0.reads.append(key) }
        return try storage.info(key)
    }

    package func read(_ key: ObjectKey, into sink: any ByteSink) throws(BackupError) {
        state.withLock { $0.reads.append(key) }
        try storage.read(key, into: sink)
    }

    package func read(_ key: ObjectKey, at offset: Int64, count: Int) throws(BackupError) -> [UInt8] {
        state.withLock { $0.reads.append(key) }
        return try storage.read(key, at: offset, count: count)
    }

    package func readAll(_ key: ObjectKey, limit: Int) throws(BackupError) -> [UInt8]? {
        state.withLock { $0.reads.append(key) }
        return try storage.readAll(key, limit: limit)
    }

    package func list(
        under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        state.withLock { $0.listings.append(prefix) }
        try storage.list(under: prefix) { object throws(BackupError) in
            state.withLock { $0.listed += 1 }
            try body(object)
        }
    }

    package func children(of prefix: ObjectKey?) throws(BackupError) -> [String] {
        let names = try storage.children(of: prefix)
        state.withLock {
            $0.listings.append(prefix)
            $0.listed += names.count
        }
        return names
    }

    package func makeDurable(_ keys: [ObjectKey]) throws(BackupError) {
        try storage.makeDurable(keys)
        state.withLock { $0.durable += keys }
    }

    package func temporaryFiles(under prefix: ObjectKey?) throws(BackupError) -> [ObjectKey] {
        state.withLock { $0.listings.append(prefix) }
        return try storage.temporaryFiles(under: prefix)
    }

    package func unfinishedWrites(in folder: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        state.withLock { $0.listings.append(folder) }
        return try storage.unfinishedWrites(in: folder)
    }

    package func unfinishedWrites(under prefix: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        state.withLock { $0.listings.append(prefix) }
        return try storage.unfinishedWrites(under: prefix)
    }
}
