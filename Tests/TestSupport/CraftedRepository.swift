package import ApexBackup
package import BackupModel
package import BackupStorage

/// A repository with backups of any age, whole and readable, that no server was asked for.
package struct CraftedRepository: Sendable {
    package static let systemIdentifier = "7000000000000000001"
    package let path: String
    package let environment: BackupEnvironment

    /// Makes the repository in the directory `path`, which must be empty or absent, and registers the cluster `apex`.
    package init(at path: String, environment: BackupEnvironment = BackupEnvironment()) throws {
        self.path = path
        self.environment = environment
        let storage = PosixStorage(root: path)
        try storage.makeRoot()
        let (repository, _) = try Repository.create(storage, layout: try Self.layout, environment: environment)
        try repository.recordIncarnation(
            ClusterIncarnation(
                systemIdentifier: Self.systemIdentifier, major: 15, firstSeen: environment.clocks.wall()))
    }

    private static var layout: RepositoryLayout {
        get throws {
            guard let layout = RepositoryLayout(cluster: "apex") else { throw CraftingFailure() }
            return layout
        }
    }

    /// Opens it anew, through `storage` if one is given.
    package func open(
        _ storage: (any Storage)? = nil, environment: BackupEnvironment? = nil
    ) throws -> Repository {
        try Repository.open(
            storage ?? PosixStorage(root: path), layout: Self.layout, environment: environment ?? self.environment)
    }

    /// Adds a committed backup that started `age` ago, with one file; its manifest names `databases`, of which it has
    /// no dumps, or nothing at all.
    @discardableResult
    package func addBackup(
        age: Duration, chance: UInt16 = 1, content: String = "content", systemIdentifier: String = systemIdentifier,
        settings: [String: String] = [:], databases: [String]? = []
    ) throws -> RunID {
        let repository = try open()
        let start = environment.clocks.wall().advanced(by: .zero - age)
        let id = RunID(at: start, chance: chance)
        let bytes = Array("\(content) of \(id)".utf8)
        let digest = SHA256.digest(of: bytes.span)
        let name = "RESTORE.md"
        guard let key = repository.layout.volume(name, of: id) else { throw CraftingFailure() }
        _ = try repository.storage.putIfAbsent(key, bytes)
        let artefact = Artefact(
            name: name, role: .guide, compression: .none, contentBytes: Int64(bytes.count), contentSHA256: digest,
            volumes: [StoredVolume(name: name, bytes: Int64(bytes.count), sha256: digest)])
        let server = ServerFacts(
            version: "15.15", versionNumber: 150_015, systemIdentifier: systemIdentifier, inRecovery: false,
            timeline: 1, currentLSN: LogSequenceNumber(position: 0), clock: start, dataChecksums: true,
            encoding: "UTF8", isSuperuser: true, canReadRolePasswords: true)
        let manifest = BackupManifest(
            id: id, cluster: "apex", systemIdentifier: systemIdentifier, kind: .logical, startedAt: start,
            finishedAt: start.advanced(by: .seconds(1)), recoveryPoint: start, server: server, tools: [:],
            totals: BackupTotals(
                contentBytes: Int64(bytes.count), storedBytes: Int64(bytes.count), databases: databases?.count ?? 0,
                tables: 0, rows: 0),
            databases: databases?.map { Self.database($0, at: start) },
            artefacts: [artefact] + (databases ?? []).map { Self.dump(of: $0, digest) }, passwordsMissing: false,
            warnings: [], phases: [], settings: settings,
            previousManifest: nil)
        _ = try repository.put(manifest, at: repository.layout.manifest(id))
        return id
    }

    /// Adds a committed physical backup of no files.
    @discardableResult
    package func addPhysicalBackup(_ record: PhysicalRecord, finishedAt end: Timestamp) throws -> RunID {
        let repository = try open()
        let start = end.advanced(by: .seconds(-1))
        let id = RunID(at: start, chance: 3)
        let server = ServerFacts(
            version: "15.15", versionNumber: 150_015, systemIdentifier: Self.systemIdentifier, inRecovery: false,
            timeline: record.timeline, currentLSN: record.stop, clock: start, dataChecksums: true, encoding: "UTF8",
            isSuperuser: true, canReadRolePasswords: true)
        let manifest = BackupManifest(
            id: id, cluster: "apex", systemIdentifier: Self.systemIdentifier, kind: .physical, startedAt: start,
            finishedAt: end, recoveryPoint: end, server: server, tools: [:],
            totals: BackupTotals(contentBytes: 0, storedBytes: 0, databases: 0, tables: 0, rows: 0), databases: [],
            physical: record, artefacts: [], passwordsMissing: false, warnings: [], phases: [], settings: [:],
            previousManifest: nil)
        _ = try repository.put(manifest, at: repository.layout.manifest(id))
        return id
    }

    private static func database(_ name: String, at clock: Timestamp) -> DatabaseRecord {
        DatabaseRecord(
            oid: 1, name: name,
            properties: DatabaseProperties(
                owner: "postgres", encoding: "UTF8", collate: "C", ctype: "C", localeProvider: "c", locale: nil,
                icuRules: nil, collationVersion: nil, tablespace: "pg_default", connectionLimit: -1, comment: nil,
                grants: nil, settings: []),
            snapshot: SnapshotPoint(clock: clock, lsn: LogSequenceNumber(position: 1), timeline: 1), extensions: [],
            schemaFingerprint: SHA256.digest(of: [UInt8]().span), format: .custom, artefact: dumpName(name),
            contentBytes: 0, tables: 0, rows: 0, largeObjects: nil, seconds: 0)
    }

    private static func dumpName(_ database: String) -> String { "db-\(database).dump.gz" }

    private static func dump(of database: String, _ digest: SHA256Digest) -> Artefact {
        Artefact(
            name: dumpName(database), role: .dump, compression: .gzip(level: 1), contentBytes: 0, contentSHA256: digest,
            volumes: [])
    }

    /// Adds what a run that died has left: its mark under `epoch` of the lease, and a stored file.
    @discardableResult
    package func addLeftover(age: Duration, epoch: Int, chance: UInt16 = 2) throws -> RunID {
        let repository = try open()
        let id = RunID(at: environment.clocks.wall().advanced(by: .zero - age), chance: chance)
        _ = try repository.put(
            RunningBackup(kind: .logical, leaseEpoch: epoch, baseline: nil), at: repository.layout.running(id))
        guard let key = repository.layout.volume("db-1.dump.gz", of: id) else { throw CraftingFailure() }
        _ = try repository.storage.putIfAbsent(key, Array("unfinished".utf8))
        return id
    }

    /// The names of a backup's objects.
    package func objects(of id: RunID) throws -> [String] {
        let repository = try open()
        return try repository.storage.children(of: repository.layout.backup(id))
    }
}

/// A repository could not be crafted: a defect of the test.
package struct CraftingFailure: Error {
    package init() {}
}

extension CraftedRepository {
    /// Adds a backup that started so many seconds ago, or in the future when negative, and returns its name.
    @discardableResult
    package func addBackup(secondsAgo: Int) throws -> String { try addBackup(age: .seconds(secondsAgo)).text }
}
