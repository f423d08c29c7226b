/// Where every object of a repository lives; nothing else builds keys.
public struct RepositoryLayout: Sendable, Hashable {
    /// The cluster's name, one safe component.
    public let cluster: String

    /// The object that makes a folder a repository.
    package static let repository = ObjectKey("repository.json")
    /// The folder of all clusters.
    package static let clusters = ObjectKey("clusters")

    /// Returns `nil` unless `cluster` is 1…100 characters of `a-z A-Z 0-9 . _ -`, beginning with a letter or digit.
    public init?(cluster: String) {
        guard cluster.isPlain, (1...100).contains(cluster.utf8.count), let first = cluster.first,
            first.isLetter || first.isNumber
        else { return nil }
        self.cluster = cluster
    }

    package var root: ObjectKey { ObjectKey("clusters", cluster) }
    package var registration: ObjectKey { root.appending("cluster.json") }
    package var incarnations: ObjectKey { root.appending("incarnations") }
    package func incarnation(_ systemIdentifier: String) -> ObjectKey? {
        ObjectKey(parsing: "\(incarnations.text)/\(systemIdentifier).json")
    }

    package var runs: ObjectKey { root.appending("runs") }
    package func run(_ id: RunID) -> ObjectKey { runs.appending(id.text) }
    package func runStart(_ id: RunID) -> ObjectKey { run(id).appending("start.json") }
    package func runEnd(_ id: RunID) -> ObjectKey { run(id).appending("end.json") }

    package func leases(_ kind: BackupKind) -> ObjectKey { root.appending("lease").appending(kind.rawValue) }

    package var backups: ObjectKey { root.appending("backups") }
    package func backup(_ id: RunID) -> ObjectKey { backups.appending(id.text) }
    package func running(_ id: RunID) -> ObjectKey { backup(id).appending("running.json") }
    package func manifest(_ id: RunID) -> ObjectKey { backup(id).appending("manifest.json") }
    package func facts(_ id: RunID) -> ObjectKey { backup(id).appending("facts") }
    package func fact(_ id: RunID, _ fact: BackupFact, chance: UInt16) -> ObjectKey {
        let name = "\(fact.at.compact)-\(fact.kind.rawValue)-\(RunID(at: fact.at, chance: chance).text.suffix(4)).json"
        return facts(id).appending(name)
    }
    /// The key of a stored volume, or `nil` when its name does not belong in a backup's folder.
    package func volume(_ name: String, of id: RunID) -> ObjectKey? {
        ObjectKey.isSafeComponent(name) ? backup(id).appending(name) : nil
    }

    /// The objects of one incarnation of the cluster, or `nil` unless `systemIdentifier` is a decimal number.
    package func incarnationObjects(_ systemIdentifier: String) -> IncarnationLayout? {
        IncarnationLayout(in: self, systemIdentifier: systemIdentifier)
    }

    package var drills: ObjectKey { root.appending("drills") }
    package func drill(_ id: RunID) -> ObjectKey { drills.appending(id.text) }
    package var drillLedger: ObjectKey { drills.appending("ledger") }
    /// Ledger entries have numbers of eight digits, so that their names sort.
    package func drillLedgerEntry(_ number: Int) -> ObjectKey {
        let digits = String(number)
        return drillLedger.appending(String(repeating: "0", count: max(0, 8 - digits.count)) + digits + ".json")
    }
}

