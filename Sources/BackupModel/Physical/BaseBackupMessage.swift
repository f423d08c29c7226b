/// One message of the stream that `BASE_BACKUP` sends since PostgreSQL 15 (documentation, "Streaming Replication
/// Protocol").
package enum BaseBackupMessage: Sendable, Hashable {
    /// An archive begins: `base.tar`, or one named after the OID of a tablespace that is at `tablespacePath`.
    case archive(name: String, tablespacePath: String)
    /// The backup manifest begins.
    case manifest
    /// Bytes of the current archive or of the manifest: those at this place in the message.
    case data(Range<Int>)
    /// How many bytes of the data were sent so far.
    case progress(UInt64)

    /// Reads a message.
    package init(_ message: Span<UInt8>) throws(BackupError) {
        switch message.isEmpty ? 0 : message[0] {
        case UInt8(ascii: "n"):
            var offset = 1
            guard let name = message.cString(at: &offset), let path = message.cString(at: &offset) else {
                throw Self.unreadable
            }
            self = .archive(name: name, tablespacePath: path)
        case UInt8(ascii: "m"): self = .manifest
        case UInt8(ascii: "d"): self = .data(1..<message.count)
        case UInt8(ascii: "p") where message.count == 9:
            var value: UInt64 = 0
            for index in 1..<9 { value = value << 8 | UInt64(message[index]) }
            self = .progress(value)
        default: throw Self.unreadable
        }
    }

    private static var unreadable: BackupError {
        BackupError(
            .serverUnsupported, "The server's base backup cannot be understood.",
            reason: "a message of its stream has no known form",
            remedy: "Check that PostgreSQL 15 or newer answers, and not a proxy.", unchanged: "No backup was taken.")
    }
}

extension Span<UInt8> {
    /// The string that begins at `offset` and ends with a zero byte, which `offset` is left behind.
    fileprivate func cString(at offset: inout Int) -> String? {
        var text: [UInt8] = []
        while offset < count {
            defer { offset += 1 }
            if self[offset] == 0 { return String(validating: text, as: UTF8.self) }
            text.append(self[offset])
        }
        return nil
    }
}
