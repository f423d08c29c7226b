package import BackupModel
internal import Glibc

/// Writes a file that has its name only when it is complete; what was there by that name is replaced.
///
/// It is not made durable: what it holds can be had again.
package final class PlacedFile: ByteSink {
    private let folder: OpenDirectory
    private let name: String
    private let temporary: String
    private var file: OpenFile
    private var isDone = false

    /// Begins to write the file at `path`, in a directory that is there.
    package init(_ path: String) throws(BackupError) {
        let slash = path.lastIndex(of: "/")
        name = String(path[(slash.map { path.index(after: $0) } ?? path.startIndex)...])
        temporary = ".\(name).apex-backup"
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard let folder = try OpenDirectory(path: directory) else {
            throw systemError(ENOENT, "'\(path)' cannot be written.")
        }
        try folder.removeFile(temporary)
        guard let file = try folder.file(creating: temporary) else {
            throw systemError(ENOENT, "'\(path)' cannot be written.")
        }
        self.folder = folder
        self.file = file
    }

    deinit { discard() }

    package func write(_ bytes: Span<UInt8>) throws(BackupError) { try file.write(bytes) }

    package func finish() throws(BackupError) {
        try file.close()
        try folder.replace(name, with: temporary)
        isDone = true
    }

    /// Drops what was written; does nothing after `finish` has returned.
    package func discard() {
        guard !isDone else { return }
        isDone = true
        try? folder.removeFile(temporary)
    }
}
