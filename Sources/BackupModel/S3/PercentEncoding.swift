/// RFC 3986's percent-encoding, in the one spelling that Signature V4 computes with.
package enum PercentEncoding {
    /// `text` with every byte but `A-Z a-z 0-9 - . _ ~` written as `%XX`; with `keepingSlashes`, `/` stays too.
    package static func encode(_ text: some StringProtocol, keepingSlashes: Bool = false) -> String {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            if ASCII.isLetter(byte) || ASCII.isDigit(byte) || "-._~".utf8.contains(byte)
                || keepingSlashes && byte == UInt8(ascii: "/")
            {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    private static let digits = Array("0123456789ABCDEF".utf8)
}
