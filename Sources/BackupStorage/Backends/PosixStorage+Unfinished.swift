package import BackupModel

extension PosixStorage {
    /// The files that writers have begun and not finished, below `prefix` or everywhere: of living processes, and of
    /// dead ones.
    package func temporaryFiles(under prefix: ObjectKey? = nil) throws(BackupError) -> [ObjectKey] {
        var found: [ObjectKey] = []
        let folders = prefix.map { KeyPath($0)?.all } ?? []
        guard let folders, let folder = try openFolder(folders) else { return [] }
        try collectTemporaryFiles(in: folder, prefix?.text, &found)
        return found.sorted()
    }

    package func unfinishedWrites(in folder: ObjectKey) throws(BackupError) -> [UnfinishedWrite] {
        guard let path = KeyPath(folder), let directory = try openFolder(path.all) else { return [] }
        let place = try LockPlace(of: directory)
        var found: [UnfinishedWrite] = []
        for text in try directory.names() {
            guard let name = TemporaryName(parsing: text), let key = ObjectKey(parsing: "\(folder)/\(text)") else {
                continue
            }
            do throws(BackupError) {
                // To open it asks a file server how it is now.
                guard let file = try directory.file(reading: text) else { continue }
                let isLocked = name.place != nil && name.place == place ? file.isLocked(at: 0) : nil
                let identity = try file.identity()
                found.append(
                    UnfinishedWrite(
                        key: key, size: identity.size, changedAt: Timestamp(microseconds: identity.modified / 1000),
                        writer: isLocked.map { $0 ? .alive : .gone } ?? .unknown, isStreamed: name.isStreamed))
            } catch {
                // What root makes is not yet its folder's owner's for a moment.
                guard error.code == .permissionDenied, let entry = try directory.entry(text) else { throw error }
                found.append(
                    UnfinishedWrite(key: key, size: entry.size, changedAt: nil, isStreamed: name.isStreamed))
            }
        }
        return found
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

    private func collectTemporaryFiles(
        in folder: borrowing OpenDirectory, _ prefix: String?, _ found: inout [ObjectKey]
    ) throws(BackupError) {
        let path = prefix.map { "\($0)/" } ?? ""
        for name in try folder.names() where TemporaryName.isOne(name) {
            if let key = ObjectKey(parsing: path + name) { found.append(key) }
        }
        for child in try objectsAndFolders(in: folder, isRoot: prefix == nil) where child.entry.kind == .directory {
            guard let next = try folder.directory(child.name) else { continue }
            try collectTemporaryFiles(in: next, path + child.name, &found)
        }
    }
}
