/// What a backup consists of.
///
/// Its presence in the repository, put last and only once, is the commit.
///
/// At most 64 KiB of JSON: what grows with the number of tables lives in artefacts it names.
public struct BackupManifest: Sendable, Hashable, Codable {
    /// The format version this program writes, and the newest it reads.
    public static let currentFormat = 1

    /// The version of the repository format.
    public var format = Self.currentFormat
    /// The backup's name, also the name of the run that made it.
    public var id: RunID
    /// The name of the cluster it was taken of.
    public var cluster: String
    /// The identifier that `initdb` gave the cluster.
    public var systemIdentifier: String
    /// Whether it holds dumps or files.
    public var kind: BackupKind
    /// When the backup began.
    public var startedAt: Timestamp
    /// When the last artefact was durable.
    public var finishedAt: Timestamp
    /// The moment to which a restore of the whole backup leads back: for dumps, the oldest of the snapshots.
    public var recoveryPoint: Timestamp
    /// The server as it was found.
    public var server: ServerFacts
    /// Versions of the programs that took part, by name.
    public var tools: [String: String]
    /// Sums over all artefacts and databases.
    public var totals: BackupTotals
    /// The databases, or `nil` when they are in the artefact of role ``Artefact/Role/databases``.
    public var databases: [DatabaseRecord]?
    /// What a physical backup is besides; `nil` for a logical one.
    public var physical: PhysicalRecord?
    /// The stored files, or only those that hold the rest of them when there are more than fifty databases.
    public var artefacts: [Artefact]
    /// Whether roles were dumped without their passwords.
    public var passwordsMissing: Bool
    /// What an operator should know before relying on this backup.
    public var warnings: [String]
    /// How long each phase took, in seconds, in order.
    public var phases: [PhaseDuration]
    /// The settings that shaped it, without secrets.
    public var settings: [String: String]
    /// SHA-256 of the manifest of the backup before it in the repository, if there is one.
    public var previousManifest: SHA256Digest?

    /// Makes a manifest from its parts.
    public init(
        id: RunID, cluster: String, systemIdentifier: String, kind: BackupKind, startedAt: Timestamp,
        finishedAt: Timestamp, recoveryPoint: Timestamp, server: ServerFacts, tools: [String: String],
        totals: BackupTotals, databases: [DatabaseRecord]?, physical: PhysicalRecord? = nil, artefacts: [Artefact],
        passwordsMissing: Bool,
        warnings: [String], phases: [PhaseDuration], settings: [String: String], previousManifest: SHA256Digest?
    ) {
        self.id = id
        self.cluster = cluster
        self.systemIdentifier = systemIdentifier
        self.kind = kind
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.recoveryPoint = recoveryPoint
        self.server = server
        self.tools = tools
        self.totals = totals
        self.databases = databases
        self.physical = physical
        self.artefacts = artefacts
        self.passwordsMissing = passwordsMissing
        self.warnings = warnings
        self.phases = phases
        self.settings = settings
        self.previousManifest = previousManifest
    }

    /// How long the backup took: the sum of its phases, which the wall clock does not change.
    public var duration: Duration {
        phases.isEmpty ? finishedAt.since(startedAt) : .seconds(phases.reduce(0) { $0 + $1.seconds })
    }

    /// What was asked for; a backup of one database does not stand in for one of all.
    package var scope: String { Self.scope(of: settings) }

    /// The scope of a backup that is taken with `settings`.
    package static func scope(of settings: [String: String]) -> String {
        ["databases", "exclude", "globals"].map { settings[$0] ?? "" }.joined(separator: "; ")
    }

    /// Whether less was asked for than of `other`.
    package func isNarrower(than other: BackupManifest) -> Bool {
        scope != other.scope
            && (totals.databases < other.totals.databases
                || other.artefact(.globals) != nil && artefact(.globals) == nil)
    }

