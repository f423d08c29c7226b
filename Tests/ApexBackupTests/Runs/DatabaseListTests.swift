import BackupModel
import BackupStorage
import PostgresAccess
import TestSupport
import Testing

@testable import ApexBackup

@Suite struct `The list of databases of a backup` {
    private let directory: TemporaryDirectory
    private let repository: Repository

    init() throws {
        directory = try TemporaryDirectory()
        repository = try CraftedRepository(at: directory.path(of: "repository")).open()
    }

    private func stored(_ number: Int, rows: Int64 = 1) -> StoredDump {
        let digest = SHA256.digest(of: [UInt8]().span)
        let name = "db-\(number).dump.gz"
        let artefact = Artefact(
            name: name, role: .dump, compression: .none, contentBytes: 0, contentSHA256: digest,
            volumes: [StoredVolume(name: name, bytes: 0, sha256: digest)])
        let properties = DatabaseProperties(
            owner: "postgres", encoding: "UTF8", collate: "C", ctype: "C", localeProvider: "c", locale: nil,
            icuRules: nil, collationVersion: nil, tablespace: "pg_default", connectionLimit: -1, comment: nil,
            grants: nil, settings: [])
        let record = DatabaseRecord(
            oid: UInt32(number), name: "database \(number)", properties: properties,
            snapshot: SnapshotPoint(
                clock: Timestamp(microseconds: 1), lsn: LogSequenceNumber(position: 1), timeline: 1),
            extensions: [], schemaFingerprint: digest, format: .custom, artefact: name, contentBytes: 0, tables: 1,
            rows: rows, largeObjects: nil, seconds: 1)
        return StoredDump(database: record, artefact: artefact, lines: [])
    }

    private func manifest(of dumps: [StoredDump], warnings: [String] = []) async throws -> BackupManifest {
        let facts = ServerFacts(
            version: "15.15", versionNumber: 150_015, systemIdentifier: CraftedRepository.systemIdentifier,
            inRecovery: false, timeline: 1, currentLSN: LogSequenceNumber(position: 0),
            clock: Timestamp(microseconds: 1), dataChecksums: true, encoding: "UTF8", isSuperuser: true,
            canReadRolePasswords: true)
        let source = DumpSource(
            connection: try ConnectionSettings(parsing: "host=/nowhere"), facts: facts,
            tools: try await PostgresCluster.shared().tools, role: "postgres", databases: [], warnings: warnings)
        var set = BackupSet(run: RunID(at: Timestamp(microseconds: 1), chance: 1), repository: repository)
        set.add(dumps)
        return try set.manifest(of: source, startedAt: Timestamp(microseconds: 1), phases: [], settings: [:])
    }

    @Test(arguments: [1, 50, 51, 400])
    func `is in the manifest or beside it, and the manifest is never too large`(count: Int) async throws {
        let dumps = (1...count).map { stored($0) }
        let manifest = try await manifest(of: dumps)
        #expect(try RepositoryJSON.encode(manifest).count <= BackupSet.largestManifest)
        if count > 50 { #expect(manifest.databases == nil) }
        if count == 1 { #expect(manifest.databases?.count == 1) }
        #expect(manifest.totals.databases == count)
        let read = try Catalogue(repository).databases(of: manifest)
        #expect(read.databases == dumps.map(\.database))
        #expect(read.artefacts.filter { $0.role == .dump } == dumps.map(\.artefact))
    }

    @Test func `makes no backup fail whose warnings are many, and no manifest that cannot be read back`() async throws {
        let warnings = (1...500).map { "data missing: \($0) \(String(repeating: "x", count: 400))" }
        let manifest = try await manifest(of: [stored(1)], warnings: warnings)
        #expect(try RepositoryJSON.encode(manifest).count <= BackupSet.largestManifest)
        #expect(manifest.warnings.first == warnings[0])
        #expect(manifest.warnings.last == "and \(500 - manifest.warnings.count + 1) more warnings")
    }

    @Test func `that is nowhere is damage, and not a backup of nothing`() async throws {
        var manifest = try await manifest(of: [stored(1)])
        manifest.databases = nil
        let error = #expect(throws: BackupError.self) { try Catalogue(repository).databases(of: manifest) }
        #expect(error?.code == .objectDamaged)
    }

    @Test(arguments: [51, 1])
    func `with numbers that cannot be is damage, wherever it is`(count: Int) async throws {
        let manifest = try await manifest(of: (1...count).map { stored($0, rows: 1 << 51) })
        if count == 1 {
            #expect(!manifest.hasPossibleNumbers)
        } else {
            let error = #expect(throws: BackupError.self) { try Catalogue(repository).databases(of: manifest) }
            #expect(error?.code == .objectDamaged)
        }
    }
}
