internal import BackupModel

/// `name` as an SQL identifier that means exactly this name.
package func quoteIdentifier(_ name: String) -> String { "\"\(name.escaping(["\"": "\"\""]))\"" }

/// `value` as an SQL string constant, whatever `standard_conforming_strings` is.
package func quoteLiteral(_ value: String) -> String {
    guard value.utf8.contains(UInt8(ascii: "\\")) else { return "'\(value.escaping(["'": "''"]))'" }
    return "E'\(value.escaping(["'": "''", "\\": "\\\\"]))'"
}

/// `value` in a keyword string of libpq.
package func quoteConninfoValue(_ value: String) -> String {
    "'\(value.escaping(["\\": "\\\\", "'": "\\'"]))'"
}
