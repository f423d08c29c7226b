package import BackupModel

/// Makes and opens the files of a data directory, for one thread; no link is followed.
///
/// The folder of the last file stays open, as a server's files of one folder follow each other.
package final class DataDirectoryFiles {
    private let directory: DataDirectory
    private var last: (path: ArraySlice<UInt8>, folder: DataDirectory.Folder)?

    package init(_ directory: DataDirectory) { self.directory = directory }

    /// Makes a directory and those above it, as far as they are missing.
    package func makeDirectory(_ path: DataPath, mode: UInt32) throws(BackupError) {
        if let folder = try directory.folder(path.names, making: true) { return try folder.directory.setMode(mode) }
    }

    /// Makes an empty file, which must not be there, and the directories above it.
    package func make(_ path: DataPath, mode: UInt32) throws(BackupError) -> RestoredFile {
        let (folder, name) = try place(of: path)
        guard let file = try folder.directory.file(creating: name) else {
            throw BackupError(
                .restoreFailed, "The file '\(folder.directory.path)/\(name)' cannot be made.",
                reason: "its directory is gone",
                remedy: "Find out who changes the target, and restore again into an empty directory.")
        }
        // It was made with these.
        if mode != 0o600 { try file.setMode(mode) }
        return RestoredFile(file)
    }

    /// Opens the file of that name, or makes one in the place of whatever else has its name.
    ///
    /// One with several names is made anew: with the others it may be a file of somebody else.
    package func open(_ path: DataPath, mode: UInt32) throws(BackupError) -> RestoredFile {
        let (folder, name) = try place(of: path)
        guard let entry = try folder.directory.entry(name) else { return try make(path, mode: mode) }
        guard entry.kind == .file, entry.names == 1, entry.mode & 0o600 == 0o600 else {
            try folder.directory.removeTree(name)
            return try make(path, mode: mode)
        }
        let file = try folder.directory.file(changing: name)
        guard try file.entry().isSame(as: entry) else {
            throw BackupError(
                .restoreFailed, "The file '\(folder.directory.path)/\(name)' was put there just now by somebody else.",
                remedy: "Find out who changes the target, and restore again.")
        }
        if entry.mode != mode { try file.setMode(mode) }
        return RestoredFile(file)
    }

    private func place(of path: DataPath) throws(BackupError) -> (folder: DataDirectory.Folder, name: ByteName) {
        let above = path.bytes[..<(path.bytes.lastIndex(of: UInt8(ascii: "/")) ?? 0)]
        if let last, last.path == above { return (last.folder, path.lastName) }
        let (folder, name) = try directory.parent(of: path, making: true)
        guard let folder else { preconditionFailure("a folder that is made is there") }
        last = (above, folder)
        return (folder, name)
    }
}

/// A file of a data directory, open to be written; several threads may write parts of it.
package final class RestoredFile: Sendable {
    private let file: OpenFile

    fileprivate init(_ file: consuming OpenFile) { self.file = file }

    /// The least that the system is asked to write out early: small files are written out together.
    private static let writeOutFrom = 1 << 20

    /// Writes `bytes` at `offset`; of many the system begins to write them out, so that making all durable is short.
    package func write(_ bytes: Span<UInt8>, at offset: Int64) throws(BackupError) {
        try file.write(bytes, at: offset)
        if bytes.count >= Self.writeOutFrom { file.letGo(offset: offset, length: Int64(bytes.count)) }
    }

    /// Gives it a size; what is new in it is zeros.
    package func setSize(_ size: Int64) throws(BackupError) { try file.setSize(size) }

    /// Its size.
    package func size() throws(BackupError) -> Int64 { try file.size() }

    /// Appends `count` bytes from `offset` on to `buffer`, which has room for them: fewer only at the end of the file.
    package func read(at offset: Int64, count: Int, into buffer: ChunkBuffer) throws(BackupError) {
        try file.read(at: offset, count: count, into: buffer)
    }
}