    /// Whether it is of a source with bad pages: complete, and never the choice where there is another.
    package var isOfDamagedSource: Bool { physical?.damage != nil }

    /// The major version of the pg_dump that wrote the dumps; 0 if it is not known.
    package var dumpMajor: Int { Int((tools["pg_dump"] ?? "").prefix { $0.isNumber }) ?? 0 }

    /// Whether its sizes and durations can be true: computing with them cannot overflow.
    package var hasPossibleNumbers: Bool {
        let counts: Range<Int64> = 0..<1 << 60
        return (1...Self.currentFormat).contains(format) && (10_000..<10_000_000).contains(server.versionNumber)
            && artefacts.count < 1 << 12 && artefacts.allSatisfy(\.hasPossibleNumbers)
            && [totals.contentBytes, totals.storedBytes, totals.rows].allSatisfy(counts.contains)
            && phases.allSatisfy { (0..<1e9).contains($0.seconds) }
            && (databases ?? []).allSatisfy(\.hasPossibleNumbers)
            && (kind == .physical) == (physical != nil) && physical?.hasPossibleNumbers ?? true
    }

    /// The artefact of `role`, when there is just one of it.
    public func artefact(_ role: Artefact.Role) -> Artefact? { artefacts.first { $0.role == role } }
}

/// Sums over a whole backup.
public struct BackupTotals: Sendable, Hashable, Codable {
    /// Bytes of content: what a restore reads.
    public var contentBytes: Int64
    /// Bytes in the repository.
    public var storedBytes: Int64
    /// The number of databases.
    public var databases: Int
    /// The number of tables with data.
    public var tables: Int
    /// The number of rows in them.
    public var rows: Int64

    /// Makes the sums.
    public init(contentBytes: Int64, storedBytes: Int64, databases: Int, tables: Int, rows: Int64) {
        self.contentBytes = contentBytes
        self.storedBytes = storedBytes
        self.databases = databases
        self.tables = tables
        self.rows = rows
    }

    /// About how much a backup of `content` bytes will store, judged by this one, and a tenth more; `nil` if this one
    /// tells nothing.
    package func stored(ofContent content: Int64) -> Int64? {
        guard contentBytes > 0 else { return nil }
        let bytes = Double(storedBytes) * Double(content) / Double(contentBytes) * 1.1
        return Int64(min(bytes, Double(Int64.max / 2)))
    }
}

/// How long one phase of a run took.
public struct PhaseDuration: Sendable, Hashable, Codable {
    /// The phase.
    public var name: String
    /// Its length on a monotonic clock.
    public var seconds: Double

    /// Makes a phase of a length.
    public init(name: String, seconds: Double) {
        self.name = name
        self.seconds = seconds
    }
}

/// What stands under the name `manifest.json`: a committed backup, or the mark that the run was given up.
///
/// Commit and abort are the same key, put if absent, so that exactly one of them happens.
public enum ManifestDocument: Sendable, Hashable, Codable {
    /// The backup is there.
    case committed(BackupManifest)
    /// The run was given up by prune; nothing of it counts.
    case aborted(AbortedRun)

    private enum CodingKeys: String, CodingKey { case aborted }

    /// Reads either form.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let aborted = try container.decodeIfPresent(AbortedRun.self, forKey: .aborted) {
            self = .aborted(aborted)
        } else {
            self = .committed(try BackupManifest(from: decoder))
        }
    }

    /// Writes the form it is.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .committed(let manifest): try manifest.encode(to: encoder)
        case .aborted(let run):
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(run, forKey: .aborted)
        }
    }
}

/// Why and when a run was given up.
public struct AbortedRun: Sendable, Hashable, Codable {
    /// When it was given up.
    public var at: Timestamp
    /// The run that did it.
    public var by: RunID
    /// Why.
    public var reason: String

    /// Makes the mark.
    public init(at: Timestamp, by: RunID, reason: String) {
        self.at = at
        self.by = by
        self.reason = reason
    }
}
