package import BackupModel
internal import Glibc

/// A directory in which the processes of one server leave files for each other.
///
/// Nothing in it is durable, and anybody may remove any of it at any time. What root makes in it belongs to the owner of
/// the directory above.
package final class SpoolDirectory: Sendable {
    private let folder: OpenDirectory
    private let spool: String
    private let name: String

    /// The path.
    package var path: String { folder.path }

    /// Opens the directory `name` of the spool at `path`, and makes both if they are not there; the directory above must
    /// be.
    package init(_ name: String, ofSpool path: String) throws(BackupError) {
        folder = try Self.made(name, in: try Self.spool(path))
        spool = path
        self.name = name
    }

    private init(_ folder: consuming OpenDirectory, _ name: String, ofSpool path: String) {
        self.folder = folder
        spool = path
        self.name = name
    }

    /// The other directories of the spool whose names begin with `prefix`.
    package func siblings(_ prefix: String) throws(BackupError) -> [SpoolDirectory] {
        let parent = try Self.spool(spool)
        var siblings: [SpoolDirectory] = []
        for other in try parent.names() where other.hasPrefix(prefix) && other != name {
            guard let folder = try parent.directory(other) else { continue }
            siblings.append(SpoolDirectory(folder, other, ofSpool: spool))
        }
        return siblings
    }

    /// Removes the files in it, and then itself.
    package func removeAll() throws(BackupError) {
        for file in try names() { try remove(file) }
        _ = try Self.spool(spool).removeEmptyDirectory(name)
    }

    private static func spool(_ path: String) throws(BackupError) -> OpenDirectory {
        if let spool = try OpenDirectory(path: path) { return spool }
        let slash = path.lastIndex(of: "/")
        let above = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard let parent = try OpenDirectory(path: above) else {
            throw systemError(ENOENT, "The directory '\(path)' cannot be made.")
        }
        return try made(String(path[(slash.map { path.index(after: $0) } ?? path.startIndex)...]), in: parent)
    }

    private static func made(_ name: String, in parent: borrowing OpenDirectory) throws(BackupError) -> OpenDirectory {
        if let there = try parent.directory(name) { return there }
        guard try parent.makeDirectory(name, inherited: true), let new = try parent.directory(name) else {
            throw systemError(ENOENT, "The directory '\(parent.path)/\(name)' cannot be made.")
        }
        return new
    }

    package func names() throws(BackupError) -> [String] { try folder.names() }

    /// What an unprivileged user may still write to its file system.
    package func freeBytes() throws(BackupError) -> Int64 { try folder.freeBytes() }

    /// Opens the file `name`, or returns `nil` if there is none.
    package func file(_ name: String) throws(BackupError) -> OpenFile? { try folder.file(reading: name) }

    /// Puts a small file in the place of one that may be there.
    package func replace(_ name: String, with content: [UInt8]) throws(BackupError) {
        let new = try SpoolFile(name, in: self)
        try new.write(content.span)
        try new.finish { _ in name }
    }

    /// Removes a file, which need not be there.
    package func remove(_ name: String) throws(BackupError) { try folder.removeFile(name) }

    /// Moves a file to `path`; false, and nothing is moved, if that is on another file system.
    package func move(_ name: String, to path: String) throws(BackupError) -> Bool {
        try folder.move(name, to: path)
    }

    /// Locks by the file `name`, which is made if it is not there: each time against all that were opened before.
    package func locks(_ name: String) throws(BackupError) -> NumberLocks {
        NumberLocks(try folder.file(locking: name))
    }

    /// Removes what those left who died while they wrote a file that `isLeft` says of; nobody may be writing one of these.
    package func removeUnfinished(_ isLeft: (String) -> Bool) throws(BackupError) {
        for name in try names() where name.hasSuffix(SpoolFile.suffix) {
            if isLeft(String(name.dropLast(SpoolFile.suffix.count))) { try remove(name) }
        }
    }

    fileprivate func make(_ name: String) throws(BackupError) -> OpenFile {
        try folder.removeFile(name)
        guard let file = try folder.file(creating: name) else {
            throw systemError(ENOENT, "'\(path)/\(name)' cannot be made.")
        }
        return file
    }

    fileprivate func rename(_ name: String, to final: String) throws(BackupError) {
        try folder.replace(final, with: name)
    }
}

/// A file of a spool that has its name only when it is complete.
package final class SpoolFile: ByteSink {
    fileprivate static let suffix = ".unfinished"

    private let directory: SpoolDirectory
    private let temporary: String
    private var file: OpenFile
    private var isDone = false

    /// Begins to write a file, of which `name` tells the temporary name: nobody else may be writing one of it.
    package init(_ name: String, in directory: SpoolDirectory) throws(BackupError) {
        self.directory = directory
        temporary = name + Self.suffix
        file = try directory.make(temporary)
    }

    deinit {
        if !isDone { try? directory.remove(temporary) }
    }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) { try file.write(bytes) }

    /// Does nothing: the file has no name before ``finish(_:)``.
    package func finish() throws(BackupError) {}

    /// Closes the file and gives it the name that `name` makes of what it is.
    package func finish(_ name: (FileIdentity) -> String) throws(BackupError) {
        let identity = try file.identity()
        try file.close()
        try directory.rename(temporary, to: name(identity))
        isDone = true
    }
}

/// What tells the directory at `path` from all others, or `nil` if there is none.
package func identity(ofDirectory path: String) throws(BackupError) -> FileIdentity? {
    try OpenDirectory(path: path)?.identity()
}
