/// One stored file of a backup, in one or more volumes.
public struct Artefact: Sendable, Hashable, Codable {
    /// What an artefact holds.
    public enum Role: String, Sendable, Hashable, Codable {
        /// Roles, memberships and tablespaces, as `pg_dumpall --globals-only` writes them.
        case globals
        /// One database.
        case dump
        /// Row counts and sequence values, a JSON object per line.
        case tables
        /// The database records and artefacts of a backup with more than fifty databases, a JSON object per line.
        case databases
        /// The files of a base backup and where their content is stored, a JSON object per line.
        case files
        /// The packs that a base backup uses, a JSON object per line.
        case packs
        /// The server's own manifest of a base backup, byte for byte.
        case serverManifest
        /// `backup_label` of a base backup, byte for byte.
        case label
        /// `tablespace_map` of a base backup, byte for byte.
        case tablespaceMap
        /// A configuration file that was outside the data directory.
        case configuration
        /// How to restore the backup with stock tools.
        case guide
    }

    /// Its name below the backup; the first volume has it too.
    public var name: String
    /// What it holds.
    public var role: Role
    /// How its content was compressed.
    public var compression: Compression
    /// Bytes of content.
    public var contentBytes: Int64
    /// SHA-256 of the content.
    public var contentSHA256: SHA256Digest
    /// The stored objects, in order; their bytes joined are the artefact.
    public var volumes: [StoredVolume]

    /// Makes an artefact from its parts.
    public init(
        name: String, role: Role, compression: Compression, contentBytes: Int64, contentSHA256: SHA256Digest,
        volumes: [StoredVolume]
    ) {
        self.name = name
        self.role = role
        self.compression = compression
        self.contentBytes = contentBytes
        self.contentSHA256 = contentSHA256
        self.volumes = volumes
    }

    /// Bytes in the repository.
    public var storedBytes: Int64 { volumes.reduce(0) { $0 + $1.bytes } }

    /// Whether its sizes can be those of real files, so that sums of them cannot overflow.
    package var hasPossibleNumbers: Bool {
        (0..<1 << 50).contains(contentBytes) && volumes.count < 1 << 12
            && volumes.allSatisfy { (0..<1 << 38).contains($0.bytes) }
    }

    /// Names that the repository gives a meaning of its own.
    private static let reservedNames: Set<String> = ["manifest.json", "running.json", "facts"]

    /// The first name in this artefact that does not belong in a backup's folder, or `nil` when all do.
    ///
    /// A manifest may have been written by anybody: a name with a path in it must not lead anywhere.
    public var foreignName: String? {
        ([name] + volumes.map(\.name)).first {
            !ObjectKey.isSafeComponent($0) || Self.reservedNames.contains($0) || $0.hasPrefix(".")
        }
    }
}
