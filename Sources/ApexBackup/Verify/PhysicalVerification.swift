import BackupModel
import BackupStorage

/// Reads the packs and the WAL of a physical backup back.
struct PhysicalVerification {
    private let manifest: BackupManifest
    private let record: PhysicalRecord
    private let level: BackupVerification.Level
    private let repository: Repository
    private let objectsLayout: IncarnationLayout
    private(set) var problems: [BackupError] = []
    private(set) var objects = 0
    private(set) var bytes: Int64 = 0

    init(
        _ manifest: BackupManifest, level: BackupVerification.Level, in repository: Repository
    ) throws(BackupError) {
        guard let record = manifest.physical,
            let layout = repository.layout.incarnationObjects(manifest.systemIdentifier)
        else {
            throw BackupError(
                .objectDamaged, "The manifest of backup \(manifest.id) cannot be believed.",
                reason: "it does not say where its files are", remedy: "Use another backup.")
        }
        self.manifest = manifest
        self.record = record
        self.level = level
        self.repository = repository
        objectsLayout = layout
    }

    mutating func run() throws(BackupError) {
        for line in try packs() {
            try Task.checkNotCancelled()
            repository.environment.events(
                .progress(subject: line.pack, bytes: bytes, of: manifest.totals.storedBytes))
            add(try Self.problem { () throws(BackupError) in try check(line) })
            objects += 1
            bytes += line.bytes
        }
        try checkWAL()
        if level == .deep { try readFiles() }
    }

    /// The packs that the backup names; a list that cannot be read was reported with the artefacts.
    private func packs() throws(BackupError) -> [PackLine] {
        guard let list = manifest.artefact(.packs) else { return [] }
        var lines: [PackLine] = []
        do {
            try StoredArtefact(list, of: manifest.id, in: repository).forEachLine { line throws(BackupError) in
                lines.append(try RepositoryJSON.decodePlain(PackLine.self, from: line, name: list.name))
            }
        } catch {
            guard BackupVerification.isProblem(error.code) else { throw error }
        }
        return lines
    }

    private func check(_ line: PackLine) throws(BackupError) {
        guard let name = PackName(parsing: line.pack) else { throw Self.damaged("'\(line.pack)' is not a pack's name") }
        let key = objectsLayout.pack(name)
        if level == .list {
            let found = try repository.storage.info(key)
            guard found?.size != line.bytes else { return }
            throw BackupError(
                found == nil ? .objectMissing : .objectDamaged,
                found.map { "The pack '\(key)' has \($0.size) bytes instead of \(line.bytes)." }
                    ?? "The pack '\(key)' is missing.",
                remedy: "Use another backup ('apex-backup list'); this one is damaged.")
        }
        let proof = ObjectProof(of: key)
        try repository.storage.read(key, into: proof)
        try proof.finish()
        guard proof.proof == line.proof, proof.byteCount == line.bytes else {
            throw Self.damaged("the pack '\(key)' is another than the one that was stored")
        }
    }

    /// The segments from the backup's start to its stop, without which its files are not consistent.
    private mutating func checkWAL() throws(BackupError) {
        let archive = try WALArchive(repository, systemIdentifier: manifest.systemIdentifier)
        for segment in record.neededSegments {
            try Task.checkNotCancelled()
            let problem = try Self.problem { () throws(BackupError) in
                guard let end = try archive.storedEnd(of: segment), end >= min(segment.end, record.stop) else {
                    throw WALArchive.missing(segment)
                }
                if level != .list { try archive.read(segment) }
            }
            add(problem)
            objects += 1
        }
    }

    /// Reads every frame that a file needs, and compares its content with its digest.
    private mutating func readFiles() throws(BackupError) {
        guard let table = manifest.artefact(.files) else { return }
        let reader = try FrameReader(repository, objectsLayout)
        let problem = try Self.problem { () throws(BackupError) in
            try StoredArtefact(table, of: manifest.id, in: repository).forEachLine { line throws(BackupError) in
                let line = try RepositoryJSON.decodePlain(FileTableLine.self, from: line, name: table.name)
                for extent in line.extents { try reader.read(extent.frame) { _ in } }
            }
        }
        add(problem)
    }

    private mutating func add(_ problem: BackupError?) { if let problem { problems.append(problem) } }

    /// What `step` found, where that is something to tell of the backup.
    private static func problem(_ step: () throws(BackupError) -> Void) throws(BackupError) -> BackupError? {
        do { try step() } catch {
            guard BackupVerification.isProblem(error.code) else { throw error }
            return error
        }
        return nil
    }

    private static func damaged(_ reason: String) -> BackupError {
        BackupError(
            .objectDamaged, "A pack of the backup is damaged.", reason: reason,
            remedy: "Use another backup ('apex-backup list'); this one is damaged.")
    }
}
