package import BackupModel
package import BackupStorage

/// A storage that hands everything on to another one, but what it does itself.
package protocol ForwardingStorage: Storage {
    var storage: any Storage { get }
}

extension ForwardingStorage {
    package var location: String { storage.location }

    package func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? { try storage.info(key) }

    package func read(_ key: ObjectKey, into sink: any ByteSink) throws(BackupError) {
        try storage.read(key, into: sink)
    }

    package func read(_ key: ObjectKey, at offset: Int64, count: Int) throws(BackupError) -> [UInt8] {
        try storage.read(key, at: offset, count: count)
    }

    package func readAll(_ key: ObjectKey, limit: Int) throws(BackupError) -> [UInt8]? {
        try storage.readAll(key, limit: limit)
    }

    package func list(
        under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        try storage.list(under: prefix, body)
    }

    package func children(of prefix: ObjectKey?) throws(BackupError) -> [String] { try storage.children(of: prefix) }

    package func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome {
        try storage.putIfAbsent(key, bytes)
    }

    package func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter { try storage.makeWriter(key) }

    package func makeDurable(_ keys: [ObjectKey]) throws(BackupError) { try storage.makeDurable(keys) }

    package func remove(_ keys: [ObjectKey]) throws(BackupError) { try storage.remove(keys) }

    package func removeEmptyFolders(under prefix: ObjectKey) throws(BackupError) {
        try storage.removeEmptyFolders(under: prefix)
    }

    package func temporaryFiles(under prefix: ObjectKey?) throws(BackupError) -> [ObjectKey] {
        try storage.temporaryFiles(under: prefix)
    }

    package func unfinishedWrites(in folder: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        try storage.unfinishedWrites(in: folder)
    }

    package func unfinishedWrites(under prefix: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        try storage.unfinishedWrites(under: prefix)
    }

    package func removeTemporaryFiles(_ files: [ObjectKey]) throws(BackupError) {
        try storage.removeTemporaryFiles(files)
    }

    package func freeBytes() throws(BackupError) -> Int64? { try storage.freeBytes() }
}
