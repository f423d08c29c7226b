internal import BackupModel

/// Writes a temporary file beside the final name, and gives it that name when it is complete and durable.
final class PosixObjectWriter: ObjectWriter {
    private enum State { case writing, published, discarded }

    /// After how many bytes the system is asked to begin writing them out.
    private static let writeOutAfter: Int64 = 16 << 20

    private let storage: PosixStorage
    private let path: KeyPath
    private let folder: OpenDirectory
    private var file: OpenFile
    private var temporary: TemporaryName
    /// Keeps the lock that shows that the writer lives while the file is closed and named.
    private var claim: OpenFile?
    private var state = State.writing
    private var written: Int64 = 0
    private var letGo: Int64 = 0

    init(
        storage: PosixStorage, path: KeyPath, folder: consuming OpenDirectory, file: consuming OpenFile,
        temporary: TemporaryName
    ) {
        self.storage = storage
        self.path = path
        self.folder = folder
        self.file = file
        self.temporary = temporary
    }

    deinit { discard() }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        precondition(state == .writing, "an object is written to after its end")
        try file.write(bytes)
        written += Int64(bytes.count)
        if written - letGo >= Self.writeOutAfter {
            // Once more what was let go last: by now it is written, and its memory can be used for something else.
            let start = max(0, letGo - Self.writeOutAfter)
            file.letGo(offset: start, length: written - start)
            letGo = written
        }
    }

    func finish() throws(BackupError) {
        precondition(state == .writing, "an object is finished twice")
        try endStream()
        try file.synchronize()
        claim = try file.duplicate()
        try file.close()
        try publish()
        state = .published
        // From here on the object is complete; a temporary name that stays is found by `temporaryFiles`.
        try? folder.removeFile(temporary.text)
        claim = nil
        try folder.synchronize()
    }

    /// All content is there: from now on it is waited for.
    private func endStream() throws(BackupError) {
        guard temporary.isStreamed else { return }
        let streamed = temporary.text
        temporary.isStreamed = false
        try folder.replace(temporary.text, with: streamed)
    }

    func discard() {
        guard state == .writing else { return }
        state = .discarded
        try? file.removeContent()
        try? file.close()
        try? folder.removeFile(temporary.text)
        claim = nil
        try? storage.settle(path.folders)
    }

    private func publish() throws(BackupError) {
        switch try folder.link(temporary.text, as: path.name) {
        case .done: return
        case .taken: try requireOwn()
        case .unsupported:
            switch try folder.rename(temporary.text, to: path.name) {
            case .done: return
            case .taken: throw try exists()
            case .unsupported:
                throw BackupError(
                    .storageFailed, "'\(folder.path)/\(path.name)' cannot be published.",
                    reason: "the file system has neither hard links nor a rename that refuses to replace",
                    remedy: "Put the repository on another file system.")
            }
        }
    }

    /// Over NFS the answer to a link that succeeded can be lost, and the request repeated: then the name is ours.
    private func requireOwn() throws(BackupError) {
        guard let mine = try folder.entry(temporary.text), let there = try folder.entry(path.name),
            mine.isSame(as: there)
        else { throw try exists() }
    }

    /// What is there is made durable before anybody relies on it: whoever named it may have died just then, or copied it.
    private func exists() throws(BackupError) -> BackupError {
        if try folder.entry(path.name)?.kind == .file { try folder.file(reading: path.name)?.synchronize() }
        try folder.synchronize()
        return BackupError(
            .objectExists, "'\(folder.path)/\(path.name)' exists already.",
            remedy: "Nothing needs to be done unless two runs were to write the same object.",
            unchanged: "The object that was there was not touched.")
    }
}

/// Where a key lies in the file system.
struct KeyPath {
    let folders: [String]
    let name: String

    /// Returns `nil` if the key has a component that begins with a dot, which no object here has.
    init?(_ key: ObjectKey) {
        let components = key.text.split(separator: "/").map(String.init)
        guard let last = components.last, !components.contains(where: { $0.hasPrefix(".") }) else { return nil }
        folders = components.dropLast()
        name = last
    }

    var all: [String] { folders + [name] }
}
