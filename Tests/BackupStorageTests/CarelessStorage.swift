import BackupModel
import BackupStorage
import Synchronization

/// A storage that breaks one promise, to show that the contract notices.
final class CarelessStorage: Storage {
    enum Fault: CaseIterable {
        case overwrites
        case matchesPrefixes
        case inventsObjects
        case forgetsOrder
    }

    private let storage: PosixStorage
    private let fault: Fault

    init(_ storage: PosixStorage, _ fault: Fault) {
        self.storage = storage
        self.fault = fault
    }

    var location: String { storage.location }

    func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? {
        let info = try storage.info(key)
        return fault == .inventsObjects ? info ?? ObjectInfo(key: key, size: 0) : info
    }

    func read(_ key: ObjectKey, into sink: any ByteSink) throws(BackupError) { try storage.read(key, into: sink) }

    func readAll(_ key: ObjectKey, limit: Int) throws(BackupError) -> [UInt8]? {
        try storage.readAll(key, limit: limit)
    }

    func list(under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void) throws(BackupError) {
        var found: [ObjectInfo] = []
        if fault == .matchesPrefixes {
            let components = prefix.text.split(separator: "/")
            if components.count > 1 {
                let parent = ObjectKey(components.dropLast().joined(separator: "/"))
                try storage.list(under: parent) { if $0.key.text.hasPrefix(prefix.text) { found.append($0) } }
            } else {
                try storage.list(under: prefix) { found.append($0) }
            }
        } else {
            try storage.list(under: prefix) { found.append($0) }
        }
        if fault == .forgetsOrder { found.reverse() }
        for object in found { try body(object) }
    }

    func children(of prefix: ObjectKey?) throws(BackupError) -> [String] { try storage.children(of: prefix) }

    func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome {
        if fault == .overwrites { try storage.remove(key) }
        return try storage.putIfAbsent(key, bytes)
    }

    func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter { try storage.makeWriter(key) }

    func remove(_ key: ObjectKey) throws(BackupError) { try storage.remove(key) }

    func removeTemporaryFiles(under prefix: ObjectKey) throws(BackupError) {
        try storage.removeTemporaryFiles(under: prefix)
    }

    func freeBytes() throws(BackupError) -> Int64? { try storage.freeBytes() }
}

/// Collects what went wrong on several threads.
final class Failures: Sendable {
    private let collected = Mutex<[String]>([])

    var texts: [String] { collected.withLock { $0 } }

    func add(_ text: String) { collected.withLock { $0.append(text) } }
}
