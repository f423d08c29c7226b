/// What a base backup consists of beside its files, and what a restore of it needs.
public struct PhysicalRecord: Sendable, Hashable, Codable {
    /// Where recovery begins.
    public var start: LogSequenceNumber
    /// Where the data is consistent: no moment before can be reached.
    public var stop: LogSequenceNumber
    /// The timeline of both.
    public var timeline: UInt32
    /// The size of the cluster's WAL segments in bytes.
    public var walSegmentBytes: Int64
    /// The number of files.
    public var files: Int
    /// The number of packs that hold them.
    public var packs: Int
    /// The tablespaces besides the standard ones.
    public var tablespaces: [Tablespace]
    /// The configuration files that were outside the data directory: artefacts, and what they are.
    public var configuration: [ConfigurationFile]
    /// Whether configuration files outside the data directory could not be read.
    public var configurationMissing: Bool
    /// What the server said of bad pages; `nil` when it found none.
    public var damage: [String]?
    /// A role that may do everything on the restored server; `nil` in a backup that does not know one.
    public var superuser: String?
    /// The versions of the collations that indexes were built with; `nil` in a backup that does not know them.
    public var collations: CollationRecord?

    /// Makes the record.
    public init(
        start: LogSequenceNumber, stop: LogSequenceNumber, timeline: UInt32, walSegmentBytes: Int64, files: Int,
        packs: Int, tablespaces: [Tablespace], configuration: [ConfigurationFile], configurationMissing: Bool,
        damage: [String]?, superuser: String? = nil, collations: CollationRecord? = nil
    ) {
        self.start = start
        self.stop = stop
        self.timeline = timeline
        self.walSegmentBytes = walSegmentBytes
        self.files = files
        self.packs = packs
        self.tablespaces = tablespaces
        self.configuration = configuration
        self.configurationMissing = configurationMissing
        self.damage = damage
        self.superuser = superuser
        self.collations = collations
    }

    /// A tablespace.
    public struct Tablespace: Sendable, Hashable, Codable {
        /// Its object identifier.
        public var oid: UInt32
        /// Its directory on the source.
        public var location: String

        /// Makes the record.
        public init(oid: UInt32, location: String) {
            self.oid = oid
            self.location = location
        }
    }

    /// A configuration file that was outside the data directory.
    public struct ConfigurationFile: Sendable, Hashable, Codable {
        /// The setting that named it.
        public var setting: String
        /// Where it was.
        public var path: String
        /// The artefact that holds it.
        public var artefact: String

        /// Makes the record.
        public init(setting: String, path: String, artefact: String) {
            self.setting = setting
            self.path = path
            self.artefact = artefact
        }
    }

    /// Whether its numbers can be those of a server.
    package var hasPossibleNumbers: Bool {
        WALSegmentSize(bytes: walSegmentBytes) != nil && timeline > 0 && start <= stop && files >= 0 && packs >= 0
            && tablespaces.allSatisfy { $0.oid > 0 }
    }
}

extension PhysicalRecord {
    /// The WAL segments without which the files are not consistent: from the start to the stop.
    package var neededSegments: [WALSegmentName] {
        guard let size = WALSegmentSize(bytes: walSegmentBytes), stop.position > start.position else { return [] }
        let numbers =
            size.number(containing: start)...size.number(containing: LogSequenceNumber(position: stop.position - 1))
        return numbers.compactMap { WALSegmentName(timeline: timeline, number: $0, segmentSize: size) }
    }
}
