/// The path of a file in a data directory, relative to it; files of tablespaces are below `pg_tblspc/<oid>`.
///
/// It cannot leave the directory: no empty component, no `.` or `..`, no slash at its beginning, at most 1,024 bytes.
/// Any other bytes may stand in it, as they may in a file's name.
package struct DataPath: Sendable, Hashable {
    package let bytes: [UInt8]

    /// Returns `nil` unless `bytes` is such a path; one slash at the end, as tar has with directories, is dropped.
    package init?(bytes: [UInt8], allowingSlashAtEnd: Bool = false) {
        var bytes = bytes
        if allowingSlashAtEnd, bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.count <= 1024, !bytes.contains(0) else { return nil }
        for component in bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            let isLocal = component.isEmpty || component.elementsEqual(".".utf8) || component.elementsEqual("..".utf8)
            guard !isLocal else { return nil }
        }
        self.bytes = bytes
    }

    /// A path that this program chose itself.
    package init(_ text: String) {
        guard let path = DataPath(bytes: Array(text.utf8)) else {
            preconditionFailure("'\(text)' is no path in a data directory")
        }
        self = path
    }

    /// The path of `inner` below this one, or `nil` if that is too long.
    package func appending(_ inner: DataPath) -> DataPath? {
        DataPath(bytes: bytes + [UInt8(ascii: "/")] + inner.bytes)
    }

    /// Its components.
    package var components: [[UInt8]] { bytes.split(separator: UInt8(ascii: "/")).map(Array.init) }
}

extension DataPath: CustomStringConvertible {
    /// The path as text: a backslash, control bytes and bytes that are not UTF-8 are written as `\xHH`.
    ///
    /// `printf '%b'` gives the bytes back.
    package var description: String {
        let isText = String(validating: bytes, as: UTF8.self) != nil
        return bytes.reduce(into: [UInt8]()) { text, byte in
            let isPlain = byte >= 0x20 && byte != 0x7F && byte != UInt8(ascii: "\\") && (isText || byte < 0x80)
            if isPlain {
                text.append(byte)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                text += "\\x\(digits.count == 1 ? "0" : "")\(digits)".utf8
            }
        }.asText
    }

    /// Returns `nil` unless `text` describes a path.
    package init?(parsing text: some StringProtocol) {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            guard rest.popFirst() == UInt8(ascii: "x"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else { return nil }
            rest = rest.dropFirst(2)
            bytes.append(value)
        }
        self.init(bytes: bytes)
    }
}

extension DataPath: CodedAsText {
    /// What an error calls the text.
    package static var codedForm: String { "a path in a data directory" }

    /// Reads the text that ``description`` is.
    package init?(codedText text: String) { self.init(parsing: text) }
}

extension [UInt8] {
    fileprivate var asText: String { String(decoding: self, as: UTF8.self) }
}
