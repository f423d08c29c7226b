internal import BackupModel
internal import CZlib
internal import Glibc

/// What a name in a directory stands for.
struct DirectoryEntry: Equatable {
    enum Kind { case file, directory, other }

    let kind: Kind
    let size: Int64
    /// The permission bits.
    let mode: UInt32
    /// How many names it has.
    let names: Int
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
        mode = UInt32(status.st_mode) & 0o7777
        names = Int(status.st_nlink)
        device = UInt64(status.st_dev)
        number = UInt64(status.st_ino)
        isRoots = status.st_uid == 0
    }

    func isSame(as other: DirectoryEntry) -> Bool { device == other.device && number == other.number }
}

/// The name of an entry of a directory, which need not be text.
@safe protocol EntryName: Sendable, CustomStringConvertible {
    /// Calls `body` with the name as C has it.
    func withCharacters<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result
}

extension String: EntryName {
    func withCharacters<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result { unsafe withCString(body) }
}

/// A name of any bytes but null and the slash.
struct ByteName: EntryName {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// As ``DataPath`` writes it.
    var description: String { DataPath(bytes: bytes)?.description ?? String(decoding: bytes, as: UTF8.self) }

    func withCharacters<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        let terminated = bytes.map { CChar(bitPattern: $0) } + [0]
        return unsafe terminated.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("a name ends with a null") }
            return unsafe body(start)
        }
    }
}

