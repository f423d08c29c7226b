package import BackupModel

/// A data directory that is being restored: files and directories below it, to which no link leads.
///
/// It may be used from several threads. What root makes belongs to the owner of the directory.
package struct DataDirectory: Sendable {
    /// Where it is.
    package let path: String

    /// Makes the directory at `path` if it is not there; one that is there must be empty.
    ///
    /// - Throws: ``ErrorCode/targetNotEmpty``, ``ErrorCode/targetUnsuitable`` if PostgreSQL could not use it.
    package init(making path: String) throws(BackupError) {
        self.path = path
        if let there = try OpenDirectory(path: path) {
            let names = try there.names()
            guard names.isEmpty else {
                throw BackupError(
                    .targetNotEmpty, "The directory '\(path)' is not empty.", reason: "it holds '\(names.sorted()[0])'",
                    remedy: "Name a directory that is empty or does not exist.", unchanged: "Nothing in it was touched."
                )
            }
        } else {
            try Self.makeLast(of: path)
        }
        let root = try root()
        guard try !root.entry().isRoots else {
            throw BackupError(
                .targetUnsuitable, "The directory '\(path)' belongs to root.",
                reason: "PostgreSQL does not run as root, and what is restored belongs to the owner of the directory",
                remedy: "Make it for the server's user first: install -d -o postgres -g postgres -m 0700 '\(path)'",
                unchanged: "Nothing was restored.")
        }
        try root.setMode(0o700)
    }

    private static func makeLast(of path: String) throws(BackupError) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        let parent = (path.hasPrefix("/") ? "/" : "") + parts.dropLast().joined(separator: "/")
        guard let name = parts.last, let folder = try OpenDirectory(path: parent.isEmpty ? "." : parent) else {
            throw BackupError(
                .targetUnsuitable, "There is no directory '\(parent)' in which '\(path)' could be made.",
                remedy: "Make it, or name another place.", unchanged: "Nothing was restored.")
        }
        _ = try folder.makeDirectory(String(name), inherited: true)
    }

    private func root() throws(BackupError) -> OpenDirectory {
        guard let root = try OpenDirectory(path: path) else {
            throw BackupError(
                .restoreFailed, "The directory '\(path)' is gone.",
                remedy: "Find out who removed it, and restore again.")
        }
        return root
    }

    /// Makes a directory and those above it, as far as they are missing.
    package func makeDirectory(_ path: DataPath, mode: UInt32 = 0o700) throws(BackupError) {
        try folder(path.names, making: true).setMode(mode)
    }

    /// Makes a file of `size` bytes, all zeros, and the directories above it.
    package func makeFile(_ path: DataPath, size: Int64, mode: UInt32 = 0o600) throws(BackupError) {
        let names = try path.names
        let folder = try folder(names.dropLast(), making: true)
        guard let name = names.last, let file = try folder.file(creating: name) else {
            throw BackupError(
                .restoreFailed, "The file '\(self.path)/\(path)' cannot be made.", reason: "its directory is gone",
                remedy: "Find out who changes the target, and restore again into an empty directory.")
        }
        try file.prepare(size: size, mode: mode)
    }

    /// Makes a small file with `content`.
    package func makeFile(_ path: DataPath, content: [UInt8], mode: UInt32 = 0o600) throws(BackupError) {
        try makeFile(path, size: Int64(content.count), mode: mode)
        try write(path) { file throws(BackupError) in try file.write(content.span, at: 0) }
    }

    /// Removes a file, which need not be there.
    package func removeFile(_ path: DataPath) throws(BackupError) {
        let names = try path.names
        guard let name = names.last else { return }
        try folder(names.dropLast(), making: false).removeFile(name)
    }

    /// Makes a symbolic link.
    package func makeLink(_ path: DataPath, to target: String) throws(BackupError) {
        let names = try path.names
        guard let name = names.last else { return }
        try folder(names.dropLast(), making: true).makeLink(name, to: target)
    }

    /// Puts a small file with `content` in the place of one that may be there.
    package func replaceFile(_ path: DataPath, content: [UInt8]) throws(BackupError) {
        guard let new = DataPath(bytes: path.bytes + Array(".apex-new".utf8)),
            let name = try path.names.last
        else { return }
        try makeFile(new, content: content)
        try rename(new, to: name)
    }

    /// The content of a small file, or `nil` if there is none.
    package func content(of path: DataPath, limit: Int) throws(BackupError) -> [UInt8]? {
        let names = try path.names
        guard let name = names.last,
            let file = try folder(names.dropLast(), making: false).file(reading: name)
        else { return nil }
        return try file.read(at: 0, count: Int(min(file.size(), Int64(limit))))
    }

    /// Opens a file that was made, to write parts of it.
    package func write(
        _ path: DataPath, _ body: (borrowing RestoredFile) throws(BackupError) -> Void
    ) throws(BackupError) {
        let names = try path.names
        guard let name = names.last else { return }
        try body(RestoredFile(file: try folder(names.dropLast(), making: false).file(changing: name)))
    }

    /// Gives the file `path` the name `final` in the same directory.
    package func rename(_ path: DataPath, to final: String) throws(BackupError) {
        let names = try path.names
        guard let name = names.last else { return }
        let folder = try folder(names.dropLast(), making: false)
        try folder.replace(final, with: name)
        try folder.synchronize()
    }

    /// Returns when everything is on stable storage.
    package func synchronize() throws(BackupError) { try root().synchronizeFileSystem() }

    /// What an unprivileged user may still write at `path`, or at the first directory above it that is there.
    package static func freeBytes(around path: String) throws(BackupError) -> Int64 {
        var path = path
        while true {
            if let folder = try OpenDirectory(path: path.isEmpty ? "/" : path) { return try folder.freeBytes() }
            guard let slash = path.lastIndex(of: "/") else { return 0 }
            path = String(path[..<slash])
        }
    }

    private func folder(_ names: some Sequence<String>, making: Bool) throws(BackupError) -> OpenDirectory {
        var current = try root()
        for name in names {
            if let next = try current.directory(name) {
                current = next
                continue
            }
            if making { _ = try current.makeDirectory(name, inherited: true) }
            guard let next = try current.directory(name) else {
                throw BackupError(
                    .restoreFailed, "The directory '\(current.path)/\(name)' is missing.",
                    remedy: "Find out who changes the target, and restore again into an empty directory.")
            }
            current = next
        }
        return current
    }
}

/// A file of a data directory, open to be written.
package struct RestoredFile: ~Copyable {
    fileprivate let file: OpenFile

    fileprivate init(file: consuming OpenFile) { self.file = file }

    /// Writes `bytes` at `offset`.
    package func write(_ bytes: Span<UInt8>, at offset: Int64) throws(BackupError) { try file.write(bytes, at: offset) }
}

extension DataPath {
    /// Its components as names; a name that is not UTF-8 cannot be restored.
    fileprivate var names: [String] {
        get throws(BackupError) {
            var names: [String] = []
            for component in components {
                guard let name = String(validating: component, as: UTF8.self) else {
                    throw BackupError(
                        .restoreFailed, "The file '\(self)' cannot be restored.", reason: "its name is not UTF-8",
                        remedy: "PostgreSQL makes no such file: remove it from the source, and take a new backup.")
                }
                names.append(name)
            }
            return names
        }
    }
}
