import BackupModel
import BackupStorage

/// Writes the files of a physical backup, each piece of which is proved before it is written.
///
/// One thread reads the table and makes the files, `workers` read frames and write pieces.
struct FileRestore: Sendable {
    let manifest: BackupManifest
    let repository: Repository
    let tree: RestoredTree
    let workers: Int

    /// Pieces that lie in one frame, or in frames that follow each other.
    private struct Work: Sendable {
        var pieces: [(path: DataPath, extent: FileExtent)] = []
        var bytes: Int64 = 0
    }

    /// The name that `pg_control` has until everything else is durable.
    static let control = DataPath("global/pg_control.apex-restore")

    /// About how much content a worker takes at a time.
    private static let share: Int64 = 16 << 20

    /// Returns the path of the control file, which is to be given its name last.
    func run() async throws -> DataPath {
        let queue = BoundedQueue<Work>(limit: 2 * workers)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { queue.close() }
                try makeFiles(for: queue)
            }
            for _ in 0..<workers {
                group.addTask {
                    // Whoever waits for this worker is let go before it ends: the group waits for all.
                    do { try write(queue) } catch {
                        queue.abandon()
                        throw error
                    }
                }
            }
            try await group.waitForAll()
        }
        return Self.control
    }

    private func makeFiles(for queue: BoundedQueue<Work>) throws(BackupError) {
        guard let table = manifest.artefact(.files) else {
            throw BackupError(
                .objectDamaged, "The manifest of backup \(manifest.id) cannot be believed.",
                reason: "it names no table of files", remedy: "Use another backup.")
        }
        var work = Work()
        var hasControl = false
        try StoredArtefact(table, of: manifest.id, in: repository).forEachLine { bytes throws(BackupError) in
            try Task.checkNotCancelled()
            let line = try RepositoryJSON.decodePlain(FileTableLine.self, from: bytes, name: table.name)
            guard !line.isDirectory else { return try tree.makeDirectory(line.path, mode: line.mode) }
            let isControl = line.path == DataPath("global/pg_control")
            hasControl = hasControl || isControl
            let path = isControl ? Self.control : line.path
            try tree.makeFile(path, size: line.size, mode: line.mode)
            for extent in line.extents {
                // Pieces of one frame stay together: it is read once.
                if work.bytes >= Self.share, work.pieces.last?.extent.frame != extent.frame {
                    guard queue.put(work) else { throw Self.stopped }
                    work = Work()
                }
                work.pieces.append((path, extent))
                work.bytes += extent.length
            }
        }
        if !work.pieces.isEmpty { _ = queue.put(work) }
        guard hasControl else {
            throw BackupError(
                .objectDamaged, "Backup \(manifest.id) has no pg_control.",
                reason: "its table of files does not name it",
                remedy: "Use another backup ('apex-backup list').")
        }
    }

    /// What the one who makes files ends with when those who write have ended: their error came first.
    private static let stopped = BackupError(
        .interrupted, "The files were not made to the end, because they are written no more.",
        remedy: "See the error that came with this one.")

    private func write(_ queue: BoundedQueue<Work>) throws(BackupError) {
        guard let objects = repository.layout.incarnationObjects(manifest.systemIdentifier) else { return }
        let reader = try FrameReader(repository, objects)
        while let work = queue.take() {
            for (path, extent) in work.pieces {
                try reader.read(extent.frame) { content throws(BackupError) in
                    let start = Int(extent.contentOffset)
                    let piece = content.extracting(start..<start + Int(extent.length))
                    try tree.write(path) { file throws(BackupError) in
                        try file.write(piece, at: extent.fileOffset)
                    }
                }
            }
        }
    }
}