/// Where the files and the WAL of one incarnation of a cluster live: those of one system identifier.
package struct IncarnationLayout: Sendable, Hashable {
    private let root: ObjectKey

    fileprivate init?(in layout: RepositoryLayout, systemIdentifier: String) {
        guard (1...20).contains(systemIdentifier.utf8.count), systemIdentifier.utf8.allSatisfy(ASCII.isDigit) else {
            return nil
        }
        root = layout.root.appending(systemIdentifier)
    }

    /// The folder of the packs that a backup made.
    package func packs(of backup: RunID) -> ObjectKey { root.appending("packs").appending(backup.text) }
    package func pack(_ name: PackName) -> ObjectKey { packs(of: name.backup).appending(name.file) }

    package var wal: ObjectKey { root.appending("wal") }
    package func segment(_ name: WALSegmentName) -> ObjectKey {
        wal.appending("\(name.logFolder)/\(name.description).zst")
    }
    /// A file that PostgreSQL hands to its archiver.
    package func file(_ name: WALFileName) -> ObjectKey {
        switch name {
        case .segment(let segment): self.segment(segment)
        case .partial(let segment), .backup(let segment, _): wal.appending("\(segment.logFolder)/\(name).zst")
        case .history: wal.appending("\(name).zst")
        case .other: wal.appending("other/\(name).zst")
        }
    }
    /// The file that an object below ``wal`` is, if its key is the one that such a file has.
    package func walFile(_ key: ObjectKey, segmentSize: WALSegmentSize) -> WALFileName? {
        guard key.text.hasSuffix(".zst"),
            let name = WALFileName(parsing: key.lastComponent.dropLast(4), segmentSize: segmentSize), key == file(name)
        else { return nil }
        return name
    }
    /// The folder of a log's segments.
    package func log(_ log: WALLogName) -> ObjectKey { wal.appending("\(log)") }
    /// The folder of the segments that were not finished.
    package var pieces: ObjectKey { wal.appending("partial") }
    /// The folder of the pieces of a segment that was not finished.
    package func pieces(of segment: WALSegmentName) -> ObjectKey { pieces.appending("\(segment)") }
    package func piece(_ piece: WALPiece) -> ObjectKey {
        pieces(of: piece.segment).appending("\(piece.name).zst")
    }

    package var index: ObjectKey { root.appending("index") }
    /// The roll-up of a log folder.
    package func rollUp(of log: WALLogName) -> ObjectKey { index.appending("\(log).zst") }
    /// The folder of the roll-ups over roll-ups of a timeline.
    package func spans(of timeline: UInt32) -> ObjectKey { index.appending("\(timeline.eightHexDigits)/spans") }
    package func span(_ span: WALLogSpan) -> ObjectKey { spans(of: span.timeline).appending("\(span.name).zst") }
    /// The folder of what is known to be lost.
    package var gaps: ObjectKey { wal.appending("gaps") }
    package func gap(_ record: WALGapRecord) -> ObjectKey { gaps.appending("\(record.name).json") }
}

/// `repository.json`: what makes a folder or bucket a repository.
public struct RepositoryMarker: Sendable, Hashable, Codable {
    /// The version of the repository format.
    public var format: Int
    /// An identifier of its own, 32 hexadecimal digits.
    public var id: String
    /// When it was made.
    public var createdAt: Timestamp
    /// The version of this program that made it.
    public var toolVersion: String
    /// What the object store that it was made in can do; `nil` in a directory.
    public var store: StoreAbilities?

    /// Makes the marker.
    public init(
        format: Int, id: String, createdAt: Timestamp, toolVersion: String, store: StoreAbilities? = nil
    ) {
        self.format = format
        self.id = id
        self.createdAt = createdAt
        self.toolVersion = toolVersion
        self.store = store
    }
}

/// `cluster.json`: the registration of a cluster's name.
public struct ClusterRegistration: Sendable, Hashable, Codable {
    /// The name.
    public var name: String
    /// When it was registered.
    public var registeredAt: Timestamp

    /// Makes the registration.
    public init(name: String, registeredAt: Timestamp) {
        self.name = name
        self.registeredAt = registeredAt
    }
}

/// `incarnations/<system-id>.json`: a system identifier that the cluster's name has had.
public struct ClusterIncarnation: Sendable, Hashable, Codable {
    /// The identifier that `initdb` made.
    public var systemIdentifier: String
    /// PostgreSQL's major version.
    public var major: Int
    /// When it was first seen.
    public var firstSeen: Timestamp

    /// Makes the record.
    public init(systemIdentifier: String, major: Int, firstSeen: Timestamp) {
        self.systemIdentifier = systemIdentifier
        self.major = major
        self.firstSeen = firstSeen
    }
}

/// `running.json`: a backup in progress.
public struct RunningBackup: Sendable, Hashable, Codable {
    /// The kind of backup, whose lease it runs under.
    public var kind: BackupKind
    /// The epoch of that lease.
    public var leaseEpoch: Int
    /// The backup whose stored data it may reuse, if any.
    public var baseline: RunID?

    /// Makes the record.
    public init(kind: BackupKind, leaseEpoch: Int, baseline: RunID?) {
        self.kind = kind
        self.leaseEpoch = leaseEpoch
        self.baseline = baseline
    }
}