/// An open directory; every name is a single component below it, and a symbolic link is never followed.
@safe struct OpenDirectory: ~Copyable, Sendable {
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
    func directory(_ name: some EntryName) throws(BackupError) -> OpenDirectory? {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        let opened = retrying { unsafe name.withCharacters { unsafe openat(descriptor, $0, flags) } }
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
    func makeDirectory(_ name: some EntryName, inherited: Bool) throws(BackupError) -> Bool {
        guard try makeDirectoryForNow(name, inherited: inherited) else { return false }
        try synchronize()
        return true
    }

    /// Does the same for whoever makes the whole file system durable in the end.
    func makeDirectoryForNow(_ name: some EntryName, inherited: Bool) throws(BackupError) -> Bool {
        if unsafe name.withCharacters({ unsafe mkdirat(descriptor, $0, 0o700) }) == 0 {
            if inherited, let made = try directory(name) { try give(made.descriptor, name) }
        } else if errno != EEXIST {
            if errno == ENOENT { return false }
            throw systemError(errno, "The directory '\(path)/\(name)' cannot be made.")
        }
        return true
    }

    /// Gives what root has just made here to the owner of this directory, who could not read it otherwise.
    private func give(_ made: CInt, _ name: some EntryName) throws(BackupError) {
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
    func file(reading name: some EntryName) throws(BackupError) -> OpenFile? {
        let opened = retrying {
            unsafe name.withCharacters {
                unsafe openat(descriptor, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            }
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
    func file(creating name: some EntryName) throws(BackupError) -> OpenFile? {
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let opened = retrying { unsafe name.withCharacters { unsafe openat(descriptor, $0, flags, 0o600) } }
        if opened < 0, errno == ENOENT { return nil }
        guard opened >= 0 else { throw systemError(errno, "'\(path)/\(name)' cannot be made.") }
        let file = OpenFile(opened: opened, name: "\(path)/\(name)")
        try give(opened, name)
        return file
    }

    /// Opens the file `name`, which is made if it is not there, to take locks on it.
    func file(locking name: String) throws(BackupError) -> OpenFile {
        let opened = retrying { unsafe openat(descriptor, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600) }
        guard opened >= 0 else { throw systemError(errno, "'\(path)/\(name)' cannot be locked.") }
        let file = OpenFile(opened: opened, name: "\(path)/\(name)")
        try give(opened, name)
        return file
    }

    /// Makes the symbolic link `name`.
    func makeLink(_ name: some EntryName, to target: String) throws(BackupError) {
        guard unsafe name.withCharacters({ unsafe symlinkat(target, descriptor, $0) }) == 0 else {
            throw systemError(errno, "The link '\(path)/\(name)' cannot be made.")
        }
    }

    /// Opens the file `name`, which must be there, to read it and to write parts of it.
    func file(changing name: some EntryName) throws(BackupError) -> OpenFile {
        let opened = retrying {
            unsafe name.withCharacters {
                unsafe openat(descriptor, $0, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            }
        }
        guard opened >= 0 else { throw systemError(errno, "'\(path)/\(name)' cannot be written to.") }
        let file = OpenFile(opened: opened, name: "\(path)/\(name)")
        try give(opened, name)
        return file
    }

    /// Where the symbolic link `name` leads, or `nil` if there is no link of that name.
    func target(ofLink name: some EntryName) throws(BackupError) -> String? {
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { room, count in
            let length = unsafe room.withMemoryRebound(to: CChar.self) { room in
                unsafe name.withCharacters { link in
                    unsafe room.baseAddress.map { unsafe readlinkat(descriptor, link, $0, room.count) } ?? 0
                }
            }
            count = max(0, length)
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    /// Gives this directory permission bits.
    func setMode(_ mode: UInt32) throws(BackupError) {
        guard fchmod(descriptor, mode_t(mode)) == 0 else {
            throw systemError(errno, "The permissions of '\(path)' cannot be set.")
        }
    }

    /// Gives the file `name` the name `final`, which may be taken.
    func replace(_ final: some EntryName, with name: some EntryName) throws(BackupError) {
        let isDone = unsafe name.withCharacters { old in
            unsafe final.withCharacters { new in unsafe renameat(descriptor, old, descriptor, new) == 0 }
        }
        guard isDone else {
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
    func entry(_ name: some EntryName) throws(BackupError) -> DirectoryEntry? {
        var status = stat()
        if unsafe name.withCharacters({ unsafe fstatat(descriptor, $0, &status, AT_SYMLINK_NOFOLLOW) }) == 0 {
            return DirectoryEntry(status)
        }
        if errno == ENOENT { return nil }
        throw systemError(errno, "'\(path)/\(name)' cannot be examined.")
    }

    /// What this directory itself is.
    func entry() throws(BackupError) -> DirectoryEntry {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw systemError(errno, "'\(path)' cannot be examined.") }
        return DirectoryEntry(status)
    }

    /// All names in the directory but `.` and `..`, in no order; of one that is no text, a text like it.
    func names() throws(BackupError) -> [String] {
        var names: [String] = []
        try forEachName { name throws(BackupError) in
            names.append(name)
            return true
        }
        return names
    }

    /// Calls `body` with one of these names after the other, until it returns `false`.
    func forEachName(_ body: (String) throws(BackupError) -> Bool) throws(BackupError) {
        unsafe try forEachName(read: { unsafe String(cString: $0) }, body)
    }

    /// The same, of any bytes.
    func byteNames() throws(BackupError) -> [ByteName] {
        var names: [ByteName] = []
        unsafe try forEachName(
            read: { start in
                ByteName(unsafe UnsafeBufferPointer(start: start, count: strlen(start)).map { UInt8(bitPattern: $0) })
            },
            { name throws(BackupError) in
                names.append(name)
                return true
            })
        return names
    }

    private func forEachName<Name>(
        read: (UnsafePointer<CChar>) -> Name, _ body: (Name) throws(BackupError) -> Bool
    ) throws(BackupError) {
        let own = retrying { unsafe openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard own >= 0, let stream = unsafe fdopendir(own) else {
            let number = errno
            if own >= 0 { _ = Glibc.close(own) }
            throw systemError(number, "The directory '\(path)' cannot be listed.")
        }
        defer { unsafe closedir(stream) }
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { name in
                    let isItself = unsafe strcmp(name, ".") == 0 || strcmp(name, "..") == 0
                    return isItself ? nil : unsafe read(name)
                }
            }
            if let name, try !body(name) { return }
        }
        guard errno == 0 else { throw systemError(errno, "The directory '\(path)' cannot be listed.") }
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

    /// Moves the file `name` into `folder` of the same file system, where the name `final` must be free.
    func move(
        _ name: some EntryName, into folder: borrowing OpenDirectory, as final: some EntryName
    ) throws(BackupError) {
        let isDone = unsafe name.withCharacters { old in
            unsafe final.withCharacters { new in
                unsafe renameat2(descriptor, old, folder.descriptor, new, renameNoReplace) == 0
            }
        }
        guard isDone else { throw systemError(errno, "'\(path)/\(name)' cannot be moved to '\(folder.path)'.") }
    }

    /// Moves the file `name` to `path`, where one may be, in any directory of the same file system; false if it is on
    /// another.
    func move(_ name: String, to path: String) throws(BackupError) -> Bool {
        if unsafe renameat(descriptor, name, AT_FDCWD, path) == 0 { return true }
        guard errno == EXDEV else { throw systemError(errno, "'\(path)' cannot be put in its place.") }
        return false
    }

    /// What tells this directory from all others.
    func identity() throws(BackupError) -> FileIdentity {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw systemError(errno, "'\(path)' cannot be examined.") }
        return FileIdentity(status)
    }

    /// Removes the file `name`; one that is not there is removed already.
    func removeFile(_ name: some EntryName) throws(BackupError) {
        guard unsafe name.withCharacters({ unsafe unlinkat(descriptor, $0, 0) }) == 0 || errno == ENOENT else {
            throw systemError(errno, "'\(path)/\(name)' cannot be removed.")
        }
    }

    /// Removes `name` and, of a directory, everything in it; no link is followed, and no other file system entered.
    func removeTree(_ name: some EntryName) throws(BackupError) {
        guard let entry = try entry(name) else { return }
        guard entry.kind == .directory else { return try removeFile(name) }
        try requireSameFileSystem(name, entry)
        if let folder = try directory(name) {
            for inner in try folder.byteNames() { try folder.removeTree(inner) }
        }
        guard removeEmptyDirectory(name) || errno == ENOENT else {
            throw systemError(errno, "The directory '\(path)/\(name)' cannot be removed.")
        }
    }

    /// Refuses a directory at which something else is mounted: what is in it is not this one's to remove.
    func requireSameFileSystem(_ name: some EntryName, _ entry: DirectoryEntry) throws(BackupError) {
        guard try entry.device != self.entry().device else { return }
        throw BackupError(
            .targetUnsuitable, "The directory '\(path)/\(name)' is not removed.",
            reason: "it is on another file system, which is mounted there",
            remedy: "Unmount it, and run again.")
    }

    /// Removes the directory `name` if it is empty; false if it stays.
    func removeEmptyDirectory(_ name: some EntryName) -> Bool {
        unsafe name.withCharacters { unsafe unlinkat(descriptor, $0, AT_REMOVEDIR) } == 0
    }

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

    /// The number by which Linux knows the kind of file system.
    func fileSystemType() throws(BackupError) -> UInt32 {
        var status = statfs()
        guard unsafe fstatfs(descriptor, &status) == 0 else {
            throw systemError(errno, "The file system of '\(path)' cannot be examined.")
        }
        return UInt32(truncatingIfNeeded: status.f_type)
    }

    func notFollowed(_ name: some EntryName) -> BackupError {
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
