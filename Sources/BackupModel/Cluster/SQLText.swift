/// `name` as an SQL identifier that means exactly this name.
package func quoteIdentifier(_ name: String) -> String { "\"\(name.escaping(["\"": "\"\""]))\"" }

/// `value` as an SQL string constant, whatever `standard_conforming_strings` is.
package func quoteLiteral(_ value: String) -> String {
    guard value.utf8.contains(ASCII.backslash) else { return "'\(value.escaping(["'": "''"]))'" }
    return "E'\(value.escaping(["'": "''", "\\": "\\\\"]))'"
}

extension String {
    /// This name with `suffix` behind it, shortened before it as far as it would be longer than PostgreSQL's 63 bytes.
    package func asIdentifier(endingIn suffix: String) -> String {
        var base = self
        while base.utf8.count + suffix.utf8.count > 63, !base.isEmpty { base.removeLast() }
        return base + suffix
    }
}
