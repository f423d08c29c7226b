/// One stored object of an artefact: a stream is cut into volumes, and the first has the artefact's plain name.
public struct StoredVolume: Sendable, Hashable, Codable {
    /// The last component of the object's key, for example `db-16384.dump.gz.0001`.
    public var name: String
    /// The size of the stored object.
    public var bytes: Int64
    /// The digest of the stored bytes.
    public var sha256: SHA256Digest

    /// Describes a stored object.
    public init(name: String, bytes: Int64, sha256: SHA256Digest) {
        self.name = name
        self.bytes = bytes
        self.sha256 = sha256
    }
}
