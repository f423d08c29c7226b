import BackupModel
import BackupStorage
import PostgresAccess

/// What a physical backup consists of, gathered until it is committed.
struct PhysicalSet {
    let run: RunID
    let repository: Repository
    let source: PhysicalSource
    let captured: CapturedBaseBackup
    private var artefacts: [Artefact] = []
    private var configuration: [PhysicalRecord.ConfigurationFile] = []

    init(run: RunID, repository: Repository, source: PhysicalSource, captured: CapturedBaseBackup) {
        self.run = run
        self.repository = repository
        self.source = source
        self.captured = captured
    }

    /// Stores the small artefacts: the list of packs, the label, the map of tablespaces, configuration files.
    mutating func storeSmall() throws(BackupError) {
        let packs = captured.packs.sorted { $0.pack < $1.pack }
        artefacts = [captured.tables.files, captured.tables.serverManifest]
        artefacts.append(try storeLines(packs, as: "packs.jsonl.zst", role: .packs, of: run, in: repository))
        try store(captured.received.label, as: "backup_label", role: .label)
        if let map = captured.received.tablespaceMap { try store(map, as: "tablespace_map", role: .tablespaceMap) }
        for file in source.configuration {
            let name = "\(file.setting).conf"
            try store(file.content, as: name, role: .configuration)
            configuration.append(.init(setting: file.setting, path: file.path, artefact: name))
        }
    }

    private mutating func store(_ bytes: [UInt8], as name: String, role: Artefact.Role) throws(BackupError) {
        artefacts.append(try storeBytes(bytes, as: name, role: role, of: run, in: repository))
    }

    private func damageWarning(_ end: BaseBackupEnd) -> [String] {
        guard let damage = end.damage else { return [] }
        return [
            "SOURCE DAMAGED: the server found bad pages: \([damage.message, end.notices.first?.message].compactMap(\.self).joined(separator: "; "))"
        ]
    }

    /// Up to when all that was committed is in the backup, on the server's clock.
    ///
    /// What a standby was sent is known by the times that its WAL carries, and by nothing else: it may lag.
    private func recoveryPoint(_ clockDifference: Duration) -> Timestamp {
        let lastFile = captured.received.lastFileAt.advanced(by: clockDifference)
        guard source.facts.inRecovery else { return lastFile }
        return min(lastFile, captured.latestRecord ?? source.facts.clock)
    }

    /// The manifest of all that was stored, with the guide to it.
    mutating func manifest(
        startedAt: Timestamp, clockDifference: Duration, phases: [PhaseDuration], settings: [String: String]
    ) throws(BackupError) -> BackupManifest {
        let (start, end, tables) = (captured.received.start, captured.end, captured.tables)
        let packBytes = captured.packs.reduce(0) { $0 + $1.bytes }
        let record = PhysicalRecord(
            start: start.lsn, stop: end.lsn, timeline: start.timeline,
            walSegmentBytes: Int64(source.segmentSize.bytes), files: tables.fileCount, packs: captured.packs.count,
            tablespaces: start.tablespaces.compactMap { tablespace in
                tablespace.oid.map { PhysicalRecord.Tablespace(oid: $0, location: tablespace.location ?? "") }
            }, configuration: configuration, configurationMissing: source.configurationMissing,
            damage: end.damage.map { [$0.message] + end.notices.prefix(50).map(\.message) },
            superuser: source.superuser,
            collations: source.collations)
        let guide = PhysicalRestoreGuide(
            id: run, cluster: repository.layout.cluster, systemIdentifier: source.facts.systemIdentifier,
            server: source.facts, record: record, contentBytes: tables.contentBytes, artefacts: artefacts)
        try store(Array(guide.text.utf8), as: "RESTORE.md", role: .guide)
        return BackupManifest(
            id: run, cluster: repository.layout.cluster, systemIdentifier: source.facts.systemIdentifier,
            kind: .physical, startedAt: startedAt, finishedAt: repository.environment.clocks.wall(),
            recoveryPoint: recoveryPoint(clockDifference), server: source.facts,
            tools: ["apex-backup": repository.environment.toolVersion],
            totals: BackupTotals(
                contentBytes: tables.contentBytes,
                storedBytes: packBytes + artefacts.reduce(0) { $0 + $1.storedBytes }, databases: source.databases,
                tables: 0, rows: 0),
            databases: nil, physical: record, artefacts: artefacts, passwordsMissing: false,
            warnings: source.warnings + damageWarning(end), phases: phases, settings: settings,
            previousManifest: try Catalogue(repository).newestManifestDigest())
    }
}
