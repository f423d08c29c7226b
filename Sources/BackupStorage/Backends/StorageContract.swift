package import BackupModel
internal import Dispatch
internal import Synchronization

/// The promises of ``Storage`` that `storage` does not keep, in words; none if all is well.
///
/// Works below `prefix`, where nothing else may be, and removes what it wrote.
package func storageContractViolations(_ storage: any Storage, under prefix: ObjectKey) -> [String] {
    let contract = StorageContract(storage: storage, prefix: prefix)
    contract.check("absent objects", contract.absentObjects)
    contract.check("put if absent", contract.putIfAbsent)
    contract.check("writers", contract.writers)
    contract.check("abandoned writers", contract.abandonedWriters)
    contract.check("unfinished writes", contract.unfinishedWrites)
    contract.check("durability", contract.durability)
    contract.check("empty objects", contract.emptyObjects)
    contract.check("large objects", contract.largeObjects)
    contract.check("limits", contract.limits)
    contract.check("ranges", contract.ranges)
    contract.check("listing", contract.listing)
    contract.check("delimiters", contract.delimiters)
    contract.check("racing writers", contract.racingWriters)
    contract.check("removal", contract.removal)
    return contract.violations
}

private final class StorageContract {
    private(set) var violations: [String] = []
    private let storage: any Storage
    private let root: ObjectKey
    private var groups = 0

    init(storage: any Storage, prefix: ObjectKey) {
        self.storage = storage
        root = prefix
    }

    /// The folder of the group of promises that is tried now: a store of files may keep those that are empty, and then
    /// no object can have the name of one.
    private var prefix: ObjectKey { root.appending("\(groups)") }

    /// Runs one group of promises in an empty folder; an error is a violation too.
    func check(_ name: String, _ promises: () throws(BackupError) -> Void) {
        groups += 1
        let count = violations.count
        do {
            try promises()
            try removeEverything()
        } catch {
            violations.append("fails with: \(error.message) \(error.reason ?? "")")
            try? removeEverything()
        }
        for index in violations.indices.dropFirst(count) { violations[index] = "\(name): \(violations[index])" }
    }

    private func expect(_ holds: Bool, _ promise: String) {
        if !holds { violations.append("broken: \(promise)") }
    }

    private func removeEverything() throws(BackupError) {
        for object in try list(prefix) { try storage.remove(object.key) }
    }

    private func list(_ key: ObjectKey) throws(BackupError) -> [ObjectInfo] {
        var found: [ObjectInfo] = []
        try storage.list(under: key) { object in found.append(object) }
        return found
    }

    /// The error code that `action` ends with.
    private func code(_ action: () throws(BackupError) -> Void) -> ErrorCode? {
        do { try action() } catch { return error.code }
        return nil
    }

    func absentObjects() throws(BackupError) {
        let key = prefix.appending("folder/absent")
        expect(try storage.info(key) == nil, "info of an absent object is nil")
        expect(try storage.readAll(key, limit: 10) == nil, "readAll of an absent object is nil")
        let read = code { () throws(BackupError) in try storage.read(key, into: DiscardSink()) }
        expect(read == .objectMissing, "reading an absent object says that it is missing")
        expect(try list(prefix).isEmpty, "an empty folder lists nothing")
        expect(try storage.children(of: prefix).isEmpty, "an empty folder has no children")
        try storage.remove(key)
        _ = try storage.putIfAbsent(prefix.appending("file"), [1])
        expect(try storage.info(prefix.appending("file/below")) == nil, "nothing is below an object")
        expect(try storage.readAll(prefix, limit: 10) == nil, "a folder is not an object")
    }

    func putIfAbsent() throws(BackupError) {
        let key = prefix.appending("a/b/object")
        expect(try storage.putIfAbsent(key, [1, 2, 3]) == .stored, "the first put stores")
        expect(try storage.putIfAbsent(key, [4]) == .present, "a second put says that the name is taken")
        expect(try storage.putIfAbsent(key, [1, 2, 3]) == .present, "also with the same content")
        expect(try storage.readAll(key, limit: 3) == [1, 2, 3], "a second put changes nothing")
        expect(try storage.info(key) == ObjectInfo(key: key, size: 3), "info has key and size")
        expect(try storage.children(of: prefix) == ["a"], "a folder is a child")
        expect(try storage.children(of: prefix.appending("a/b")) == ["object"], "an object is a child")
    }

    func writers() throws(BackupError) {
        let key = prefix.appending("written/object")
        let writer = try storage.makeWriter(key)
        try writer.write([1, 2].span)
        expect(try storage.info(key) == nil, "an unfinished object is invisible to info")
        expect(try list(prefix).isEmpty, "an unfinished object is invisible to list")
        expect(try storage.children(of: prefix).isEmpty, "an unfinished object is invisible to children")
        try writer.write([3].span)
        try writer.finish()
        expect(try storage.readAll(key, limit: 10) == [1, 2, 3], "a finished object is whole")
        writer.discard()
        expect(try storage.info(key) != nil, "discarding a finished writer changes nothing")
        let second = code { () throws(BackupError) in try storage.write(key, [9]) }
        expect(second == .objectExists, "finishing under a taken name says that the object exists")
        expect(try storage.readAll(key, limit: 10) == [1, 2, 3], "and changes nothing")
        expect(try list(prefix).count == 1, "and leaves nothing behind")
    }

