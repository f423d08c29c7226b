extension String {
    /// This name as an SQL identifier that means exactly it.
    var asSQLIdentifier: String { "\"\(escaping(["\"": "\"\""]))\"" }

    /// This text as an SQL string constant, whatever `standard_conforming_strings` is.
    var asSQLConstant: String {
        guard utf8.contains(ASCII.backslash) else { return "'\(escaping(["'": "''"]))'" }
        return "E'\(escaping(["'": "''", "\\": "\\\\"]))'"
    }
}

extension String {
    /// This name with `suffix` behind it, shortened before it as far as it would be longer than PostgreSQL's 63 bytes.
    package func asIdentifier(endingIn suffix: String) -> String {
        var base = self
        while base.utf8.count + suffix.utf8.count > 63, !base.isEmpty { base.removeLast() }
        return base + suffix
    }
}
