extension String {
    /// Whether it has nothing but `A-Z a-z 0-9 . _ -`.
    package var isPlain: Bool {
        utf8.allSatisfy { ASCII.isLetter($0) || ASCII.isDigit($0) || "._-".utf8.contains($0) }
    }

    /// The text with every scalar in `replacements` replaced, also one that a combining mark follows.
    ///
    /// The standard library's `replacing` compares whole characters: a quote with an accent on it is another character
    /// to it, but still a quote to PostgreSQL and to a shell.
    package func escaping(_ replacements: [Unicode.Scalar: String]) -> String {
        var escaped = ""
        for scalar in unicodeScalars {
            if let replacement = replacements[scalar] {
                escaped += replacement
            } else {
                escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// The text with every occurrence of the bytes of `secret` replaced by three stars.
    package func hiding(_ secret: String) -> String {
        guard !secret.isEmpty else { return self }
        return String(decoding: Array(utf8).replacing(Array(secret.utf8), with: Array("***".utf8)), as: UTF8.self)
    }
}
