/// What tells a file from every other one, and from itself before it was changed.
///
/// It holds as long as the host has not been started anew: the numbers of devices may be given out differently then.
package struct FileIdentity: Sendable, Hashable, Codable {
    package var device: UInt64
    package var number: UInt64
    package var size: Int64
    /// When its content was last changed, in nanoseconds.
    package var modified: Int64
    /// When anything of it was last changed, its name included, in nanoseconds: nobody can set it.
    package var changed: Int64

    package init(device: UInt64, number: UInt64, size: Int64, modified: Int64, changed: Int64) {
        self.device = device
        self.number = number
        self.size = size
        self.modified = modified
        self.changed = changed
    }
}

/// Says that a file of a server is in the repository.
package struct WALAcknowledgement: Sendable, Hashable, Codable {
    package var name: String
    package var systemIdentifier: UInt64
    /// The file that was read.
    package var file: FileIdentity
    /// SHA-256 of what was read and stored.
    package var contentSHA256: SHA256Digest

    package init(name: String, systemIdentifier: UInt64, file: FileIdentity, contentSHA256: SHA256Digest) {
        self.name = name
        self.systemIdentifier = systemIdentifier
        self.file = file
        self.contentSHA256 = contentSHA256
    }

    /// Whether it speaks of `file`, unchanged, and of what the repository has by that name.
    package func covers(
        _ name: String, of systemIdentifier: UInt64, file: FileIdentity, stored: SHA256Digest?
    ) -> Bool {
        self.name == name && self.systemIdentifier == systemIdentifier && self.file == file
            && contentSHA256 == stored
    }
}
