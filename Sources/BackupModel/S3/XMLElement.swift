/// An element of a small XML document, as object stores answer with: names without their namespaces, no attributes.
package struct XMLElement: Sendable, Hashable {
    /// The name.
    package let name: String
    /// The text directly in the element.
    package fileprivate(set) var text = ""
    /// The elements directly in it.
    package fileprivate(set) var children: [XMLElement] = []

    /// The text of the first child of that name.
    package subscript(name: String) -> String? { children.first { $0.name == name }?.text }

    /// The children of that name.
    package func all(_ name: String) -> [XMLElement] { children.filter { $0.name == name } }

    /// The root of the document `bytes`, or `nil` if that is not a whole, well-formed one of what is allowed here.
    ///
    /// A document type, whose entities could grow without end, is not; nor are elements below the sixteenth level.
    package static func parse(_ bytes: some Collection<UInt8>) -> XMLElement? {
        var parser = XMLParser(Array(bytes))
        return parser.document()
    }
}

/// Reads a document from its beginning to its end; every function returns `nil` where it is not well-formed.
private struct XMLParser {
    private let bytes: [UInt8]
    private var at = 0

    private static let deepest = 16

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() -> XMLElement? {
        _ = take("\u{FEFF}")
        // A store that takes long sends spaces, also before it begins.
        skipSpace()
        if take("<?xml") { guard skip(past: "?>") else { return nil } }
        guard skipBetween(), take("<"), let root = element(depth: 0), skipBetween(), at == bytes.count else {
            return nil
        }
        return root
    }

    /// The element whose `<` was taken.
    private mutating func element(depth: Int) -> XMLElement? {
        guard depth < Self.deepest, let name = name(), let isEmpty = attributes() else { return nil }
        var element = XMLElement(name: Self.local(name))
        if isEmpty { return element }
        var text: [UInt8] = []
        while at < bytes.count {
            if bytes[at] != UInt8(ascii: "<"), bytes[at] != UInt8(ascii: "&") {
                text.append(bytes[at])
                at += 1
            } else if take("<!--") {
                guard skip(past: "-->") else { return nil }
            } else if take("<![CDATA[") {
                let start = at
                guard skip(past: "]]>") else { return nil }
                text += bytes[start..<at - 3]
            } else if take("</") {
                guard self.name() == name else { return nil }
                skipSpace()
                guard take(">"), let content = String(validating: text, as: UTF8.self) else { return nil }
                element.text = content
                return element
            } else if take("<") {
                guard let child = self.element(depth: depth + 1) else { return nil }
                element.children.append(child)
            } else {
                at += 1
                guard let character = reference() else { return nil }
                text += Array(String(character).utf8)
            }
        }
        return nil
    }

    /// Skips attributes up to the end of a start tag, and tells whether the element ends with it.
    private mutating func attributes() -> Bool? {
        while true {
            skipSpace()
            if take("/>") { return true }
            if take(">") { return false }
            guard name() != nil else { return nil }
            skipSpace()
            guard take("=") else { return nil }
            skipSpace()
            guard at < bytes.count else { return nil }
            let quote = bytes[at]
            guard quote == ASCII.quote || quote == ASCII.doubleQuote,
                let end = bytes[(at + 1)...].firstIndex(of: quote),
                !bytes[at..<end].contains(UInt8(ascii: "<"))
            else { return nil }
            at = end + 1
        }
    }

    /// The character for which a reference stands whose `&` was taken.
    private mutating func reference() -> Unicode.Scalar? {
        guard let end = bytes[at...].prefix(12).firstIndex(of: UInt8(ascii: ";")) else { return nil }
        let name = String(decoding: bytes[at..<end], as: UTF8.self)
        at = end + 1
        switch name {
        case "lt": return "<"
        case "gt": return ">"
        case "amp": return "&"
        case "quot": return "\""
        case "apos": return "'"
        default:
            let isHexadecimal = name.hasPrefix("#x")
            guard name.hasPrefix("#"),
                let value = UInt32(name.dropFirst(isHexadecimal ? 2 : 1), radix: isHexadecimal ? 16 : 10), value > 0
            else { return nil }
            return Unicode.Scalar(value)
        }
    }

    private mutating func name() -> String? {
        let start = at
        while at < bytes.count, Self.isNameByte(bytes[at]) { at += 1 }
        guard at > start, !ASCII.isDigit(bytes[start]) else { return nil }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        ASCII.isLetter(byte) || ASCII.isDigit(byte) || ":_-.".utf8.contains(byte) || byte >= 0x80
    }

    private static func local(_ name: String) -> String {
        name.lastIndex(of: ":").map { String(name[name.index(after: $0)...]) } ?? name
    }

    /// Skips what may stand before and behind the root.
    private mutating func skipBetween() -> Bool {
        skipSpace()
        while take("<!--") {
            guard skip(past: "-->") else { return false }
            skipSpace()
        }
        return true
    }

    private mutating func skipSpace() {
        while at < bytes.count, ASCII.isSpace(bytes[at]) { at += 1 }
    }

    private mutating func take(_ text: String) -> Bool {
        guard bytes[at...].starts(with: text.utf8) else { return false }
        at += text.utf8.count
        return true
    }

    private mutating func skip(past text: String) -> Bool {
        while at < bytes.count {
            if take(text) { return true }
            at += 1
        }
        return false
    }
}
