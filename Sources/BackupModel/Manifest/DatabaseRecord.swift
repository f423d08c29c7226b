/// What the backup holds of one database, and what a restore must give it that its dump does not carry.
public struct DatabaseRecord: Sendable, Hashable, Codable {
    /// The database's object identifier; artefacts are named after it.
    public var oid: UInt32
    /// Its name, taken literally.
    public var name: String
    /// Owner, locale and settings.
    public var properties: DatabaseProperties
    /// The moment that its dump shows.
    public var snapshot: SnapshotPoint
    /// Extensions that were installed.
    public var extensions: [ExtensionRecord]
    /// SHA-256 over the description of every user object.
    public var schemaFingerprint: SHA256Digest
    /// The format of its dump.
    public var format: DumpFormat
    /// The name of the artefact with its dump.
    public var artefact: String
    /// Bytes of the dump.
    public var contentBytes: Int64
    /// Tables with data in the dump.
    public var tables: Int
    /// Rows in them, counted in the captured stream.
    public var rows: Int64
    /// Large objects in the dump; `nil` for a plain dump, which is not counted.
    public var largeObjects: Int64?
    /// How long the dump took.
    public var seconds: Double

    /// Makes a record from its parts.
    public init(
        oid: UInt32, name: String, properties: DatabaseProperties, snapshot: SnapshotPoint,
        extensions: [ExtensionRecord], schemaFingerprint: SHA256Digest, format: DumpFormat, artefact: String,
        contentBytes: Int64, tables: Int, rows: Int64, largeObjects: Int64?, seconds: Double
    ) {
        self.oid = oid
        self.name = name
        self.properties = properties
        self.snapshot = snapshot
        self.extensions = extensions
        self.schemaFingerprint = schemaFingerprint
        self.format = format
        self.artefact = artefact
        self.contentBytes = contentBytes
        self.tables = tables
        self.rows = rows
        self.largeObjects = largeObjects
        self.seconds = seconds
    }

    /// Whether its sizes and durations can be true: computing with them cannot overflow.
    package var hasPossibleNumbers: Bool {
        (0..<1 << 60).contains(contentBytes) && (0..<1 << 50).contains(rows) && (0..<1e9).contains(seconds)
    }
}

/// The formats of `pg_dump` that are used.
public enum DumpFormat: String, Sendable, Hashable, Codable, CaseIterable {
    /// `-Fc`, uncompressed by pg_dump; compressed by us.
    case custom
    /// SQL text for psql.
    case plain
}

/// The moment that a snapshot shows.
public struct SnapshotPoint: Sendable, Hashable, Codable {
    /// The server's clock when the snapshot was taken.
    public var clock: Timestamp
    /// The write-ahead log position then; on a standby the replayed one.
    public var lsn: LogSequenceNumber
    /// The timeline then.
    public var timeline: UInt32

    /// Makes a point.
    public init(clock: Timestamp, lsn: LogSequenceNumber, timeline: UInt32) {
        self.clock = clock
        self.lsn = lsn
        self.timeline = timeline
    }
}

/// An installed extension.
public struct ExtensionRecord: Sendable, Hashable, Codable {
    /// Its name.
    public var name: String
    /// Its installed version.
    public var version: String

    /// Makes a record.
    public init(name: String, version: String) {
        self.name = name
        self.version = version
    }
}

/// What `CREATE DATABASE` and `ALTER DATABASE` must say to make a database as it was; dumps restored into another name
/// do not carry it.
public struct DatabaseProperties: Sendable, Hashable, Codable {
    /// A grant on the database itself.
    public struct Grant: Sendable, Hashable, Codable {
        /// The role, or the empty string for PUBLIC.
        public var grantee: String
        /// `CONNECT`, `CREATE` or `TEMPORARY`.
        public var privilege: String
        /// Whether the role may grant it on.
        public var grantable: Bool

        /// Makes a grant.
        public init(grantee: String, privilege: String, grantable: Bool) {
            self.grantee = grantee
            self.privilege = privilege
            self.grantable = grantable
        }
    }

    /// A setting made by `ALTER DATABASE … SET` or `ALTER ROLE … IN DATABASE … SET`.
    public struct Setting: Sendable, Hashable, Codable {
        /// The role, or `nil` for the database itself.
        public var role: String?
        /// The parameter.
        public var name: String
        /// Its value as `pg_db_role_setting` holds it.
        public var value: String

        /// Makes a setting.
        public init(role: String?, name: String, value: String) {
            self.role = role
            self.name = name
            self.value = value
        }
    }

    /// The owning role.
    public var owner: String
    /// The character set encoding.
    public var encoding: String
    /// `LC_COLLATE`.
    public var collate: String
    /// `LC_CTYPE`.
    public var ctype: String
    /// `c` (libc), `i` (ICU) or `b` (builtin), as in `pg_database.datlocprovider`.
    public var localeProvider: String
    /// The ICU or builtin locale.
    public var locale: String?
    /// ICU rules.
    public var icuRules: String?
    /// The collation version the database was made with.
    public var collationVersion: String?
    /// The default tablespace.
    public var tablespace: String
    /// The connection limit, -1 for none.
    public var connectionLimit: Int
    /// The comment on the database.
    public var comment: String?
    /// The grants, or `nil` when they are PostgreSQL's defaults.
    public var grants: [Grant]?
    /// The settings.
    public var settings: [Setting]

    /// Makes properties from their parts.
    public init(
        owner: String, encoding: String, collate: String, ctype: String, localeProvider: String, locale: String?,
        icuRules: String?, collationVersion: String?, tablespace: String, connectionLimit: Int, comment: String?,
        grants: [Grant]?, settings: [Setting]
    ) {
        self.owner = owner
        self.encoding = encoding
        self.collate = collate
        self.ctype = ctype
        self.localeProvider = localeProvider
        self.locale = locale
        self.icuRules = icuRules
        self.collationVersion = collationVersion
        self.tablespace = tablespace
        self.connectionLimit = connectionLimit
        self.comment = comment
        self.grants = grants
        self.settings = settings
    }
}

/// One line of the artefact `tables.jsonl.zst`.
public struct TableLine: Sendable, Hashable, Codable {
    /// The database's object identifier.
    public var db: UInt32
    /// The schema.
    public var schema: String
    /// The table, or `nil` for a sequence.
    public var table: String?
    /// Rows captured.
    public var rows: Int64?
    /// Bytes of COPY text captured.
    public var bytes: Int64?
    /// The sequence, or `nil` for a table.
    public var sequence: String?
    /// The sequence's last value in the snapshot; `nil` when it was never used.
    public var lastValue: Int64?

    /// The line of a table.
    public init(db: UInt32, schema: String, table: String, rows: Int64, bytes: Int64) {
        self.db = db
        self.schema = schema
        self.table = table
        self.rows = rows
        self.bytes = bytes
    }

    /// The line of a sequence.
    public init(db: UInt32, schema: String, sequence: String, lastValue: Int64?) {
        self.db = db
        self.schema = schema
        self.sequence = sequence
        self.lastValue = lastValue
    }
}
