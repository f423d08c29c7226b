package import BackupModel

extension PosixStorage {
    /// The files that writers have begun and not finished, below `prefix` or everywhere: of living processes, and of
    /// dead ones.
    package func temporaryFiles(under prefix: ObjectKey? = nil) throws(BackupError) -> [ObjectKey] {
        var found: [ObjectKey] = []
        try forEachFolder(under: prefix) { folder, path, names throws(BackupError) in
            found += names.filter(TemporaryName.isOne).compactMap { Self.key($0, in: path) }
        }
        return found.sorted()
    }

    package func unfinishedWrites(in folder: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        guard let path = KeyPath(folder), let directory = try openFolder(path.all) else { return [] }
        return try unfinishedWrites(directory, folder, directory.names())
    }

    package func unfinishedWrites(under prefix: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        var found: [UnfinishedWrite] = []
        try forEachFolder(under: prefix) { folder, path, names throws(BackupError) in
            found += try unfinishedWrites(folder, path, names)
        }
        return found.sorted { $0.key < $1.key }
    }

    /// What is unfinished among the `names` of a folder.
    private func unfinishedWrites(
        _ folder: borrowing OpenDirectory, _ path: ObjectKey?, _ names: [String]
    ) throws(BackupError) -> [UnfinishedWrite] {
        let names = names.filter(TemporaryName.isOne)
        guard !names.isEmpty else { return [] }
        let place = try LockPlace(of: folder)
        var found: [UnfinishedWrite] = []
        for text in names {
            guard let name = TemporaryName(parsing: text), let key = Self.key(text, in: path) else { continue }
            do throws(BackupError) {
                // To open it asks a file server how it is now.
                guard let file = try folder.file(reading: text) else { continue }
                let isLocked = name.place != nil && name.place == place ? file.isLocked(at: 0) : nil
                let identity = try file.identity()
                found.append(
                    UnfinishedWrite(
                        key: key, size: identity.size, changedAt: Timestamp(microseconds: identity.modified / 1000),
                        writer: isLocked.map { $0 ? .alive : .gone } ?? .unknown, isStreamed: name.isStreamed))
            } catch {
                // What root makes is not yet its folder's owner's for a moment.
                guard error.code == .permissionDenied, let entry = try folder.entry(text) else { throw error }
                found.append(
                    UnfinishedWrite(key: key, size: entry.size, changedAt: nil, isStreamed: name.isStreamed))
            }
        }
        return found
    }

    private static func key(_ name: String, in folder: ObjectKey?) -> ObjectKey? {
        ObjectKey(parsing: folder.map { "\($0)/\(name)" } ?? name)
    }

    /// Removes `files`, which ``temporaryFiles(under:)`` found, and the folders that become empty.
    package func removeTemporaryFiles(_ files: [ObjectKey]) throws(BackupError) {
        var changed: Set<[String]> = []
        for key in files where TemporaryName.isOne(String(key.lastComponent)) {
            let folders = key.text.split(separator: "/").dropLast().map(String.init)
            guard let folder = try openFolder(folders) else { continue }
            try folder.removeFile(String(key.lastComponent))
            changed.insert(folders)
        }
        for folders in changed { try settle(folders) }
    }

    /// Calls `body` with each folder below `prefix`, that one included, and all names in it; each is listed once.
    private func forEachFolder(
        under prefix: ObjectKey?,
        _ body: (borrowing OpenDirectory, ObjectKey?, [String]) throws(BackupError) -> Void
    ) throws(BackupError) {
        let folders = prefix.map { KeyPath($0)?.all } ?? []
        guard let folders, let folder = try openFolder(folders) else { return }
        try forEachFolder(from: folder, prefix, body)
    }

    private func forEachFolder(
        from folder: borrowing OpenDirectory, _ path: ObjectKey?,
        _ body: (borrowing OpenDirectory, ObjectKey?, [String]) throws(BackupError) -> Void
    ) throws(BackupError) {
        let names = try folder.names()
        try body(folder, path, names)
        for child in try objectsAndFolders(in: folder, names, isRoot: path == nil)
        where child.entry.kind == .directory {
            guard let next = try folder.directory(child.name) else { continue }
            try forEachFolder(from: next, Self.key(child.name, in: path), body)
        }
    }
}