    func abandonedWriters() throws(BackupError) {
        let key = prefix.appending("abandoned/object")
        do {
            let writer = try storage.makeWriter(key)
            try writer.write([1].span)
        }
        expect(try storage.children(of: prefix).isEmpty, "a dropped writer leaves nothing")
        let discarded = try storage.makeWriter(key)
        try discarded.write([1].span)
        discarded.discard()
        discarded.discard()
        expect(try storage.children(of: prefix).isEmpty, "a discarded writer leaves nothing")
        expect(try storage.putIfAbsent(key, [2]) == .stored, "the name of an abandoned object is free")
    }

    func unfinishedWrites() throws(BackupError) {
        let folder = prefix.appending("unfinished")
        expect(try storage.unfinishedWrites(in: folder).isEmpty, "nothing is unfinished where nobody writes")
        for isStreamed in [false, true] {
            let key = folder.appending("\(isStreamed)")
            let writer = try isStreamed ? storage.makeStreamWriter(key) : storage.makeWriter(key)
            try writer.write([1].span)
            let found = try storage.unfinishedWrites(in: folder)
            // A storage that begins with the end of a small object shows nothing before.
            let isNoneGone = found.allSatisfy { $0.writer != .gone }
            expect(found.count <= 1 && isNoneGone, "a living writer is not said to be gone")
            expect(try storage.unfinishedWrites(in: prefix).isEmpty, "and only in its own folder")
            expect(
                try storage.unfinishedWrites(under: prefix).map(\.key) == found.map(\.key),
                "but also below those above it")
            try writer.finish()
            expect(try storage.readAll(key, limit: 1) == [1], "a stream is an object when it is finished")
            expect(try storage.unfinishedWrites(in: folder).isEmpty, "what is finished is no more unfinished")
        }
    }

    func durability() throws(BackupError) {
        let keys = [prefix.appending("a/b/stored"), prefix.appending("a/absent"), prefix.appending("none/absent")]
        _ = try storage.putIfAbsent(keys[0], [1, 2])
        try storage.makeDurable(keys)
        try storage.makeDurable([])
        expect(try storage.readAll(keys[0], limit: 2) == [1, 2], "making an object durable changes nothing")
        expect(try list(prefix).map(\.key) == [keys[0]], "and makes none that is absent")
    }

    func emptyObjects() throws(BackupError) {
        let put = prefix.appending("put")
        let written = prefix.appending("written")
        expect(try storage.putIfAbsent(put, []) == .stored, "an empty object can be put")
        try storage.makeWriter(written).finish()
        expect(try list(prefix).map(\.size) == [0, 0], "empty objects are listed with size 0")
        expect(try storage.readAll(put, limit: 0) == [], "an empty object is read as nothing, not as absent")
        try storage.read(written, into: DiscardSink())
    }

    func largeObjects() throws(BackupError) {
        let key = prefix.appending("large")
        let piece = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
        let writer = try storage.makeWriter(key)
        let written = DigestSink(into: writer)
        for count in [1, 4095, piece.count - 4096] + Array(repeating: piece.count, count: 19) {
            try written.write(piece.span.extracting(first: count))
        }
        try written.finish()
        let read = DigestSink()
        try storage.read(key, into: read)
        try read.finish()
        expect(read.byteCount == 20 << 20, "a large object is read to its end")
        expect(read.digest == written.digest, "a large object is read as it was written")
        expect(try storage.info(key)?.size == 20 << 20, "info has the size of a large object")
    }

    func limits() throws(BackupError) {
        let key = prefix.appending("limited")
        _ = try storage.putIfAbsent(key, [1, 2, 3])
        let read = code { () throws(BackupError) in _ = try storage.readAll(key, limit: 2) }
        expect(read == .objectDamaged, "an object above the limit is refused as damaged")
        expect(try storage.readAll(key, limit: 3)?.count == 3, "an object at the limit is read")
    }

    func ranges() throws(BackupError) {
        let key = prefix.appending("ranged")
        _ = try storage.putIfAbsent(key, Array(0..<200))
        expect(try storage.read(key, at: 0, count: 200) == Array(0..<200), "a range may be the whole object")
        expect(try storage.read(key, at: 190, count: 10) == Array(190..<200), "a range may end with the object")
        expect(try storage.read(key, at: 7, count: 0).isEmpty, "a range may be empty")
        let beyond = code { () throws(BackupError) in _ = try storage.read(key, at: 195, count: 6) }
        expect(beyond == .objectDamaged, "a range that the object has not is refused as damage")
        let absent = code { () throws(BackupError) in _ = try storage.read(prefix.appending("none"), at: 0, count: 1) }
        expect(absent == .objectMissing, "a range of an absent object is missing")
    }

