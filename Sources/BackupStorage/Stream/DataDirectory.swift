package import BackupModel

/// A data directory that is being restored: files and directories below it, to which no link leads.
///
/// It may be used from several threads. What root makes belongs to the owner of the directory.
package struct DataDirectory: Sendable {
    /// Where it is.
    package let path: String
    private let root: Folder

    /// Opens the directory at `path`, or returns `nil` if there is none; nothing is changed.
    package init?(at path: String) throws(BackupError) {
        guard let root = try OpenDirectory(path: path) else { return nil }
        self.path = path
        self.root = Folder(root)
    }

    /// Makes the directory at `path` if it is not there; one that is there must be empty.
    ///
    /// - Throws: ``ErrorCode/targetNotEmpty``, ``ErrorCode/targetUnsuitable`` if PostgreSQL could not use it.
    package init(making path: String) throws(BackupError) {
        if let there = try OpenDirectory(path: path) {
            let names = try there.names()
            guard names.isEmpty else {
                throw BackupError(
                    .targetNotEmpty, "The directory '\(path)' is not empty.", reason: "it holds '\(names.sorted()[0])'",
                    remedy:
                        "Name a directory that is empty or does not exist; --delta rewrites one of the same cluster.",
                    unchanged: "Nothing in it was touched."
                )
            }
        } else {
            try Self.makeLast(of: path)
        }
        try self.init(existing: path)
        try own()
    }

    /// Makes the directory one that PostgreSQL takes as its own.
    ///
    /// - Throws: ``ErrorCode/targetUnsuitable`` if it could not use it.
    package func own() throws(BackupError) {
        guard try !root.directory.entry().isRoots else {
            throw BackupError(
                .targetUnsuitable, "The directory '\(path)' belongs to root.",
                reason: "PostgreSQL does not run as root, and what is restored belongs to the owner of the directory",
                remedy: "Make it for the server's user first: install -d -o postgres -g postgres -m 0700 '\(path)'",
                unchanged: "Nothing was restored.")
        }
        try root.directory.setMode(0o700)
    }

    /// The directory at `path`, which is there.
    package init(existing path: String) throws(BackupError) {
        guard let there = try DataDirectory(at: path) else {
            throw BackupError(
                .restoreFailed, "The directory '\(path)' is gone.",
                remedy: "Find out who removed it, and restore again.")
        }
        self = there
    }

    /// Whether there is nothing in it.
    package var isEmpty: Bool { get throws(BackupError) { try root.directory.names().isEmpty } }

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

    /// Makes a directory and those above it, as far as they are missing.
    package func makeDirectory(_ path: DataPath, mode: UInt32 = 0o700) throws(BackupError) {
        try DataDirectoryFiles(self).makeDirectory(path, mode: mode)
    }

    /// Makes a small file with `content`.
    package func makeFile(_ path: DataPath, content: [UInt8]) throws(BackupError) {
        try DataDirectoryFiles(self).make(path, mode: 0o600).write(content.span, at: 0)
    }

    /// Removes a file, which need not be there.
    package func removeFile(_ path: DataPath) throws(BackupError) {
        let (folder, name) = try parent(of: path)
        try folder?.directory.removeFile(name)
    }

    /// Makes a symbolic link in the place of whatever may be there, unless it is that link.
    package func makeLink(_ path: DataPath, to target: String) throws(BackupError) {
        let (folder, name) = try parent(of: path, making: true)
        guard let folder, try folder.directory.target(ofLink: name) != target else { return }
        try folder.directory.removeTree(name)
        try folder.directory.makeLink(name, to: target)
    }

    /// Puts a small file with `content` in the place of one that may be there.
    package func replaceFile(_ path: DataPath, content: [UInt8]) throws(BackupError) {
        guard let new = DataPath(bytes: path.bytes + Array(".apex-new".utf8)) else { return }
        try makeFile(new, content: content)
        let (folder, name) = try parent(of: path)
        try folder?.directory.replace(name, with: new.lastName)
    }

    /// The content of a small file, or `nil` if there is none.
    package func content(of path: DataPath, limit: Int) throws(BackupError) -> [UInt8]? {
        let (folder, name) = try parent(of: path)
        guard let file = try folder?.directory.file(reading: name) else { return nil }
        return try file.read(at: 0, count: Int(min(file.size(), Int64(limit))))
    }

    /// Gives the file `path` the name `final` in the same directory, durably; `false` if there is no such file.
    @discardableResult
    package func rename(_ path: DataPath, to final: String) throws(BackupError) -> Bool {
        let (folder, name) = try parent(of: path)
        guard let folder, try folder.directory.entry(name) != nil else { return false }
        try folder.directory.replace(final, with: name)
        try folder.directory.synchronize()
        return true
    }

    /// Moves the file `path` to `place`, durably; its directory is there, and the name in it is free.
    package func move(_ path: DataPath, to place: DataPath) throws(BackupError) {
        let (folder, name) = try parent(of: path)
        let (target, final) = try parent(of: place)
        guard let folder, let target else {
            throw BackupError(
                .restoreFailed, "'\(self.path)/\(path)' cannot be moved.", reason: "a directory on the way is missing",
                remedy: "Find out who changes the directory, and restore again.")
        }
        try folder.directory.move(name, into: target.directory, as: final)
        try target.directory.synchronize()
        try folder.directory.synchronize()
    }

    /// Returns when everything is on stable storage.
    package func synchronize() throws(BackupError) { try root.directory.synchronizeFileSystem() }

    /// What an unprivileged user may still write at `path`, or at the first directory above it that is there.
    package static func freeBytes(around path: String) throws(BackupError) -> Int64 {
        var path = path
        while true {
            if let folder = try OpenDirectory(path: path.isEmpty ? "/" : path) { return try folder.freeBytes() }
            guard let slash = path.lastIndex(of: "/") else { return 0 }
            path = String(path[..<slash])
        }
    }

    /// The folder that `path` is in, and its name there; there is no folder if one on the way is missing and not made.
    func parent(of path: DataPath, making: Bool = false) throws(BackupError) -> (folder: Folder?, name: ByteName) {
        (try folder(path.names.dropLast(), making: making), path.lastName)
    }

    /// The folder with the components `names`; no link is followed.
    func folder(_ names: some Sequence<ByteName>, making: Bool) throws(BackupError) -> Folder? {
        var current = root
        for name in names {
            if let next = try current.directory.directory(name) {
                current = Folder(next)
                continue
            }
            guard making else { return nil }
            _ = try current.directory.makeDirectoryForNow(name, inherited: true)
            guard let next = try current.directory.directory(name) else {
                throw BackupError(
                    .restoreFailed, "The directory '\(current.directory.path)/\(name)' is missing.",
                    remedy: "Find out who changes the target, and restore again into an empty directory.")
            }
            current = Folder(next)
        }
        return current
    }

    /// A directory that stays open as long as anybody uses it.
    final class Folder: Sendable {
        let directory: OpenDirectory

        init(_ directory: consuming OpenDirectory) { self.directory = directory }
    }
}

