/// How many rows of one table a dump holds, counted in the stream that was captured.
package struct TableRowCount: Sendable, Hashable, Codable {
    /// The table's schema, without quotes; empty where the dump does not name one.
    package var schema: String
    /// The table's name, without quotes; a partition is a table of its own.
    package var table: String
    /// Rows: COPY text has exactly one line feed per row.
    package var rows: Int64
    /// Bytes of COPY text.
    package var bytes: Int64

    package init(schema: String, table: String, rows: Int64 = 0, bytes: Int64 = 0) {
        self.schema = schema
        self.table = table
        self.rows = rows
        self.bytes = bytes
    }
}
