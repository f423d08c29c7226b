package import BackupModel

/// The last line of a JSON object in the repository, which proves all bytes before it: `sha256:<64 digits>`.
///
/// `head -n -1 FILE | sha256sum` prints the same digest.
package enum SelfProof {
    private static let label = Array("sha256:".utf8)
    private static let lineLength = label.count + 64 + 1

    /// `json` with its proof; a line feed is added to `json` first unless it ends with one.
    package static func seal(_ json: [UInt8]) -> [UInt8] {
        var bytes = json
        if bytes.last != UInt8(ascii: "\n") { bytes.append(UInt8(ascii: "\n")) }
        let digest = SHA256.digest(of: bytes.span)
        bytes += label
        bytes += Array("\(digest)\n".utf8)
        return bytes
    }

    /// The bytes before the proof; `name` is the object's name for the error.
    ///
    /// - Throws: ``ErrorCode/objectDamaged`` if there is no proof or the bytes are not those it was made for.
    package static func open(_ bytes: [UInt8], name: String) throws(BackupError) -> [UInt8] {
        let content = bytes.dropLast(lineLength)
        let line = bytes.suffix(lineLength)
        guard line.count == lineLength, line.starts(with: label), line.last == UInt8(ascii: "\n"),
            content.last == UInt8(ascii: "\n"),
            let expected = SHA256Digest(hex: String(decoding: line.dropFirst(label.count).dropLast(), as: UTF8.self))
        else {
            throw damaged(name, reason: "it does not end with a line 'sha256:' and 64 hexadecimal digits")
        }
        let found = SHA256.digest(of: content.span)
        guard found == expected else {
            throw damaged(name, reason: "its SHA-256 is \(found), and its last line says \(expected)")
        }
        return Array(content)
    }

    private static func damaged(_ name: String, reason: String) -> BackupError {
        BackupError(
            .objectDamaged, "'\(name)' is damaged.", reason: reason,
            remedy: "Put it back from a copy of the repository; 'apex-backup verify' lists everything that is damaged.")
    }
}