extension DataDirectory {
    /// Something that is in the directory.
    package struct Found {
        package enum Kind: Sendable, Hashable {
            case file, directory
            /// A symbolic link, and where it leads.
            case link(String)
            case other
        }

        /// Where it is; `nil` if that is no path that a backup can have.
        package var path: DataPath?
        package var kind: Kind
        package var size: Int64
    }

    /// What becomes of something that was found.
    package enum Fate { case stays, isEntered, goes }

    /// Calls `decide` with everything in the directory, and in each directory that is entered, and returns how much goes:
    /// it is removed if `removes`, a directory with everything in it; no link is followed.
    package func sweep(removes: Bool, _ decide: (Found) throws(BackupError) -> Fate) throws(BackupError) -> Int {
        try sweep(root.directory, above: [], removes, decide)
    }

    private func sweep(
        _ folder: borrowing OpenDirectory, above: [UInt8], _ removes: Bool,
        _ decide: (Found) throws(BackupError) -> Fate
    ) throws(BackupError) -> Int {
        var gone = 0
        for name in try folder.byteNames() {
            guard let entry = try folder.entry(name) else { continue }
            let bytes = above + name.bytes
            let kind: Found.Kind =
                switch entry.kind {
                case .file: .file
                case .directory: .directory
                case .other: try folder.target(ofLink: name).map { .link($0) } ?? .other
                }
            switch try decide(Found(path: DataPath(bytes: bytes), kind: kind, size: entry.size)) {
            case .stays: break
            case .isEntered:
                guard let next = try folder.directory(name) else { break }
                gone += try sweep(next, above: bytes + [UInt8(ascii: "/")], removes, decide)
            case .goes:
                if kind == .directory { try folder.requireSameFileSystem(name, entry) }
                if removes { try folder.removeTree(name) }
                gone += 1
            }
        }
        return gone
    }

    /// Where the symbolic link `path` leads, or `nil` if there is no link.
    package func target(ofLink path: DataPath) throws(BackupError) -> String? {
        let (folder, name) = try parent(of: path)
        return try folder?.directory.target(ofLink: name)
    }
}

extension DataPath {
    /// Its last component as a name.
    var lastName: ByteName {
        ByteName(Array(bytes[(bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]))
    }

    /// Its components as names, which need not be text.
    var names: [ByteName] { components.map(ByteName.init) }
}
