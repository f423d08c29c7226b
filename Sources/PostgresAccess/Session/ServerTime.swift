package import BackupModel

/// An SQL expression: the time that `expression` says, in microseconds since 1970, as ``QueryResult/time(_:_:)`` reads it.
///
/// The operator is named with its schema: whoever may create one of two types in a schema of the search path could have it
/// called in the place of PostgreSQL's, which converts.
package func microseconds(of expression: String) -> String {
    "pg_catalog.round(extract(epoch FROM \(expression))::numeric OPERATOR(pg_catalog.*) 1000000)::bigint"
}

extension QueryResult {
    /// The time in `row` of the column named `column`, which ``microseconds(of:)`` made; `nil` is SQL's null, or no number.
    package func time(_ row: Int, _ column: String) -> Timestamp? {
        value(row, column).flatMap { Int64($0) }.map { Timestamp(microseconds: $0) }
    }
}
