internal import BackupModel
internal import CZlib
internal import Glibc

/// What a name in a directory stands for.
struct DirectoryEntry: Equatable {
    enum Kind { case file, directory, other }

    let kind: Kind
    let size: Int64
    /// Tells files and file systems apart.
    let device: UInt64
    let number: UInt64
    /// Whether it belongs to root.
    let isRoots: Bool

    init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            default: .other
            }
        size = Int64(status.st_size)
        device = UInt64(status.st_dev)
        number = UInt64(status.st_ino)
        isRoots = status.st_uid == 0
    }

    func isSame(as other: DirectoryEntry) -> Bool { device == other.device && number == other.number }
}
/// An open directory; every name is a single component below it, and a symbolic link is never followed.
@safe struct OpenDirectory: ~Copyable {
    /// What became of giving a file its final name.
    enum Naming { case done, taken, unsupported }

    let path: String
    private let descriptor: CInt

    /// Opens the directory at `path`, or returns `nil` if there is none.
    init?(path: String) throws(BackupError) {
        let descriptor = retrying { unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        if descriptor < 0, errno == ENOENT || errno == ENOTDIR { return nil }
        guard descriptor >= 0 else { throw systemError(errno, "The directory '\(path)' cannot be opened.") }
        self.init(descriptor, path)
    }

    private init(_ descriptor: CInt, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { _ = Glibc.close(descriptor) }

    /// The directory `name`, or `nil` if there is none.
    func directory(_ name: String) throws(BackupError) -> OpenDirectory? {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        let opened = retrying { unsafe openat(descriptor, name, flags) }
        if opened >= 0 { return OpenDirectory(opened, "\(path)/\(name)") }
        switch errno {
        case ENOENT: return nil
        case ENOTDIR, ELOOP:
            // A file of that name is certainly no directory; of a link nobody knows what lies behind it.
            if let entry = try entry(name), entry.kind == .other { throw notFollowed(name) }
            return nil
        default: throw systemError(errno, "The directory '\(path)/\(name)' cannot be opened.")
        }
    }

    /// Makes the directory `name` durably, for its owner only, or `inherited` by that of this directory; it may be there
    /// already.
    ///
    /// False if this directory itself was removed meanwhile.
    func makeDirectory(_ name: String, inherited: Bool) throws(BackupError) -> Bool {
        if unsafe mkdirat(descriptor, name, 0o700) == 0 {
            if inherited, let made = try directory(name) { try give(made.descriptor, name) }
        } else if errno != EEXIST {
            if errno == ENOENT { return false }
            throw systemError(errno, "The directory '\(path)/\(name)' cannot be made.")
        }
        try synchronize()
        return true
    }

    /// Gives what root has just made here to the owner of this directory, who could not read it otherwise.
    private func give(_ made: CInt, _ name: String) throws(BackupError) {
        guard geteuid() == 0 else { return }
        var (folder, own) = (stat(), stat())
        guard unsafe fstat(descriptor, &folder) == 0, unsafe fstat(made, &own) == 0 else {
            throw systemError(errno, "'\(path)/\(name)' cannot be examined.")
        }
        guard own.st_uid == 0, folder.st_uid != 0 else { return }
        // Where root may not give away, or owners cannot be changed, it stays root's.
        guard fchown(made, folder.st_uid, folder.st_gid) == 0 || errno == EPERM || errno == EINVAL else {
            throw systemError(errno, "'\(path)/\(name)' cannot be given to the owner of its directory.")
        }
    }

    /// Opens the file `name` for reading, or returns `nil` if there is none.
    func file(reading name: String) throws(BackupError) -> OpenFile? {
        let opened = retrying {
            unsafe openat(descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        }
        guard opened >= 0 else {
            if errno == ENOENT { return nil }
            if errno == ELOOP { throw notFollowed(name) }
            throw systemError(errno, "'\(path)/\(name)' cannot be read.")
        }
        let file = OpenFile(opened: opened, name: "\(path)/\(name)")
        switch try file.entry().kind {
        case .file: return file
        case .directory: return nil
        case .other: throw notFollowed(name)
        }
    }

    /// Makes the file `name` for its owner only, or returns `nil` if this directory itself was removed meanwhile.
    func file(creating name: String) throws(BackupError) -> OpenFile? {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let opened = retrying { unsafe openat(descriptor, name, flags, 0o600) }
        if opened < 0, errno == ENOENT { return nil }
        guard opened >= 0 else { throw systemError(errno, "'\(path)/\(name)' cannot be made.") }
        let file = OpenFile(opened: opened, name: "\(path)/\(name)")
        try give(opened, name)
        return file
    }

    /// Makes the symbolic link `name`.
    func makeLink(_ name: String, to target: String) throws(BackupError) {
        guard unsafe symlinkat(target, descriptor, name) == 0 else {
            throw systemError(errno, "The link '\(path)/\(name)' cannot be made.")
        }
    }

    /// Opens the file `name`, which must be there, to write parts of it.
    func file(changing name: String) throws(BackupError) -> OpenFile {
        let opened = retrying { unsafe openat(descriptor, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) }
        guard opened >= 0 else { throw systemError(errno, "'\(path)/\(name)' cannot be written to.") }
        return OpenFile(opened: opened, name: "\(path)/\(name)")
    }

    /// Gives this directory permission bits.
    func setMode(_ mode: UInt32) throws(BackupError) {
        guard fchmod(descriptor, mode_t(mode)) == 0 else {
            throw systemError(errno, "The permissions of '\(path)' cannot be set.")
        }
    }

    /// Gives the file `name` the name `final`, which may be taken.
    func replace(_ final: String, with name: String) throws(BackupError) {
        guard unsafe renameat(descriptor, name, descriptor, final) == 0 else {
            throw systemError(errno, "'\(path)/\(final)' cannot be put in its place.")
        }
    }

    /// Returns when everything on the directory's file system is on stable storage.
    func synchronizeFileSystem() throws(BackupError) {
        guard retrying({ Int(syncfs(descriptor)) }) == 0 else {
            throw systemError(errno, "The file system of '\(path)' cannot be made durable.")
        }
    }

    /// What `name` is, or `nil` if there is nothing of that name.
    func entry(_ name: String) throws(BackupError) -> DirectoryEntry? {
        var status = stat()
        if unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 { return DirectoryEntry(status) }
        if errno == ENOENT { return nil }
        throw systemError(errno, "'\(path)/\(name)' cannot be examined.")
    }

    /// What this directory itself is.
    func entry() throws(BackupError) -> DirectoryEntry {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw systemError(errno, "'\(path)' cannot be examined.") }
        return DirectoryEntry(status)
    }

    /// All names in the directory but `.` and `..`, in no order.
    func names() throws(BackupError) -> [String] {
        let own = retrying { unsafe openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard own >= 0, let stream = unsafe fdopendir(own) else {
            let number = errno
            if own >= 0 { _ = Glibc.close(own) }
            throw systemError(number, "The directory '\(path)' cannot be listed.")
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw systemError(errno, "The directory '\(path)' cannot be listed.") }
        return names
    }

    /// Gives the file `name` the second name `final`, which must be free.
    func link(_ name: String, as final: String) throws(BackupError) -> Naming {
        if unsafe linkat(descriptor, name, descriptor, final, 0) == 0 { return .done }
        switch errno {
        case EEXIST: return .taken
        case EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EINVAL: return .unsupported
        default: throw systemError(errno, "'\(path)/\(final)' cannot be published.")
        }
    }

    /// Gives the file `name` the name `final`, which must be free, instead of its own.
    func rename(_ name: String, to final: String) throws(BackupError) -> Naming {
        if unsafe renameat2(descriptor, name, descriptor, final, renameNoReplace) == 0 { return .done }
        switch errno {
        case EEXIST: return .taken
        case EOPNOTSUPP, ENOSYS, EINVAL: return .unsupported
        default: throw systemError(errno, "'\(path)/\(final)' cannot be published.")
        }
    }

    /// Removes the file `name`; one that is not there is removed already.
    func removeFile(_ name: String) throws(BackupError) {
        guard unsafe unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else {
            throw systemError(errno, "'\(path)/\(name)' cannot be removed.")
        }
    }

    /// Removes the directory `name` if it is empty; false if it stays.
    func removeEmptyDirectory(_ name: String) -> Bool { unsafe unlinkat(descriptor, name, AT_REMOVEDIR) == 0 }

    /// Returns when the names in this directory are on stable storage.
    func synchronize() throws(BackupError) {
        guard retrying({ Int(fsync(descriptor)) }) == 0 else {
            throw systemError(errno, "The directory '\(path)' cannot be made durable.")
        }
    }

    /// What an unprivileged user may still write to this file system.
    func freeBytes() throws(BackupError) -> Int64 {
        var status = statvfs()
        guard unsafe fstatvfs(descriptor, &status) == 0 else {
            throw systemError(errno, "The free space of '\(path)' cannot be found out.")
        }
        let (bytes, isMore) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return isMore ? .max : Int64(clamping: bytes)
    }

    func notFollowed(_ name: String) -> BackupError {
        BackupError(
            .storageFailed, "'\(path)/\(name)' is neither a file nor a directory.",
            reason: "symbolic links and special files in a repository are never followed",
            remedy: "Put what it stands for in its place, or mount it there.")
    }
}
/// Makes this directory and those above it, for their owner only and durably, as far as they are missing.
func makeDirectories(_ path: String) throws(BackupError) {
    var missing = path
    var names: [String] = []
    while true {
        if let existing = try OpenDirectory(path: missing.isEmpty ? "/" : missing) {
            return try makeDirectories(names.reversed(), below: existing)
        }
        guard let slash = missing.lastIndex(of: "/") else { return try makeDirectories("./\(path)") }
        names.append(String(missing[missing.index(after: slash)...]))
        missing = String(missing[..<slash])
    }
}

private func makeDirectories(_ names: [String], below existing: consuming OpenDirectory) throws(BackupError) {
    var current = existing
    for name in names where !name.isEmpty {
        guard try current.makeDirectory(name, inherited: false), let next = try current.directory(name) else {
            throw systemError(ENOTDIR, "The directory '\(current.path)/\(name)' cannot be made.")
        }
        current = next
    }
}
/// Linux's own flag, which the C library shows only to programs that ask for GNU extensions.
private let renameNoReplace: CUnsignedInt = 1
