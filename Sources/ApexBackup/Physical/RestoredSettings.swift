import BackupModel
import BackupStorage

/// Writes the configuration of a restored data directory: it starts on itself, recovers as planned, and archives nowhere.
struct RestoredSettings {
    let prepared: PhysicalRestore.Prepared
    let repository: Repository
    let directory: DataDirectory
    let request: PhysicalRestore.Request

    /// Where WAL is put beside the data.
    static let stage = "apex-backup-wal"

    private static let largestFile = 64 << 20

    private var manifest: BackupManifest { prepared.manifest }
    private var record: PhysicalRecord { prepared.record }
    private var recovery: RecoveryPlan { prepared.recovery }

    func write() throws(BackupError) {
        let outside = try captured()
        var settings = outside["config_file"]
        if settings == nil { settings = try inside("postgresql.conf") }
        let configuration = CapturedConfiguration(
            settings: settings,
            alteredSettings: try inside("postgresql.auto.conf"),
            hostAccess: try place("hba_file", "pg_hba.conf", outside),
            userMaps: try place("ident_file", "pg_ident.conf", outside))
        let restored = try RestoredConfiguration(
            from: configuration, as: request.asPrimary ? .primary : .clone,
            recovery: RecoverySettings(
                restoreCommand: restoreCommand, target: recovery.target, isInclusive: recovery.isInclusive,
                timeline: recovery.timeline, action: request.action),
            needed: try control().hotStandby.raised(by: prepared.parameterChanges),
            missing: missing(of: configuration))
        for file in restored.files + restored.originals {
            try directory.replaceFile(DataPath(file.name), content: file.bytes)
        }
        for name in restored.absent { try directory.removeFile(DataPath(name)) }
        for name in restored.present { try directory.replaceFile(DataPath(name), content: []) }
        try directory.replaceFile(DataPath(CollationScript.fileName), content: Array(CollationScript.text.utf8))
        if let artefact = manifest.artefact(.label) {
            try directory.replaceFile(DataPath("backup_label"), content: content(of: artefact))
        }
        for note in restored.notes { repository.environment.warn(Self.text(of: note)) }
    }

    /// What the restored cluster says of itself; it must be the one that was backed up.
    private func control() throws(BackupError) -> ControlFile {
        let bytes = try directory.content(of: FileRestore.control, limit: ControlFile.size)
        let control = try ControlFile(parsing: bytes ?? [], named: "global/pg_control")
        guard "\(control.systemIdentifier)" == manifest.systemIdentifier else {
            throw BackupError(
                .objectDamaged, "The control file of backup \(manifest.id) is of another cluster.",
                reason: "its system identifier is \(control.systemIdentifier), and the manifest says "
                    + manifest.systemIdentifier, remedy: "Use another backup ('apex-backup list').")
        }
        return control
    }

    /// PostgreSQL's shell copies what is beside the data; a segment that is not there is the end of the WAL.
    private var restoreCommand: String {
        if let archive = request.archive {
            return archive.recovery(of: manifest.systemIdentifier, pieces: prepared.pieces)
        }
        let path = "\(request.directory)/\(Self.stage)".escaping(["%": "%%", "'": #"'\''"#])
        return "cp '\(path)/%f' '%p'"
    }

    /// The configuration files that were outside the data directory, by the setting that named them.
    private func captured() throws(BackupError) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for file in record.configuration {
            guard let artefact = manifest.artefacts.first(where: { $0.name == file.artefact }) else { continue }
            files[file.setting] = try content(of: artefact)
        }
        return files
    }

    private func content(of artefact: Artefact) throws(BackupError) -> [UInt8] {
        let sink = CollectingSink(limit: Self.largestFile)
        try StoredArtefact(artefact, of: manifest.id, in: repository).readContent(into: sink)
        return sink.bytes
    }

    private func inside(_ name: String) throws(BackupError) -> [UInt8]? {
        try directory.content(of: DataPath(name), limit: Self.largestFile)
    }

    /// One in the data directory that includes others is taken like one from outside: they may not be there.
    private func place(
        _ setting: String, _ name: String, _ outside: [String: [UInt8]]
    ) throws(BackupError) -> CapturedConfiguration.Place {
        if let bytes = outside[setting] { return .outside(bytes) }
        if record.configurationMissing { return .outside(nil) }
        guard let bytes = try inside(name), !HostAccessText(neutralising: bytes).inclusions.isEmpty else {
            return .inside
        }
        return .outside(bytes)
    }

    private func missing(of configuration: CapturedConfiguration) -> Set<String> {
        Set(configuration.outsidePaths.map(\.path).filter { !HostFacts.exists($0) })
    }

    private static func text(of note: RestoredConfiguration.Note) -> String {
        switch note {
        case .inclusionLost(let file, let line): "line \(line) of \(file) included another file: what it set is lost"
        case .settingsMissing: "the backup has no postgresql.conf: PostgreSQL's own settings are taken"
        case .hostAccessMissing: "the backup has no pg_hba.conf: only peers on this host are let in"
        case .encryptionOff(let path): "TLS is off: '\(path)' is not there"
        case .socketsMoved: "the server's socket is in /tmp: its source's directory is not there"
        case .raised(let name, let value): "\(name) was raised to \(value), which its WAL needs"
        case .librariesDropped(let setting, let dropped):
            "\(setting) was shortened by \(dropped.map(\.name).joined(separator: ", "))"
        case .archivingStaysOff: "the source archived nowhere, and so the restored server does not archive either"
        }
    }
}
