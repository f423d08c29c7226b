import BackupModel
import BackupStorage
import FoundationEssentials
import PostgresAccess
import Synchronization

/// A temporary file of a restore, readable by its owner alone.
///
/// Its name says which host made it, and it is locked while it is in use, so that the next restore can remove what a
/// killed one has left.
final class Spool: Sendable {
    let path: String

    private static let prefix = "apex-backup-spool-"
    private let environment: BackupEnvironment
    private let lock = Mutex<OwnershipLock?>(nil)

    init(directory: String, environment: BackupEnvironment) {
        self.environment = environment
        path = "\(directory)/\(Self.prefix)\(environment.host)-\(environment.makeRunID())"
    }

    private func make() throws(BackupError) -> OpenFile {
        while true {
            let file = try OpenFile(creating: path)
            do throws(BackupError) {
                // Another restore may have removed it, as nobody held it yet.
                guard let own = try OwnershipLock.own(path) else { continue }
                lock.withLock { $0 = own }
            } catch {
                _ = try? FileManager.default.removeItem(atPath: path)
                throw error
            }
            return file
        }
    }

    /// Fills it with what `body` writes and finishes; another thread writes, so that whoever makes the bytes need not
    /// wait for the disk.
    func fill(_ body: (any ByteSink) throws(BackupError) -> Void) throws(BackupError) {
        do {
            try body(HandoffSink(into: FileSink(try make(), ending: .close), chunkSize: 1 << 20))
        } catch  where error.code == .repositoryFull {
            throw BackupError(
                .storageFailed, "There is no room left for temporary files beside '\(path)'.", reason: error.reason,
                remedy: "Set TMPDIR to a directory with more room; with --jobs 1 a whole database needs none.",
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
        guard let own = lock.withLock({ $0.take() }) else { return }
        defer { withExtendedLifetime(own) {} }
        do { try FileManager.default.removeItem(atPath: path) } catch {
            guard HostFacts.exists(path) else { return }
            environment.warn("The temporary file '\(path)' could not be removed: remove it by hand. It holds data.")
        }
    }

    /// Removes what restores of this host that were killed have left, and tells of what it cannot judge.
    static func sweep(_ directory: String, environment: BackupEnvironment) {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: directory) } catch { return }
        for name in names.sorted() {
            guard let host = host(of: name) else { continue }
            let path = "\(directory)/\(name)"
            var reason = "the host '\(host)' made it"
            if host == environment.host {
                do {
                    guard let lock = try OwnershipLock.takeOver(path) else { continue }
                    defer { withExtendedLifetime(lock) {} }
                    try FileManager.default.removeItem(atPath: path)
                    continue
                } catch {
                    let known = RunLog.describe(error)
                    reason = known.reason ?? known.message
                }
            }
            environment.warn(
                "A restore that was killed may have left '\(path)', and whether one uses it cannot be told from here "
                    + "(\(reason)). If none does, remove it by hand: it holds data.")
        }
    }

    /// The host of the restore that may have made a file of this name.
    private static func host(of name: String) -> Substring? {
        let parts = name.split(separator: "-")
        guard name.hasPrefix(prefix), parts.count > 5, RunID(parsing: parts.suffix(2).joined(separator: "-")) != nil
        else { return nil }
        return name.dropFirst(prefix.count).dropLast(parts.suffix(2).reduce(2) { $0 + $1.count })
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
