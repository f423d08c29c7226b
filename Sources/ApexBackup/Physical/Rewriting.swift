import BackupModel
import BackupStorage

/// What a restore over an existing data directory will find, made before anything is touched.
package struct RewriteForecast: Sendable, Codable, Hashable {
    /// Files of the backup that are there: they are compared, and written where they differ.
    package var compared: Int
    /// Files of the backup that are not there.
    package var missing: Int
    /// Files, links and whole directories that the backup does not have, and which are removed.
    package var removed: Int
    /// The bytes of the files that are there.
    package var existingBytes: Int64
}

/// A restore over the data directory of the same cluster, of which what is right stays.
struct Rewriting: Sendable {
    let existing: ExistingCluster
    let forecast: RewriteForecast
    /// What its `pg_wal` had and the archive did not when this was planned; of a `pg_wal` that is a link, nothing is
    /// touched.
    let unarchived: UnarchivedWAL
    private let archive: WALArchive
    private let segmentSize: WALSegmentSize
    private let paths: BackupPaths
    private let tablespaces: [UInt32: String]

    /// Looks through what is there; nothing is changed.
    init(
        _ existing: ExistingCluster, of manifest: BackupManifest, archive: WALArchive, segmentSize: WALSegmentSize,
        tablespaces: [UInt32: String]
    ) throws(BackupError) {
        self.existing = existing
        self.tablespaces = tablespaces
        self.archive = archive
        self.segmentSize = segmentSize
        let repository = archive.repository
        let paths = try BackupPaths(of: manifest, in: repository)
        self.paths = paths
        var forecast = RewriteForecast(compared: 0, missing: 0, removed: 0, existingBytes: 0)
        func count(_ directory: DataDirectory, _ tablespace: UInt32?) throws(BackupError) {
            let removed = try directory.sweep(removes: false) { found in
                let fate = paths.fate(of: found, in: tablespace, places: tablespaces)
                if fate == .stays, found.kind == .file {
                    forecast.compared += 1
                    forecast.existingBytes += found.size
                }
                return fate
            }
            forecast.removed += removed
        }
        do { try count(existing.directory, nil) } catch { throw error.leaving(ExistingCluster.untouched) }
        for (oid, place) in tablespaces {
            guard let directory = try DataDirectory(at: place), try !directory.isEmpty else { continue }
            guard try existing.directory.target(ofLink: RestoredTree.link(to: oid)) == place else {
                throw BackupError(
                    .targetNotEmpty, "The directory '\(place)' is not empty.",
                    reason: "it is not where the tablespace \(oid) of '\(existing.directory.path)' is",
                    remedy: "Name that place, or an empty directory.", unchanged: ExistingCluster.untouched)
            }
            try count(directory, oid)
        }
        do {
            unarchived = try UnarchivedWAL(in: existing.directory, segmentSize: segmentSize, archive: archive)
        } catch { throw error.leaving(ExistingCluster.untouched) }
        forecast.removed = max(0, forecast.removed - unarchived.names.count)
        forecast.missing = max(0, paths.fileCount - forecast.compared)
        self.forecast = forecast
    }

    /// Takes the control file away, keeps the WAL that the archive lacks, and takes away what the backup does not have;
    /// returns the tree that is to be written.
    ///
    /// Nothing goes before all places are there and can be written to.
    func begin(_ run: RunID) async throws -> (tree: RestoredTree, kept: KeptWAL?) {
        let main = existing.directory
        let directories: [UInt32: DataDirectory]
        let unarchived: UnarchivedWAL
        do {
            try await existing.requireSilence()
            try main.own()
            directories = try openTablespaces()
            // While somebody was asked to confirm, a server may have run here and written more.
            unarchived = try UnarchivedWAL(in: main, segmentSize: segmentSize, archive: archive)
            try existing.setControlAside()
        } catch {
            var known = RunLog.describe(error)
            known.unchanged = ExistingCluster.untouched
            throw known
        }
        let kept = try unarchived.keep(in: main, for: run)
        try sweep(main, nil)
        for (oid, directory) in directories { try sweep(directory, oid) }
        return (try RestoredTree(rewriting: main, tablespaces: directories), kept)
    }

    private func openTablespaces() throws(BackupError) -> [UInt32: DataDirectory] {
        var directories: [UInt32: DataDirectory] = [:]
        for (oid, place) in tablespaces {
            if let directory = try DataDirectory(at: place), try !directory.isEmpty {
                try directory.own()
                directories[oid] = directory
            } else {
                directories[oid] = try DataDirectory(making: place)
            }
        }
        return directories
    }

    private func sweep(_ directory: DataDirectory, _ tablespace: UInt32?) throws(BackupError) {
        _ = try directory.sweep(removes: true) { paths.fate(of: $0, in: tablespace, places: tablespaces) }
    }
}

/// The paths of a backup, 16 bytes for each, to tell what else is in a directory.
private struct BackupPaths: Sendable {
    private struct Mark: Hashable {
        var first: UInt64 = 0
        var second: UInt64 = 0

        init(_ path: DataPath) {
            let digest = SHA256.digest(of: path.bytes.span).bytes
            for byte in digest[..<8] { first = first << 8 | UInt64(byte) }
            for byte in digest[8..<16] { second = second << 8 | UInt64(byte) }
        }
    }

    private var files: Set<Mark> = []
    private var directories: Set<Mark> = []

    var fileCount: Int { files.count }

    init(of manifest: BackupManifest, in repository: Repository) throws(BackupError) {
        guard let table = manifest.artefact(.files) else { return }
        var (files, directories) = (files, directories)
        try StoredArtefact(table, of: manifest.id, in: repository).forEachLine { bytes throws(BackupError) in
            let line = try RepositoryJSON.decodePlain(FileTableLine.self, from: bytes, name: table.name)
            if line.isDirectory { directories.insert(Mark(line.path)) } else { files.insert(Mark(line.path)) }
        }
        self.files = files
        self.directories = directories
    }

    /// What becomes of what was found in the data directory, or in a tablespace's.
    func fate(
        of found: DataDirectory.Found, in tablespace: UInt32?, places: [UInt32: String]
    ) -> DataDirectory.Fate {
        guard let inner = found.path,
            let path = tablespace.map({ RestoredTree.link(to: $0).appending(inner) }) ?? inner
        else { return .goes }
        if tablespace == nil, path == UnarchivedWAL.folder { return .stays }
        let mark = Mark(path)
        let (isFile, isDirectory) = (files.contains(mark), directories.contains(mark))
        switch found.kind {
        case .directory where isDirectory: return .isEntered
        case .file where isFile || path == ExistingCluster.aside: return .stays
        case .link(let target) where places.contains { RestoredTree.link(to: $0.key) == path && $0.value == target }:
            return .stays
        // Another major version of PostgreSQL may keep its part of a tablespace beside this one's.
        default:
            return tablespace != nil && inner.components.count == 1 && !isFile && !isDirectory ? .stays : .goes
        }
    }
}
