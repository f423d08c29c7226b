package import BackupModel
internal import Glibc

/// An open file or pipe end; closed when it goes out of scope.
@safe package struct OpenFile: ~Copyable {
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
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let length = unsafe bytes.withUnsafeMutableBytes { bytes in
                retrying {
                    unsafe pread(
                        descriptor, bytes.baseAddress.map { unsafe $0 + filled }, count - filled,
                        off_t(offset) + filled)
                }
            }
            guard length >= 0 else { throw systemError(errno, "'\(name)' cannot be read.") }
            if length == 0 { break }
            filled += length
        }
        bytes.removeLast(count - filled)
        return bytes
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

    /// Gives the file a size and permission bits; what is new in it is zeros.
    func prepare(size: Int64, mode: UInt32) throws(BackupError) {
        guard fchmod(descriptor, mode_t(mode)) == 0 else {
            throw systemError(errno, "The permissions of '\(name)' cannot be set.")
        }
        guard size == 0 || retrying({ Int(ftruncate(descriptor, off_t(size))) }) == 0 else {
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

/// Linux's own command, which the C library shows only to programs that ask for GNU extensions.
private let setPipeSize: CInt = 1031

/// Lets this process have as many open files as it may, and returns how many that are.
package func raiseOpenFileLimit() -> Int {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return Int.max }
    var raised = rlimit(rlim_cur: min(limit.rlim_max, max(limit.rlim_cur, 1 << 16)), rlim_max: limit.rlim_max)
    let isRaised = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0
    return Int(clamping: isRaised ? raised.rlim_cur : limit.rlim_cur)
}
