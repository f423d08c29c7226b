import BackupModel
import PostgresAccess

/// A server that was looked at and found fit for a base backup.
struct PhysicalSource: Sendable {
    let connection: ConnectionSettings
    let facts: ServerFacts
    let segmentSize: WALSegmentSize
    /// The quoted name of the role that is connected.
    let role: String
    let databases: Int
    /// The size of all databases that the role may see the size of.
    let sizeBytes: Int64
    /// A role that may do everything: whoever starts a restored copy connects as it.
    let superuser: String?
    /// What its text indexes were built with.
    let collations: CollationRecord
    let warnings: [String]
    /// The configuration files that are not where a server looks for them by itself, and could be read.
    let configuration: [ConfigurationFile]
    /// Whether there are such files that the role may not read.
    let configurationMissing: Bool

    /// A configuration file as the server has it.
    struct ConfigurationFile: Sendable, Hashable {
        /// The setting that names it: `config_file`, `hba_file`, `ident_file`.
        var setting: String
        var path: String
        var content: [UInt8]
    }

    /// Connects, and refuses what cannot work before anything is written.
    static func open(
        _ connection: ConnectionSettings, into repository: Repository,
        wal: BackupPolicy.PhysicalSettings.WALCapture
    ) async throws -> PhysicalSource {
        try await PostgresSession.with(
            connection, applicationName: "apex-backup", timeout: DumpSource.connectTimeout
        ) { session in
            let facts = try await session.serverFacts()
            // What a database sets could put objects of its own before PostgreSQL's.
            try await session.execute("SET search_path = ''")
            try repository.requireIncarnation(facts.systemIdentifier)
            guard facts.major >= 15 else { throw tooOld(facts) }
            if wal == .archive, facts.inRecovery { throw isStandby(connection) }
            let row = try await session.query(factsQuery)
            func value(_ column: String) throws -> String {
                guard let value = row.value(0, column) else { throw unexpectedAnswer(column) }
                return value
            }
            guard let segmentSize = WALSegmentSize(bytes: Int64(try value("segment_bytes")) ?? 0) else {
                throw unexpectedAnswer("wal_segment_size")
            }
            let role = try await DumpRight.role(of: session)
            try requireRights(may: try value("may_replicate") == "t", role: role)
            try requireSettings(
                level: try value("wal_level"), senders: Int(try value("max_wal_senders")) ?? 0,
                used: Int(try value("senders_used")) ?? 0, needed: wal == .stream ? 2 : 1)
            if wal == .archive, try value("archive_mode") == "off", try value("senders_used") == "0" {
                throw notArchived(connection)
            }
            let (files, missing) = try await configuration(in: session)
            var warnings: [String] = []
            if missing {
                warnings.append(
                    "configuration files missing: they are not at their usual places in the data directory, and the role may "
                        + "not read them")
            }
            if !facts.dataChecksums {
                warnings.append("the cluster has no data checksums: damaged pages cannot be found while they are read")
            }
            let collations = try await CollationInquiry(server: connection).record(in: session)
            return PhysicalSource(
                connection: connection, facts: facts, segmentSize: segmentSize, role: role,
                databases: Int(try value("databases")) ?? 0,
                sizeBytes: row.value(0, "size_bytes").flatMap { Int64($0) } ?? 0, superuser: row.value(0, "superuser"),
                collations: collations, warnings: warnings + collations.sourceWarnings, configuration: files,
                configurationMissing: missing)
        }
    }

    private static func tooOld(_ facts: ServerFacts) -> BackupError {
        BackupError(
            .serverUnsupported, "The server runs PostgreSQL \(facts.major), of which no physical backup can be taken.",
            reason: "base backups are streamed since PostgreSQL 15",
            remedy: "Take a logical backup, or upgrade the server.", unchanged: "No backup was taken.")
    }

    private static func requireRights(may: Bool, role: String) throws(BackupError) {
        guard !may else { return }
        throw BackupError(
            .permissionDenied, "The role \(role) may not take base backups.",
            reason: "it has not the attribute REPLICATION",
            remedy: "ALTER ROLE \(role) REPLICATION; GRANT pg_monitor TO \(role);", unchanged: "No backup was taken.")
    }

