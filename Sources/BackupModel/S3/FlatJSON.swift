/// An object of JSON that has texts, numbers and words, and nothing below: as what hands out credentials answers with.
package enum FlatJSON {
    /// The texts by name, or `nil` unless `bytes` is such an object; what is no text is left out.
    package static func texts(_ bytes: some Collection<UInt8>) -> [String: String]? {
        var reader = FlatJSONReader(Array(bytes))
        return reader.object()
    }
}

private struct FlatJSONReader {
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func object() -> [String: String]? {
        var found: [String: String] = [:]
        guard take("{") else { return nil }
        if !take("}") {
            repeat {
                guard let name = text(), take(":") else { return nil }
                if let value = text() {
                    found[name] = value
                } else if !skipWord() {
                    return nil
                }
            } while take(",")
            guard take("}") else { return nil }
        }
        skipSpace()
        return at == bytes.count ? found : nil
    }

    /// The text that begins here; `nil`, and nothing is skipped, if none does.
    private mutating func text() -> String? {
        guard take("\"") else { return nil }
        var units: [UInt8] = []
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(validating: units, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = escape() else { return nil }
                units += Array(String(escaped).utf8)
            case 0..<0x20: return nil
            default: units.append(byte)
            }
        }
        return nil
    }

    private mutating func escape() -> Unicode.Scalar? {
        guard at < bytes.count else { return nil }
        let byte = bytes[at]
        at += 1
        switch byte {
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "u"):
            let digits = bytes[at...].prefix(4)
            guard digits.count == 4, let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16) else {
                return nil
            }
            at += 4
            // Half of a pair stands for nothing alone; neither keys nor tokens have such characters.
            return Unicode.Scalar(value)
        default: return nil
        }
    }

    private mutating func skipWord() -> Bool {
        skipSpace()
        let start = at
        while at < bytes.count, ASCII.isLetter(bytes[at]) || ASCII.isDigit(bytes[at]) || "+-.".utf8.contains(bytes[at])
        {
            at += 1
        }
        return at > start
    }

    private mutating func take(_ character: String) -> Bool {
        skipSpace()
        guard bytes[at...].starts(with: character.utf8) else { return false }
        at += character.utf8.count
        return true
    }

    private mutating func skipSpace() {
        while at < bytes.count, ASCII.isSpace(bytes[at]) { at += 1 }
    }
}
