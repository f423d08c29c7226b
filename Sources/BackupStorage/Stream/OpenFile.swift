package import BackupModel
internal import Glibc

/// An open file or pipe end; closed when it goes out of scope.
@safe package struct OpenFile: ~Copyable, Sendable {
    /// The path, or what a pipe carries, as error texts name it.
    package let name: String
    private var descriptor: CInt

    /// Takes over an open descriptor, which children will not inherit and which will wait rather than report that it
    /// would have to.
    ///
    /// A pipe is given as large a buffer as the system allows, so that both ends run for longer before they must wait.
    package init(adopting descriptor: CInt, name: String) {
        self.name = name
        self.descriptor = descriptor
        _ = brokenPipesAreErrors
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        _ = fcntl(descriptor, setPipeSize, 1 << 20)
    }

    /// Opens the file at `path` for reading.
    package init(reading path: String) throws(BackupError) {
        // A pipe that nobody writes to would keep the open waiting.
        let descriptor = retrying { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
        guard descriptor >= 0 else { throw systemError(errno, "'\(path)' cannot be read.") }
        let file = OpenFile(opened: descriptor, name: path)
        guard try file.entry().kind == .file else {
            throw BackupError(
                .storageFailed, "'\(path)' cannot be read.", reason: "it is not a regular file",
                remedy: "Name a file.")
        }
        self = file
    }

    /// Makes the file at `path`, which must not exist, readable by its owner only.
    package init(creating path: String) throws(BackupError) {
        let descriptor = retrying { unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        guard descriptor >= 0 else { throw systemError(errno, "'\(path)' cannot be made.") }
        self.init(opened: descriptor, name: path)
    }

    /// Opens the file at `path`, which must exist, to change parts of it.
    package init(changing path: String) throws(BackupError) {
        let descriptor = retrying { unsafe open(path, O_WRONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw systemError(errno, "'\(path)' cannot be written to.") }
        self.init(opened: descriptor, name: path)
    }

    init(opened descriptor: CInt, name: String) {
        self.name = name
        self.descriptor = descriptor
    }

    deinit { if descriptor >= 0 { _ = Glibc.close(descriptor) } }

    /// Reads to the end and calls `body` with chunks of exactly `size` bytes; only the last may be shorter.
    package func forEachChunk(
        ofSize size: Int, _ body: (Span<UInt8>) throws(BackupError) -> Void
    ) throws(BackupError) {
        let buffer = ChunkBuffer(capacity: size)
        var isAtEnd = false
        while !isAtEnd {
            while !buffer.isFull, !isAtEnd {
                let room = unsafe buffer.room
                let length = retrying { unsafe Glibc.read(descriptor, room.baseAddress, room.count) }
                guard length >= 0 else { throw systemError(errno, "'\(name)' cannot be read.") }
                buffer.didFill(length)
                isAtEnd = length == 0
            }
            if buffer.count > 0 { try buffer.withBytes(body) }
            buffer.removeAll()
        }
    }

    /// Up to `count` bytes from `offset` on: fewer only at the end of the file.
    package func read(at offset: Int64, count: Int) throws(BackupError) -> [UInt8] {
        var failure: CInt?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            unsafe failure = fill(room, from: offset, &filled)
        }
        if let failure { throw systemError(failure, "'\(name)' cannot be read.") }
        return bytes
    }

    /// Appends `count` bytes from `offset` on to `buffer`, which has room for them: fewer only at the end of the file.
    func read(at offset: Int64, count: Int, into buffer: ChunkBuffer) throws(BackupError) {
        var filled = 0
        let room = unsafe UnsafeMutableBufferPointer(rebasing: buffer.room[..<count])
        let failure = unsafe fill(room, from: offset, &filled)
        buffer.didFill(filled)
        if let failure { throw systemError(failure, "'\(name)' cannot be read.") }
    }

    /// Fills `room` as far as the file goes; returns the number of an error.
    private func fill(_ room: UnsafeMutableBufferPointer<UInt8>, from offset: Int64, _ filled: inout Int) -> CInt? {
        while filled < room.count {
            let length = retrying {
                unsafe pread(
                    descriptor, room.baseAddress.map { unsafe $0 + filled }, room.count - filled,
                    off_t(offset) + filled)
            }
            guard length >= 0 else { return errno }
            if length == 0 { return nil }
            filled += length
        }
        return nil
    }

    /// Writes all of `bytes`.
    ///
    /// - Throws: ``ErrorCode/pipeBroken`` if this is a pipe and its reader has gone.
    package func write(_ bytes: Span<UInt8>) throws(BackupError) {
        let failure = unsafe bytes.withUnsafeBytes { bytes -> CInt? in
            var rest = unsafe bytes[...]
            while unsafe !rest.isEmpty {
                let length = retrying {
                    unsafe Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                }
                guard length >= 0 else { return errno }
                unsafe rest = rest.dropFirst(length)
            }
            return nil
        }
        if let failure { throw systemError(failure, "Writing to '\(name)' failed.") }
    }

    /// Writes `bytes` over what is at `offset`.
    package func write(_ bytes: [UInt8], at offset: Int64) throws(BackupError) { try write(bytes.span, at: offset) }

    /// Tells the system that bytes `offset` to `offset + length` are not needed again: it begins to write them out, so
    /// that ``synchronize()`` is short, and keeps no memory for what is written.
    func letGo(offset: Int64, length: Int64) {
        _ = posix_fadvise(descriptor, off_t(offset), off_t(length), POSIX_FADV_DONTNEED)
    }

    /// Returns when everything written is on stable storage.
    package func synchronize() throws(BackupError) {
        guard retrying({ Int(fsync(descriptor)) }) == 0 else {
            throw systemError(errno, "'\(name)' cannot be made durable.")
        }
    }

    /// Gives the file permission bits.
    func setMode(_ mode: UInt32) throws(BackupError) {
        guard fchmod(descriptor, mode_t(mode)) == 0 else {
            throw systemError(errno, "The permissions of '\(name)' cannot be set.")
        }
    }

    /// Gives the file a size; what is new in it is zeros.
    func setSize(_ size: Int64) throws(BackupError) {
        guard retrying({ Int(ftruncate(descriptor, off_t(size))) }) == 0 else {
            throw systemError(errno, "'\(name)' cannot be made as large as it is to be.")
        }
    }

    /// Writes `bytes` over what is at `offset`.
    func write(_ bytes: Span<UInt8>, at offset: Int64) throws(BackupError) {
        let failure = unsafe bytes.withUnsafeBytes { bytes -> CInt? in
            var written = 0
            while written < bytes.count {
                let length = retrying {
                    unsafe pwrite(
                        descriptor, bytes.baseAddress.map { unsafe $0 + written }, bytes.count - written,
                        off_t(offset) + written)
                }
                guard length >= 0 else { return errno }
                written += length
            }
            return nil
        }
        if let failure { throw systemError(failure, "Writing to '\(name)' failed.") }
    }

    /// Takes all content away and its space back, also while somebody else has the file open, as a child that is being
    /// started does for a moment.
    func removeContent() throws(BackupError) {
        guard retrying({ Int(ftruncate(descriptor, 0)) }) == 0 else {
            throw systemError(errno, "'\(name)' cannot be emptied.")
        }
    }

    /// Closes the file and reports what the system held back until now; closing twice does nothing.
    package mutating func close() throws(BackupError) {
        guard descriptor >= 0 else { return }
        let result = Glibc.close(descriptor)
        descriptor = -1
        // After EINTR the descriptor is closed all the same.
        guard result == 0 || errno == EINTR else { throw systemError(errno, "'\(name)' cannot be closed.") }
    }

    /// Takes the lock of the byte at `offset`, which need not be there, against everybody else who opened the file; false
    /// if somebody has it and this does not wait.
    ///
    /// It is given back by ``unlock(at:)``, or when this is closed: the end of the process is enough, however it comes.
    func lock(at offset: Int64, waits: Bool) throws(BackupError) -> Bool {
        if setLock(CInt(F_WRLCK), at: offset, command: waits ? waitForOwnLock : setOwnLock) { return true }
        guard !waits, errno == EAGAIN || errno == EACCES else {
            throw systemError(errno, "'\(name)' cannot be locked.")
        }
        return false
    }

    /// Gives back the lock of the byte at `offset`.
    func unlock(at offset: Int64) { _ = setLock(CInt(F_UNLCK), at: offset, command: setOwnLock) }

    /// Whether somebody else who opened the file has the lock of the byte at `offset`; `nil` if that cannot be told.
    func isLocked(at offset: Int64) -> Bool? {
        var range = Self.lockRange(CInt(F_WRLCK), at: offset)
        let isKnown = unsafe withUnsafeMutablePointer(to: &range) { range in
            retrying { unsafe fcntl(descriptor, getOwnLock, UnsafeMutableRawPointer(range)) } == 0
        }
        return isKnown ? range.l_type != Int16(F_UNLCK) : nil
    }

    private func setLock(_ type: CInt, at offset: Int64, command: CInt) -> Bool {
        var range = Self.lockRange(type, at: offset)
        return unsafe withUnsafeMutablePointer(to: &range) { range in
            retrying { unsafe fcntl(descriptor, command, UnsafeMutableRawPointer(range)) } == 0
        }
    }

    private static func lockRange(_ type: CInt, at offset: Int64) -> Glibc.flock {
        var range = Glibc.flock()
        range.l_type = Int16(type)
        range.l_whence = Int16(SEEK_SET)
        range.l_start = off_t(offset)
        range.l_len = 1
        return range
    }

    /// The same open file once more, with its locks, which are given back when both are closed.
    func duplicate() throws(BackupError) -> OpenFile {
        let descriptor = fcntl(self.descriptor, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else { throw systemError(errno, "'\(name)' cannot be opened once more.") }
        return OpenFile(opened: descriptor, name: name)
    }

    /// What tells the file from all others, and whether it was changed.
    package func identity() throws(BackupError) -> FileIdentity {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw systemError(errno, "'\(name)' cannot be examined.") }
        return FileIdentity(status)
    }

    /// The number of bytes in a file.
    package func size() throws(BackupError) -> Int64 { try entry().size }

    /// The kind and size of what is open.
    func entry() throws(BackupError) -> DirectoryEntry {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw systemError(errno, "'\(name)' cannot be examined.") }
        return DirectoryEntry(status)
    }
}
/// Without this, a write to a child that has ended would end this process too, with nothing said.
private let brokenPipesAreErrors: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

/// Linux's own commands, which the C library shows only to programs that ask for GNU extensions.
private let setPipeSize: CInt = 1031
private let getOwnLock: CInt = 36
private let setOwnLock: CInt = 37
private let waitForOwnLock: CInt = 38

extension FileIdentity {
    init(_ status: stat) {
        func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }
        self.init(
            device: UInt64(status.st_dev), number: UInt64(status.st_ino), size: Int64(status.st_size),
            modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim))
    }
}

/// Lets this process have as many open files as it may, and returns how many that are.
package func raiseOpenFileLimit() -> Int {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return Int.max }
    var raised = rlimit(rlim_cur: min(limit.rlim_max, max(limit.rlim_cur, 1 << 16)), rlim_max: limit.rlim_max)
    let isRaised = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0
    return Int(clamping: isRaised ? raised.rlim_cur : limit.rlim_cur)
}
