/// What one line of a server's configuration file says.
///
/// A line is read as PostgreSQL reads it (src/backend/utils/misc/guc-file.l): the longest token wins, no token goes over
/// a line's end, and a carriage return is white space.
package enum ServerConfigurationLine: Sendable, Hashable {
    /// White space or a comment.
    case empty
    /// A setting's name in lower case, and its value without quotes and escapes, in the file's bytes.
    case setting(name: String, value: [UInt8])
    /// `include`, `include_if_exists` or `include_dir`, and what it names.
    case inclusion(directive: String, path: [UInt8])
    /// Something that keeps a server from starting.
    case unreadable

    /// Reads a line without its line feed.
    package init(parsing line: ArraySlice<UInt8>) {
        var tokens = Tokens(line)
        let nameToken = tokens.next()
        if nameToken == .end {
            self = .empty
            return
        }
        guard case .word(.name, let nameBytes) = nameToken else {
            self = .unreadable
            return
        }
        var valueToken = tokens.next()
        if valueToken == .equals { valueToken = tokens.next() }
        guard case .word(let kind, let bytes) = valueToken, kind != .qualifiedLongName, tokens.next() == .end,
            let value = kind == .string ? Self.unquoted(bytes) : Array(bytes)
        else {
            self = .unreadable
            return
        }
        let name = String(decoding: nameBytes.map(ASCII.lowercased), as: UTF8.self)
        self =
            ["include", "include_if_exists", "include_dir"].contains(name)
            ? .inclusion(directive: name, path: value) : .setting(name: name, value: value)
    }

    /// The value between the quotes: `''` is a quote, `\` escapes like C's, up to three octal digits are a byte.
    ///
    /// A server keeps values as C strings, so a value ends before the first zero that an escape makes. A zero byte in
    /// the file itself is refused (`nil`): what a server makes of it is undefined.
    private static func unquoted(_ quoted: ArraySlice<UInt8>) -> [UInt8]? {
        guard !quoted.contains(0) else { return nil }
        var value: [UInt8] = []
        var rest = quoted.dropFirst().dropLast()
        while let byte = rest.popFirst() {
            if byte == ASCII.quote {
                _ = rest.popFirst()
                value.append(byte)
            } else if byte == ASCII.backslash, let escaped = rest.popFirst() {
                value.append(unescaped(escaped, &rest))
            } else {
                value.append(byte)
            }
        }
        return Array(value.prefix { $0 != 0 })
    }

    private static func unescaped(_ byte: UInt8, _ rest: inout ArraySlice<UInt8>) -> UInt8 {
        switch byte {
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "f"): return 0x0C
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            var number = byte & 7
            for _ in 0..<2 {
                guard let digit = rest.first, digit & 0xF8 == 0x30 else { break }
                number = number << 3 | digit & 7
                _ = rest.popFirst()
            }
            return number
        default: return byte
        }
    }
}

/// Cuts a line into PostgreSQL's tokens.
private struct Tokens {
    enum Kind {
        /// `name` or `name.name`, which may name a setting.
        case name
        /// A bare word that may only be a value, as `a-b` and `a.b.c`.
        case bareWord
        case number
        case string
        /// `name.name`, as a value: a server takes it for a name only.
        case qualifiedLongName
    }

    enum Token: Equatable {
        case word(Kind, ArraySlice<UInt8>)
        case equals
        case error
        case end
    }

    private var rest: ArraySlice<UInt8>
    private var isFirst = true

    init(_ line: ArraySlice<UInt8>) { rest = line }

    mutating func next() -> Token {
        defer { isFirst = false }
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == ASCII.carriageReturn }
        guard let first = rest.first, first != UInt8(ascii: "#") else {
            rest = []
            return .end
        }
        if first == UInt8(ascii: "=") {
            _ = rest.popFirst()
            return .equals
        }
        let (kind, length): (Kind, Int) =
            if Self.isLetter(first) { word() } else if first == ASCII.quote { (.string, stringLength()) } else {
                (.number, numberLength())
            }
        guard length > 0 else { return .error }
        let bytes = rest.prefix(length)
        rest = rest.dropFirst(length)
        return .word(kind, bytes)
    }

    private func word() -> (Kind, Int) {
        let bare = rest.prefix { Self.isWordByte($0) || "-.:/".utf8.contains($0) }
        let name = bare.prefix(while: Self.isWordByte)
        if name.count == bare.count { return (.name, name.count) }
        let afterPeriod = bare.dropFirst(name.count + 1)
        let second = afterPeriod.prefix(while: Self.isWordByte)
        let isQualified =
            bare[name.endIndex] == ASCII.period && second.first.map(Self.isLetter) == true
            && second.count == afterPeriod.count
        guard isQualified else { return (.bareWord, bare.count) }
        return (isFirst ? .name : .qualifiedLongName, bare.count)
    }

    /// The length up to the closing quote, or 0 without one.
    private func stringLength() -> Int {
        var index = rest.startIndex + 1
        while index < rest.endIndex {
            switch rest[index] {
            case ASCII.backslash: index += 2
            case ASCII.quote:
                guard index + 1 < rest.endIndex, rest[index + 1] == ASCII.quote else {
                    return index + 1 - rest.startIndex
                }
                index += 2
            default: index += 1
            }
        }
        return 0
    }

    private func numberLength() -> Int {
        let sign = rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") ? 1 : 0
        let unsigned = rest.dropFirst(sign)
        let length = max(Self.integerLength(unsigned), Self.realLength(unsigned))
        return length == 0 ? 0 : sign + length
    }

    /// Digits, or `0x` and hexadecimal digits, and the letters of a unit.
    private static func integerLength(_ text: ArraySlice<UInt8>) -> Int {
        func withUnit(_ length: Int) -> Int { length + text.dropFirst(length).prefix(while: ASCII.isLetter).count }
        let digits = text.prefix(while: ASCII.isDigit).count
        guard digits > 0 else { return 0 }
        var hexadecimal = 0
        if text.starts(with: "0x".utf8) {
            let count = text.dropFirst(2).prefix { ASCII.isDigit($0) || (ASCII.lowercased($0) &- 0x61) < 6 }.count
            hexadecimal = count == 0 ? 0 : withUnit(2 + count)
        }
        return max(withUnit(digits), hexadecimal)
    }

    /// Digits that may be missing around a point, and an exponent.
    private static func realLength(_ text: ArraySlice<UInt8>) -> Int {
        var length = text.prefix(while: ASCII.isDigit).count
        guard text.dropFirst(length).first == ASCII.period else { return 0 }
        length += 1
        length += text.dropFirst(length).prefix(while: ASCII.isDigit).count
        let exponent = text.dropFirst(length)
        guard exponent.first.map(ASCII.lowercased) == UInt8(ascii: "e") else { return length }
        let unsigned = exponent.dropFirst().first.map { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") }
        let sign = unsigned == true ? 1 : 0
        let digits = exponent.dropFirst(1 + sign).prefix(while: ASCII.isDigit).count
        return digits == 0 ? length : length + 1 + sign + digits
    }

    /// Letters, the underscore, and every byte outside ASCII.
    private static func isLetter(_ byte: UInt8) -> Bool {
        ASCII.isLetter(byte) || byte == UInt8(ascii: "_") || byte >= 0x80
    }

    private static func isWordByte(_ byte: UInt8) -> Bool { isLetter(byte) || ASCII.isDigit(byte) }
}
