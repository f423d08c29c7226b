import BackupModel
import BackupStorage
import Synchronization
import TestSupport

/// A storage that breaks one promise, to show that the contract notices.
final class CarelessStorage: ForwardingStorage {
    enum Fault: CaseIterable {
        case overwrites
        case matchesPrefixes
        case inventsObjects
        case forgetsOrder
    }

    let storage: any Storage
    private let fault: Fault

    init(_ storage: PosixStorage, _ fault: Fault) {
        self.storage = storage
        self.fault = fault
    }

    func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? {
        let info = try storage.info(key)
        return fault == .inventsObjects ? info ?? ObjectInfo(key: key, size: 0) : info
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

    func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome {
        if fault == .overwrites { try storage.remove(key) }
        return try storage.putIfAbsent(key, bytes)
    }
}

/// Collects what went wrong on several threads.
final class Failures: Sendable {
    private let collected = Mutex<[String]>([])

    var texts: [String] { collected.withLock { $0 } }

    func add(_ text: String) { collected.withLock { $0.append(text) } }
}
