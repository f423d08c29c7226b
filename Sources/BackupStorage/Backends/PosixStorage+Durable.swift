package import BackupModel

extension PosixStorage {
    package func makeDurable(_ keys: [ObjectKey]) throws(BackupError) {
        var folders: Set<[String]> = []
        for key in keys {
            guard let path = KeyPath(key), let folder = try openFolder(path.folders),
                let file = try folder.file(reading: path.name)
            else { continue }
            try file.synchronize()
            // Those above it too: whoever made them may have died just then.
            for depth in 0...path.folders.count { folders.insert(Array(path.folders.prefix(depth))) }
        }
        for path in folders { try openFolder(path)?.synchronize() }
    }
}