    func listing() throws(BackupError) {
        let names = ["a", "a-b/x", "a.txt", "a/1/z", "a/10", "a/2", "aa", "b/c/d/e", "B", "z~"]
        for name in names where name != "a" { _ = try storage.putIfAbsent(prefix.appending(name), [1]) }
        let expected = names.filter { $0 != "a" }.map { prefix.appending($0) }.sorted()
        expect(try list(prefix).map(\.key) == expected, "list is recursive and sorted by key")
        let children = try storage.children(of: prefix)
        expect(children == ["B", "a", "a-b", "a.txt", "aa", "b", "z~"], "children are immediate and sorted")
        expect(try list(prefix.appending("a")).count == 3, "list starts at any folder")
        expect(try list(prefix.appending("aa")).isEmpty, "an object is not below itself")
        var visits = 0
        let stopped = code { () throws(BackupError) in
            try storage.list(under: prefix) { _ throws(BackupError) in
                visits += 1
                throw BackupError(.interrupted, "enough", remedy: "none")
            }
        }
        expect(stopped == .interrupted && visits == 1, "list ends with what its caller throws")
    }

    func delimiters() throws(BackupError) {
        for name in ["app/x", "app_test/x", "app-2/x", "App/x"] {
            _ = try storage.putIfAbsent(prefix.appending(name), [1])
        }
        let app = prefix.appending("app")
        expect(try list(app).map(\.key) == [app.appending("x")], "the folder 'app' does not show 'app_test'")
        expect(try storage.children(of: app) == ["x"], "the children of 'app' are its own")
        try storage.remove(app.appending("x"))
        expect(try list(prefix).count == 3, "removing in 'app' leaves the others")
    }

    func racingWriters() throws(BackupError) {
        let races = (0..<100).map { Race(prefix.appending("race/\($0)")) }
        // Several at once, as a store may be far away.
        for first in stride(from: 0, to: races.count, by: 10) {
            let running = DispatchGroup()
            for race in races[first..<first + 10] { race.start(in: storage, as: running) }
            running.wait()
        }
        var wrong = 0
        for race in races where try !race.wasWonByOne(in: storage) { wrong += 1 }
        expect(wrong == 0, "of two writers exactly one wins (not so in \(wrong) of 100 races)")
        expect(try list(prefix).count == 100, "the losers leave nothing")
    }

    func removal() throws(BackupError) {
        let key = prefix.appending("x/y/removed")
        _ = try storage.putIfAbsent(key, [1])
        try storage.remove(key)
        expect(try storage.info(key) == nil, "a removed object is gone")
        expect(try storage.children(of: prefix).isEmpty, "its folders are gone too")
        try storage.remove(key)
        _ = try storage.putIfAbsent(key, [2])
        let others = [prefix.appending("x/other"), prefix.appending("z/other"), prefix.appending("absent")]
        for other in others.dropLast() { _ = try storage.putIfAbsent(other, [1]) }
        try storage.removeEmptyFolders(under: prefix)
        try storage.remove(others)
        expect(try list(prefix).map(\.key) == [key], "of several objects all are removed, and nothing else")
        try storage.remove(prefix.appending("x"))
        expect(try storage.readAll(key, limit: 1) == [2], "a removed name is free, and removing a folder does nothing")
    }
}

/// Two writers of one name.
private final class Race: Sendable {
    private let key: ObjectKey
    private let winners = Mutex<[UInt8]>([])
    private let failures = Mutex<[BackupError]>([])

    init(_ key: ObjectKey) { self.key = key }

    /// Each writes on a thread of its own: on one processor they would else write one after the other.
    func start(in storage: any Storage, as group: DispatchGroup) {
        for index: UInt8 in 0..<2 {
            DispatchQueue(label: "apex-backup.contract.\(index)").async(group: group) { [self] in
                do throws(BackupError) {
                    try storage.write(key, Self.content(of: index))
                    winners.withLock { $0.append(index) }
                } catch {
                    if error.code != .objectExists { failures.withLock { $0.append(error) } }
                }
            }
        }
    }

    /// Whether exactly one was told that it has written, and its bytes are there.
    func wasWonByOne(in storage: any Storage) throws(BackupError) -> Bool {
        if let failure = failures.withLock({ $0.first }) { throw failure }
        let winners = winners.withLock { $0 }
        guard winners.count == 1, let winner = winners.first else { return false }
        return try storage.readAll(key, limit: 1000) == Self.content(of: winner)
    }

    private static func content(of index: UInt8) -> [UInt8] { [UInt8](repeating: index, count: 1000) }
}

extension Storage {
    fileprivate func write(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) {
        let writer = try makeWriter(key)
        try writer.write(bytes.span)
        try writer.finish()
    }
}