    /// A standby's last segment is archived when its primary has filled it: perhaps never.
    private static func isStandby(_ connection: ConnectionSettings) -> BackupError {
        BackupError(
            .serverUnsupported,
            "The server \(connection.redacted) is a standby, whose WAL is not taken from the archive.",
            reason: "the segment in which the backup ends is archived only when the primary has filled it",
            remedy: "Write backup.physical.wal: stream, or take the backup from the primary.",
            unchanged: "No backup was taken.")
    }

    private static func notArchived(_ connection: ConnectionSettings) -> BackupError {
        BackupError(
            .serverUnsupported,
            "Nothing archives the WAL of the server \(connection.redacted), which the backup needs.",
            reason: "archive_mode is off, and nobody receives its WAL ('apex-backup wal receive')",
            remedy: "Write backup.physical.wal: stream, or archive the WAL first ('apex-backup doctor').",
            unchanged: "No backup was taken.")
    }

    private static func requireSettings(level: String, senders: Int, used: Int, needed: Int) throws(BackupError) {
        guard level != "minimal" else {
            throw BackupError(
                .serverUnsupported, "The server writes too little WAL for a base backup.",
                reason: "wal_level is minimal",
                remedy: "ALTER SYSTEM SET wal_level = 'replica', and restart the server.",
                unchanged: "No backup was taken.")
        }
        guard senders - used >= needed else {
            throw BackupError(
                .serverRefused,
                needed == 1
                    ? "The server has no free WAL sender for the files."
                    : "The server has not two free WAL senders, one for the files and one for the WAL.",
                reason: "max_wal_senders is \(senders), and \(used) are in use",
                remedy: "ALTER SYSTEM SET max_wal_senders = \(used + 4), and restart the server.",
                unchanged: "No backup was taken.")
        }
    }

    /// Settings that the role may not see are absent from pg_settings.
    private static let factsQuery = """
        SELECT (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS segment_bytes,
            pg_catalog.current_setting('wal_level') AS wal_level,
            pg_catalog.current_setting('archive_mode') AS archive_mode,
            pg_catalog.current_setting('max_wal_senders') AS max_wal_senders,
            (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS senders_used,
            (SELECT count(*) FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate) AS databases,
            (SELECT sum(CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT')
                    OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                    THEN pg_catalog.pg_database_size(oid) END)::bigint FROM pg_catalog.pg_database) AS size_bytes,
            (SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1) AS superuser,
            (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS may_replicate
        """

    private static func configuration(
        in session: PostgresSession
    ) async throws -> (files: [ConfigurationFile], missing: Bool) {
        let settings = try await session.query(
            """
            SELECT name, setting FROM pg_catalog.pg_settings
            WHERE name IN ('config_file', 'hba_file', 'ident_file', 'data_directory')
            """)
        var paths: [String: String] = [:]
        for row in settings.rows { if let name = row[0], let path = row[1] { paths[name] = path } }
        guard let directory = paths.removeValue(forKey: "data_directory"), paths.count == 3 else { return ([], true) }
        let usual = ["config_file": "postgresql.conf", "hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf"]
        let outside = paths.filter { $0.value != "\(directory)/\(usual[$0.key] ?? "")" }.sorted { $0.key < $1.key }
        guard !outside.isEmpty else { return ([], false) }
        let mayRead = try await session.query(
            """
            SELECT pg_catalog.has_function_privilege('pg_catalog.pg_read_binary_file(text)', 'EXECUTE')
                AND pg_catalog.pg_has_role('pg_read_server_files', 'USAGE')
            """
        ).firstValue
        guard mayRead == "t" else { return ([], true) }
        var files: [ConfigurationFile] = []
        for (setting, path) in outside {
            let hex = try await session.query("SELECT encode(pg_catalog.pg_read_binary_file($1), 'hex')", [path])
            guard let content = hex.firstValue.flatMap({ [UInt8](hexDigits: $0) }) else { return (files, true) }
            files.append(ConfigurationFile(setting: setting, path: path, content: content))
        }
        return (files, false)
    }
}

extension [UInt8] {
    /// The bytes that an even number of hexadecimal digits stands for.
    fileprivate init?(hexDigits text: String) {
        let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == text.utf8.count, digits.count.isMultiple(of: 2) else { return nil }
        self = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
