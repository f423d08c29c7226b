package import BackupModel
internal import Synchronization

/// A repository in a directory of a local or network file system.
///
/// Names that begin with a dot belong to the file system (temporary files, snapshots, NFS) and are never objects.
/// Folders and files are for their owner only; what root makes belongs to the owner of the folder it is in. A symbolic
/// link below the root is never followed.
package final class PosixStorage: Storage {
    private let root: String
    /// The root directory as first seen: another one there later means that something was mounted or unmounted.
    private let firstSeen = Mutex<DirectoryEntry?>(nil)

    /// The repository in the directory `root`; nothing is opened yet.
    package init(root: String) {
        self.root = root.count > 1 && root.hasSuffix("/") ? String(root.dropLast()) : root
    }

    package var location: String { root }

    /// Makes the root directory, and those above it, as far as they are missing.
    package func makeRoot() throws(BackupError) { try makeDirectories(root) }

    package func info(_ key: ObjectKey) throws(BackupError) -> ObjectInfo? {
        guard let path = KeyPath(key), let folder = try openFolder(path.folders),
            let entry = try folder.entry(path.name)
        else { return nil }
        switch entry.kind {
        case .file: return ObjectInfo(key: key, size: entry.size)
        case .directory: return nil
        case .other: throw folder.notFollowed(path.name)
        }
    }

    package func read(_ key: ObjectKey, into sink: any ByteSink) throws(BackupError) {
        try openFile(key).forEachChunk(ofSize: 256 << 10) { chunk throws(BackupError) in try sink.write(chunk) }
    }

    package func read(_ key: ObjectKey, at offset: Int64, count: Int) throws(BackupError) -> [UInt8] {
        let bytes = try openFile(key).read(at: offset, count: count)
        guard bytes.count == count else {
            throw BackupError(
                .objectDamaged, "'\(key)' is damaged.",
                reason: "it ends after \(offset + Int64(bytes.count)) bytes, and has more",
                remedy: "Put it back from a copy of the repository; 'apex-backup verify' lists what is damaged.")
        }
        return bytes
    }

    private func openFile(_ key: ObjectKey) throws(BackupError) -> OpenFile {
        guard let path = KeyPath(key), let folder = try openFolder(path.folders),
            let file = try folder.file(reading: path.name)
        else {
            throw BackupError(
                .objectMissing, "'\(key)' is missing from the repository at '\(root)'.",
                remedy: "Put it back from a copy of the repository, or use another backup.")
        }
        return file
    }

    package func readAll(_ key: ObjectKey, limit: Int) throws(BackupError) -> [UInt8]? {
        guard let path = KeyPath(key), let folder = try openFolder(path.folders),
            let file = try folder.file(reading: path.name)
        else { return nil }
        let bytes = try file.read(at: 0, count: min(limit, Int(try file.entry().size)) + 1)
        guard bytes.count <= limit else {
            throw BackupError(
                .objectDamaged, "'\(key)' is damaged.", reason: "it is larger than the \(limit) bytes it may have",
                remedy: "Put it back from a copy of the repository; 'apex-backup verify' lists what is damaged.")
        }
        return bytes
    }

    package func list(
        under prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        guard let path = KeyPath(prefix), let folder = try openFolder(path.all) else { return }
        try list(folder, prefix, body)
    }

    private func list(
        _ folder: borrowing OpenDirectory, _ prefix: ObjectKey, _ body: (ObjectInfo) throws(BackupError) -> Void
    ) throws(BackupError) {
        for child in try objectsAndFolders(in: folder) {
            guard let key = ObjectKey(parsing: "\(prefix)/\(child.name)") else { continue }
            if child.entry.kind == .file {
                try body(ObjectInfo(key: key, size: child.entry.size))
            } else if let next = try folder.directory(child.name) {
                try list(next, key, body)
            }
        }
    }

    package func children(of prefix: ObjectKey?) throws(BackupError) -> [String] {
        let folders = prefix.map { KeyPath($0)?.all } ?? []
        guard let folders, let folder = try openFolder(folders) else { return [] }
        var names: [String] = []
        for child in try objectsAndFolders(in: folder, isRoot: prefix == nil) {
            if child.entry.kind != .file {
                guard try holdsObjects(child.name, in: folder) else { continue }
            }
            names.append(child.name)
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private func holdsObjects(_ name: String, in parent: borrowing OpenDirectory) throws(BackupError) -> Bool {
        guard let folder = try parent.directory(name) else { return false }
        var folders: [String] = []
        var hasObject = false
        try folder.forEachName { name throws(BackupError) in
            guard !name.hasPrefix("."), ObjectKey.isSafeComponent(name), let entry = try folder.entry(name) else {
                return true
            }
            switch entry.kind {
            case .file: hasObject = true
            case .directory: folders.append(name)
            // What is behind a link must not look absent.
            case .other: throw folder.notFollowed(name)
            }
            // One is enough, of however many there are.
            return !hasObject
        }
        if hasObject { return true }
        for name in folders {
            if try holdsObjects(name, in: folder) { return true }
        }
        return false
    }

    package func putIfAbsent(_ key: ObjectKey, _ bytes: [UInt8]) throws(BackupError) -> PutOutcome {
        let writer = try makeWriter(key)
        do {
            try writer.write(bytes.span)
            try writer.finish()
            return .stored
        } catch {
            writer.discard()
            if error.code == .objectExists { return .present }
            throw error
        }
    }

    package func makeWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
        try makeWriter(key, isStreamed: false)
    }

    package func makeStreamWriter(_ key: ObjectKey) throws(BackupError) -> any ObjectWriter {
        try makeWriter(key, isStreamed: true)
    }

    private func makeWriter(_ key: ObjectKey, isStreamed: Bool) throws(BackupError) -> any ObjectWriter {
        guard let path = KeyPath(key) else {
            throw BackupError(
                .usage, "'\(key)' cannot be the name of an object.",
                reason: "names that begin with a dot are left to the file system", remedy: "Choose another name.")
        }
        // A folder may be removed as empty by another process between being made and being used.
        for _ in 0..<100 {
            guard let folder = try makeFolder(path.folders) else { continue }
            var temporary = TemporaryName(lockedAt: try LockPlace(of: folder), isStreamed: isStreamed)
            guard let file = try folder.file(creating: temporary.text) else { continue }
            if temporary.place != nil, (try? file.lock(at: 0, waits: false)) != true {
                // The name must not promise a lock that cannot be had.
                let promising = temporary.text
                temporary.place = nil
                try folder.replace(temporary.text, with: promising)
            }
            return PosixObjectWriter(storage: self, path: path, folder: folder, file: file, temporary: temporary)
        }
        throw BackupError(
            .storageFailed, "'\(key)' cannot be written in '\(root)'.",
            reason: "its folder is removed again and again by another process",
            remedy: "Let only one prune run at a time, then run again.")
    }

    package func remove(_ keys: [ObjectKey]) throws(BackupError) {
        var changed: Set<[String]> = []
        for key in keys {
            guard let path = KeyPath(key), let folder = try openFolder(path.folders),
                let entry = try folder.entry(path.name), entry.kind != .directory
            else { continue }
            try folder.removeFile(path.name)
            changed.insert(path.folders)
        }
        for folders in changed { try settle(folders) }
    }

    package func removeEmptyFolders(under prefix: ObjectKey) throws(BackupError) {
        guard let path = KeyPath(prefix), let folder = try openFolder(path.all) else { return }
        try removeEmptyFolders(in: folder)
    }

    private func removeEmptyFolders(in folder: borrowing OpenDirectory) throws(BackupError) {
        for child in try objectsAndFolders(in: folder) where child.entry.kind == .directory {
            guard let next = try folder.directory(child.name) else { continue }
            try removeEmptyFolders(in: next)
            _ = folder.removeEmptyDirectory(child.name)
        }
    }

    package func freeBytes() throws(BackupError) -> Int64? { try openRoot().freeBytes() }
}

extension PosixStorage {
    /// The root directory; it must be there, and the same as before.
    private func openRoot() throws(BackupError) -> OpenDirectory {
        guard let directory = try OpenDirectory(path: root) else {
            throw BackupError(
                .repositoryMissing, "There is no repository directory '\(root)'.",
                remedy: "Mount it, correct the repository's location, or make a repository with 'apex-backup init'.")
        }
        let entry = try directory.entry()
        let isSame = firstSeen.withLock { seen in
            if seen == nil { seen = entry }
            return seen?.isSame(as: entry) ?? true
        }
        guard isSame else {
            throw BackupError(
                .repositoryUnavailable, "The directory '\(root)' is no longer the one it was.",
                reason: "another file system was mounted there, or the repository's was unmounted",
                remedy: "Check what is mounted there, then run again.")
        }
        return directory
    }

    /// The folder below the root, or `nil` if there is none.
    func openFolder(_ folders: some Sequence<String>) throws(BackupError) -> OpenDirectory? {
        var current = try openRoot()
        for name in folders {
            guard let next = try current.directory(name) else { return nil }
            current = next
        }
        return current
    }

    /// The folder below the root, made as far as it is missing; `nil` if a part of it was removed meanwhile.
    private func makeFolder(_ folders: [String]) throws(BackupError) -> OpenDirectory? {
        var current = try openRoot()
        for name in folders {
            if let next = try current.directory(name) {
                current = next
                continue
            }
            guard try current.makeDirectory(name, inherited: true) else { return nil }
            guard let next = try current.directory(name) else {
                if let entry = try current.entry(name), entry.kind == .file {
                    throw BackupError(
                        .storageFailed, "No folder '\(name)' can be made in '\(current.path)'.",
                        reason: "there is an object of that name", remedy: "Choose another name.")
                }
                return nil
            }
            current = next
        }
        return current
    }

    /// Removes the folder and those above it up to the first that holds anything, and makes durable what that one lost.
    func settle(_ folders: [String]) throws(BackupError) {
        var rest = folders[...]
        while let name = rest.popLast() {
            guard let parent = try openFolder(rest), !parent.removeEmptyDirectory(name),
                let folder = try parent.directory(name)
            else { continue }
            return try folder.synchronize()
        }
        try openRoot().synchronize()
    }

    typealias Child = (name: String, entry: DirectoryEntry)

    /// What the folder holds, in the order of complete keys: `a-b`, then what is in `a`, as `/` follows `-`; `names` are
    /// those in it, if they are known.
    func objectsAndFolders(
        in folder: borrowing OpenDirectory, _ names: [String]? = nil, isRoot: Bool = false
    ) throws(BackupError) -> [Child] {
        let all = if let names { names } else { try folder.names() }
        var children: [(order: String, child: Child)] = []
        for name in all where !name.hasPrefix(".") && ObjectKey.isSafeComponent(name) {
            // A file system's own folder, often unreadable.
            if isRoot, name == "lost+found" { continue }
            guard let entry = try folder.entry(name) else { continue }
            // What is behind a link must not look absent.
            if entry.kind == .other { throw folder.notFollowed(name) }
            children.append((entry.kind == .directory ? "\(name)/" : name, (name, entry)))
        }
        children.sort { $0.order.utf8.lexicographicallyPrecedes($1.order.utf8) }
        return children.map(\.child)
    }
}
