/// `name` as an SQL identifier that means exactly this name.
package func quoteIdentifier(_ name: String) -> String {
    "\"\(name.replacing("\"", with: "\"\""))\""
}

/// `value` as an SQL string constant, whatever `standard_conforming_strings` is.
package func quoteLiteral(_ value: String) -> String {
    let doubled = value.replacing("'", with: "''")
    return doubled.contains("\\") ? "E'\(doubled.replacing("\\", with: "\\\\"))'" : "'\(doubled)'"
}
