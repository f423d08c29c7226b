import BackupModel
import BackupStorage
import FoundationEssentials

/// A temporary file of a restore, readable by its owner alone.
///
/// Its name says which process it belongs to, so that the next restore can remove what a killed one has left.
struct Spool {
    let path: String

    private static let mark = "apex-backup-spool"
    private let environment: BackupEnvironment

    init(directory: String, environment: BackupEnvironment) {
        self.environment = environment
        let process = environment.process
        path =
            "\(directory)/\(Self.mark)-\(environment.host)-\(process.namespace ?? 0)-\(process.pid)-\(process.startTicks)-"
            + "\(environment.makeRunID())"
    }

    /// Fills it with what `body` writes and finishes; another thread writes, so that whoever makes the bytes need not
    /// wait for the disk.
    func fill(_ body: (any ByteSink) throws(BackupError) -> Void) throws(BackupError) {
        do {
            try body(HandoffSink(into: FileSink(try OpenFile(creating: path), ending: .close), chunkSize: 1 << 20))
        } catch  where error.code == .repositoryFull {
            throw BackupError(
                .storageFailed, "There is no room left for temporary files beside '\(path)'.", reason: error.reason,
                remedy: "Set TMPDIR to a directory with more room, or restore with --jobs 1, which needs none.",
                unchanged: "The repository was not touched.")
        }
    }

    /// Fills it with an archive, and notes in its table of contents where the data of each entry is, which pg_dump could
    /// not in a pipe.
    func fillWithArchive(_ body: (any ByteSink) throws(BackupError) -> Void) throws(BackupError) {
        var archive: ArchiveSink?
        try fill { sink throws(BackupError) in
            let located = ArchiveSink(into: sink)
            archive = located
            try body(located)
        }
        var file = try OpenFile(changing: path)
        for (position, bytes) in archive?.offsets ?? [] { try file.write(bytes, at: position) }
        try file.close()
    }

    func write(_ text: String) throws(BackupError) {
        try fill { sink throws(BackupError) in
            try sink.write(Array(text.utf8).span)
            try sink.finish()
        }
    }

    func read() throws(BackupError) -> String {
        let bytes = CollectingSink(limit: 1 << 30)
        try OpenFile(reading: path).forEachChunk(ofSize: 1 << 20) { chunk throws(BackupError) in try bytes.write(chunk)
        }
        return String(decoding: bytes.bytes, as: UTF8.self)
    }

    func remove() {
        do { try FileManager.default.removeItem(atPath: path) } catch {
            guard HostFacts.exists(path) else { return }
            environment.warn("The temporary file '\(path)' could not be removed: remove it by hand. It holds data.")
        }
    }

    /// Removes the files of this host's processes that are gone.
    static func sweep(_ directory: String, host: String) {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: directory) } catch { return }
        for name in names where name.hasPrefix("\(mark)-\(host)-") {
            let parts = name.dropFirst(mark.count + host.count + 2).split(separator: "-")
            guard parts.count == 5, let namespace = UInt64(parts[0]), let pid = Int32(parts[1]),
                let ticks = UInt64(parts[2]), RunID(parsing: "\(parts[3])-\(parts[4])") != nil,
                HostFacts.isGone(
                    ProcessIdentity(pid: pid, startTicks: ticks, boot: HostFacts.boot, namespace: namespace), on: host)
            else { continue }
            do { try FileManager.default.removeItem(atPath: "\(directory)/\(name)") } catch { continue }
        }
    }
}

/// Follows an archive that passes through.
private final class ArchiveSink: ByteSink {
    private let next: any ByteSink
    private var counter = ArchiveRowCounter()

    init(into next: any ByteSink) { self.next = next }

    var offsets: [(position: Int64, bytes: [UInt8])] { counter.offsets }

    func write(_ bytes: Span<UInt8>) throws(BackupError) {
        try counter.consume(bytes)
        try next.write(bytes)
    }

    func finish() throws(BackupError) {
        _ = try counter.finish()
        try next.finish()
    }
}
