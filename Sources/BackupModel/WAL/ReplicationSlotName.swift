/// The name of a replication slot: 1 to 63 lower-case letters of ASCII, digits and underscores
/// (PostgreSQL, src/backend/replication/slot.c, `ReplicationSlotValidateName`).
package struct ReplicationSlotName: Sendable, Hashable, CustomStringConvertible {
    private static let longest = 63

    /// The name.
    package let description: String

    /// Returns `nil` unless a slot can have this name.
    package init?(parsing text: some StringProtocol) {
        guard (1...Self.longest).contains(text.utf8.count), text.utf8.allSatisfy(Self.mayHold) else { return nil }
        description = String(text)
    }

    /// The slot over which WAL of the cluster `name` is received unless another is named.
    package init(ofCluster name: String) {
        let plain = name.lowercased().utf8.map { Self.mayHold($0) ? $0 : UInt8(ascii: "_") }
        description = String(decoding: (Array("apex_backup_".utf8) + plain).prefix(Self.longest), as: UTF8.self)
    }

    private static func mayHold(_ byte: UInt8) -> Bool {
        ASCII.isDigit(byte) || byte == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }
}
