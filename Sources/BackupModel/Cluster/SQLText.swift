extension String {
    /// This name as an SQL identifier that means exactly it.
    var asSQLIdentifier: String { "\"\(escaping(["\"": "\"\""]))\"" }

    /// This text as an SQL string constant, whatever `standard_conforming_strings` is.
    var asSQLConstant: String {
        guard utf8.contains(ASCII.backslash) else { return "'\(escaping(["'": "''"]))'" }
        return "E'\(escaping(["'": "''", "\\": "\\\\"]))'"
    }
}
