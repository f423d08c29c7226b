import BackupModel
import BackupStorage

/// Writes the files of a physical backup, each piece of which is proved before it is written.
///
/// One thread reads the table and makes directories, `workers` read frames and write pieces. A file that is whole in one
/// frame is made by who writes it; one of several pieces is opened once, for all who write them.
struct FileRestore: Sendable {
    let manifest: BackupManifest
    let repository: Repository
    let tree: RestoredTree
    let workers: Int

    /// What has been done.
    struct Tally: Sendable, Hashable {
        /// Bytes that were written.
        var written: Int64 = 0
        /// Bytes that were right already.
        var kept: Int64 = 0
    }

    /// Frames, with the pieces of files that lie in them.
    private struct Work: Sendable {
        var frames: [FramePieces] = []
        var bytes: Int64 = 0
    }

    /// The name that `pg_control` has until everything else is durable.
    static let control = DataPath("global/pg_control.apex-restore")

    /// About how much content a worker takes at a time.
    private static let share: Int64 = 16 << 20

    /// Writes everything; the control file under a name of its own, which is to be changed last.
    func run() async throws -> Tally {
        let queue = BoundedQueue<Work>(limit: 2 * workers)
        let result = await withTaskGroup(of: Result<Tally, BackupError>.self) { group -> Result<Tally, BackupError> in
            group.addTask {
                defer { queue.close() }
                do throws(BackupError) {
                    try makeFiles(for: queue)
                    return .success(Tally())
                } catch {
                    queue.abandon()
                    return .failure(error)
                }
            }
            for _ in 0..<workers {
                group.addTask {
                    // Whoever waits for this worker is let go before it ends: the group waits for all.
                    do throws(BackupError) { return .success(try write(queue)) } catch {
                        queue.abandon()
                        return .failure(error)
                    }
                }
            }
            var tally = Tally()
            var failures: [BackupError] = []
            for await result in group {
                switch result {
                case .success(let part):
                    tally.written += part.written
                    tally.kept += part.kept
                case .failure(let error): failures.append(error)
                }
            }
            // Whoever was let go ends with the error of another, which is the one to tell.
            if let failure = failures.first(where: { $0 != Self.stopped }) ?? failures.first {
                return .failure(failure)
            }
            return .success(tally)
        }
        return try result.get()
    }

    private func makeFiles(for queue: BoundedQueue<Work>) throws(BackupError) {
        guard let table = manifest.artefact(.files) else {
            throw BackupError(
                .objectDamaged, "The manifest of backup \(manifest.id) cannot be believed.",
                reason: "it names no table of files", remedy: "Use another backup.")
        }
        let files = RestoredTreeFiles(tree)
        var work = Work()
        var hasControl = false
        // Files of which a line does not have all content.
        var begun: Set<DataPath> = []
        try StoredArtefact(table, of: manifest.id, in: repository).forEachLine { bytes throws(BackupError) in
            try Task.checkNotCancelled()
            var line = try RepositoryJSON.decodePlain(FileTableLine.self, from: bytes, name: table.name)
            guard !line.isDirectory else { return try files.makeDirectory(line.path, mode: line.mode) }
            if line.path == DataPath("global/pg_control") {
                hasControl = true
                line.path = Self.control
            }
            let target = try target(of: line, files, &begun)
            for extent in line.extents {
                let isNext = !(work.frames.last?.canTake(extent) ?? false)
                if isNext, work.bytes >= Self.share {
                    guard queue.put(work) else { throw Self.stopped }
                    work = Work()
                }
                if isNext { work.frames.append(FramePieces(frame: extent.frame)) }
                work.frames[work.frames.count - 1].append(extent, of: target)
                work.bytes += extent.length
            }
        }
        if !work.frames.isEmpty { _ = queue.put(work) }
        guard hasControl else {
            throw BackupError(
                .objectDamaged, "Backup \(manifest.id) has no pg_control.",
                reason: "its table of files does not name it",
                remedy: "Use another backup ('apex-backup list').")
        }
    }

    /// The file whose content a line has, made unless it has only one piece.
    private func target(
        of line: FileTableLine, _ files: RestoredTreeFiles, _ begun: inout Set<DataPath>
    ) throws(BackupError) -> FramePieces.Target {
        let isComplete = line.isComplete
        if isComplete, line.extents.count == 1 { return .whole(line.path, size: line.size, mode: line.mode) }
        let isBegun = begun.contains(line.path)
        let file = try files.open(line.path, mode: line.mode, isBegun: isBegun)
        if !isComplete, !isBegun {
            // What no piece covers is zeros, whatever was there.
            if tree.isRewritten { try file.setSize(0) }
            begun.insert(line.path)
        }
        if try file.size() != line.size { try file.setSize(line.size) }
        return .part(file)
    }

    /// What the one who makes files ends with when those who write have ended: their error came first.
    private static let stopped = BackupError(
        .interrupted, "The files were not made to the end, because they are written no more.",
        remedy: "See the error that came with this one.")

    private func write(_ queue: BoundedQueue<Work>) throws(BackupError) -> Tally {
        guard let objects = repository.layout.incarnationObjects(manifest.systemIdentifier) else { return Tally() }
        let writer = FilePieceWriter(
            reader: try FrameReader(repository, objects), files: RestoredTreeFiles(tree), isRewriting: tree.isRewritten)
        while let work = queue.take() {
            for frame in work.frames { try writer.write(frame) }
        }
        return writer.tally
    }
}

extension FileTableLine {
    /// Whether its extents have all content of the file, one after the other.
    fileprivate var isComplete: Bool {
        var end: Int64 = 0
        for extent in extents {
            guard extent.fileOffset == end else { return false }
            end += extent.length
        }
        return end == size
    }
}
