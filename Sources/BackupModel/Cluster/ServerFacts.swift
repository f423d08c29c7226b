/// What a server says about itself and about the role that asks.
public struct ServerFacts: Sendable, Hashable, Codable {
    /// The version as the server writes it, `15.13 (Debian 15.13-0+deb12u1)`.
    public var version: String
    /// The version as a number, 150013 for 15.13.
    public var versionNumber: Int
    /// The cluster's identifier, given by initdb; decimal.
    public var systemIdentifier: String
    /// Whether the server is a standby, or is still being recovered.
    public var inRecovery: Bool
    /// The timeline that is written, or replayed in recovery.
    public var timeline: UInt32
    /// The position written so far; in recovery, the position replayed so far.
    public var currentLSN: LogSequenceNumber
    /// The server's clock.
    public var clock: Timestamp
    /// Whether data pages have checksums.
    public var dataChecksums: Bool
    /// The encoding of the database that was asked, `UTF8`.
    public var encoding: String
    /// Whether the role is a superuser.
    public var isSuperuser: Bool
    /// Whether the role may read the password hashes of roles.
    public var canReadRolePasswords: Bool

    /// Facts from their parts.
    public init(
        version: String, versionNumber: Int, systemIdentifier: String, inRecovery: Bool, timeline: UInt32,
        currentLSN: LogSequenceNumber, clock: Timestamp, dataChecksums: Bool, encoding: String, isSuperuser: Bool,
        canReadRolePasswords: Bool
    ) {
        self.version = version
        self.versionNumber = versionNumber
        self.systemIdentifier = systemIdentifier
        self.inRecovery = inRecovery
        self.timeline = timeline
        self.currentLSN = currentLSN
        self.clock = clock
        self.dataChecksums = dataChecksums
        self.encoding = encoding
        self.isSuperuser = isSuperuser
        self.canReadRolePasswords = canReadRolePasswords
    }

    /// The major version, 15.
    public var major: Int { versionNumber / 10_000 }
}
